"""Fifty payers pay, async and then sync, with three bad payments among them."""

import asyncio
import secrets
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from rich.console import Console
from rich.live import Live
from rich.table import Table

from onsettle.chain.jsonrpc import Call
from onsettle.config import load
from onsettle.domain.network import TokenDomain
from onsettle.domain.payment import UNFINISHED, PaymentStatus
from onsettle.engine.intake import Accepted
from onsettle.engine.network import Network
from onsettle.engine.request import Refused
from onsettle.engine.verify import verify
from onsettle.local.payers import Payer, fund
from onsettle.local.place import let_pass
from onsettle.local.stack import LocalStack
from onsettle.runtime import Engine

_PRICE = 10_000  # one cent of a token with six decimals
_BLOCK_TIME_S = 2.0
_PATIENCE_S = 180
_OPEN = {status.value for status in UNFINISHED}


class DemoFailed(Exception):
    """The demo did not end as it must; the text says where it stood."""


@dataclass(slots=True, kw_only=True)
class _Round:
    """One submission of all payments: what was answered, and the rows when all is decided."""

    started: datetime
    accepted: list[UUID] = field(default_factory=list)
    refused: int = 0
    duplicates: int = 0
    rows: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def completed(self) -> list[Mapping[str, Any]]:
        return [row for row in self.rows if row["status"] == PaymentStatus.COMPLETED]

    def seconds(self, column: str) -> float:
        """From the submission to the last payment's `column`."""
        last = max((row[column] for row in self.completed if row[column]), default=self.started)
        return round((last - self.started).total_seconds(), 2)

    @property
    def per_minute(self) -> float:
        return round(len(self.completed) * 60 / max(self.seconds("completed_at"), 0.001), 1)


async def run_demo(*, count: int = 50, quiet: bool = False) -> dict[str, Any]:
    """Run it in a fresh data folder, which is removed at the end; the numbers that it printed."""
    console = Console(quiet=quiet)
    with tempfile.TemporaryDirectory(prefix="onsettle-demo-") as folder:
        let_pass(Path(folder))
        console.print("Starting PostgreSQL and a local chain ...")
        stack = LocalStack(
            Path(folder), chain_port=_free_port(), block_time=_BLOCK_TIME_S, database_url=None
        )
        try:
            await stack.start()
            engine = await Engine.open(load(stack.environment(), Path(folder)), wait_s=30)
            try:
                if not engine.networks:
                    raise DemoFailed("; ".join(engine.problems) or "the local chain is not ready")
                await engine.start()
                result = await _Demo(engine, console, count).run()
                await engine.stop()
            finally:
                await engine.close()
        finally:
            await stack.stop()
    return result


class _Demo:
    def __init__(self, engine: Engine, console: Console, count: int) -> None:
        self._engine = engine
        self._console = console
        self._count = count
        self._network: Network = next(iter(engine.networks.values()))
        self._payers = [Payer("0x" + secrets.token_hex(32)) for _ in range(count)]

    async def run(self) -> dict[str, Any]:
        asset = self._network.config.assets[0]
        await fund(
            self._network.config.rpc_urls[0],
            asset,
            [payer.address for payer in self._payers],
            10 * _PRICE,
        )
        first = await self._round("async", self._good() + self._bad())
        minted = await self._minted(len(first.completed))
        gas = await self._gas(first)
        await self._engine.db.execute("setting_write", "payment_mode", "sync")
        await self._engine.db.execute("setting_write", "payment_batch_size", "10")
        await asyncio.sleep(1)  # every loop has read the settings anew
        second = await self._round("sync", self._good())
        await self._minted(len(first.completed) + len(second.completed))
        report = await verify(self._engine.db, self._engine.networks)
        result = self._result(first, second, minted, gas)
        result["verify_ok"] = report.ok
        self._print(result)
        for line in (*report.differences, *report.not_checked):
            self._console.print(f"verify: {line}", style="red")
        return result

    def _result(self, first: _Round, second: _Round, minted: int, gas: int) -> dict[str, Any]:
        return {
            "payments": self._count,
            "completed": len(first.completed),
            "refused": first.refused,
            "failed": len(first.rows) - len(first.completed),
            "duplicates": first.duplicates,
            "mints_completed": minted,
            "seconds_to_sent": first.seconds("sent_at"),
            "seconds_to_completed": first.seconds("completed_at"),
            "per_minute": first.per_minute,
            "gas_per_payment": gas,
            "sync": {
                "seconds_to_completed": second.seconds("completed_at"),
                "per_minute": second.per_minute,
            },
        }

    def _good(self) -> list[dict[str, object]]:
        return [self._body(payer) for payer in self._payers]

    def _bad(self) -> list[dict[str, object]]:
        """Expired, overdrawn; the third, a payment submitted twice, is added by the round."""
        penniless = Payer("0x" + secrets.token_hex(32))
        return [self._body(self._payers[0], lifetime=-60), self._body(penniless)]

    def _body(self, payer: Payer, lifetime: int = 3600) -> dict[str, object]:
        asset = self._network.config.assets[0]
        domain: TokenDomain = self._network.domains[asset]
        token = self._network.config.mint_tokens[0]
        pay_to = token.payee or (self._network.config.pay_to or (token.address,))[0]
        return {
            "payment_type": "mint",
            "token_address": token.address,
            "metadata": {"quantity": 1},
            "authorization": payer.authorize(
                domain,
                pay_to,
                token.price or _PRICE,
                valid_after=0,
                valid_before=int(time.time()) + lifetime,
            ),
        }

    async def _round(self, name: str, bodies: list[dict[str, object]]) -> _Round:
        if len(bodies) > self._count:
            bodies = [*bodies, bodies[0]]
        this = _Round(started=datetime.now(UTC))
        for start in range(0, len(bodies), 500):
            answers = await self._engine.intake.submit_many(bodies[start : start + 500])
            self._note(this, answers)
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            deadline = time.monotonic() + _PATIENCE_S
            while True:
                this.rows = [
                    dict(row)
                    for row in await self._engine.db.fetch("payments_progress", this.accepted)
                ]
                counts = Counter(row["status"] for row in this.rows)
                if self._console.is_terminal:
                    live.update(_progress(name, counts), refresh=True)
                if not _OPEN & set(counts):
                    break
                if time.monotonic() > deadline:
                    raise DemoFailed(f"after {_PATIENCE_S} s the payments are {dict(counts)}")
                await asyncio.sleep(0.1)
        self._console.print(f"{name}: {len(this.completed)} payments completed")
        return this

    @staticmethod
    def _note(this: _Round, answers: Sequence[Accepted | Refused]) -> None:
        for answer in answers:
            if isinstance(answer, Refused):
                this.refused += 1
            elif answer.known:
                this.duplicates += 1
            else:
                this.accepted.append(answer.id)

    async def _minted(self, expected: int) -> int:
        """The number of completed mints, once it is `expected`."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            mints = await self._engine.db.fetch("stats_mints")
            rows = {row["status"]: row["count"] for row in mints}
            done = int(rows.get("completed", 0))
            if done >= expected:
                return done
            if time.monotonic() > deadline:
                raise DemoFailed(f"after {_PATIENCE_S} s the mints are {rows}")
            await asyncio.sleep(0.2)

    async def _gas(self, this: _Round) -> int:
        hashes = {row["tx_hash"] for row in this.completed}
        calls = [Call("eth_getTransactionReceipt", (each,)) for each in sorted(hashes)]
        used = 0
        for answer in await self._network.pool.batch(calls):
            if isinstance(answer, Exception):
                raise answer
            used += int(cast("dict[str, str]", answer)["gasUsed"], 16)
        return used // max(len(this.completed), 1)

    def _print(self, result: Mapping[str, Any]) -> None:
        table = Table("", "async", "sync")
        sync = result["sync"]
        table.add_row("all sent after", f"{result['seconds_to_sent']} s", "")
        table.add_row(
            "all completed after",
            f"{result['seconds_to_completed']} s",
            f"{sync['seconds_to_completed']} s",
        )
        table.add_row("per minute", str(result["per_minute"]), str(sync["per_minute"]))
        self._console.print(table)
        for name in ("completed", "refused", "failed", "duplicates", "mints_completed"):
            self._console.print(f"{name.replace('_', ' ')}: {result[name]}")
        self._console.print(f"gas per payment: {result['gas_per_payment']}")
        agree = "agree" if result["verify_ok"] else "do NOT agree"
        self._console.print(f"verify: the books and the chain {agree}")


def _progress(name: str, counts: Mapping[str, int]) -> Table:
    table = Table(*[status.value for status in PaymentStatus], title=name)
    table.add_row(*[str(counts.get(status.value, 0)) for status in PaymentStatus])
    return table


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
