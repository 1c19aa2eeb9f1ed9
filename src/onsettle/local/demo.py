"""Fifty payers pay, async and then sync as the guide had it, with three bad payments among them."""

import tempfile
import time
from pathlib import Path
from typing import Any

from onsettle.config import load
from onsettle.domain.network import TokenDomain
from onsettle.engine.network import Network
from onsettle.engine.verify import Report, verify
from onsettle.local.payers import Payer, fund
from onsettle.local.place import let_pass
from onsettle.local.round import DemoFailed, Round, next_block, run_round
from onsettle.local.screen import Screen
from onsettle.local.stack import LocalStack
from onsettle.runtime import Engine

__all__ = ["DemoFailed", "run_demo"]

_PRICE = 10_000  # one cent of a token with six decimals
_BLOCK_TIME_S = 2.0
_BATCH_BEFORE = 10  # the guide's batch size before its upgrade


async def run_demo(*, count: int = 50, quiet: bool = False) -> dict[str, Any]:
    """Run it in a fresh data folder, which is removed at the end; the numbers that it printed.

    Raises DemoFailed, or what the local stack raises when it does not start.
    """
    with Screen(quiet=quiet) as screen, tempfile.TemporaryDirectory(prefix="onsettle-") as made:
        folder = Path(made)
        let_pass(folder)
        screen.say("Starting PostgreSQL and a local chain ...")
        stack = LocalStack(folder, block_time=_BLOCK_TIME_S, save_every_s=None)
        try:
            await stack.start()
            engine = await Engine.open(load(stack.environment(), folder), wait_s=30)
            try:
                if not engine.networks:
                    raise DemoFailed("; ".join(engine.problems) or "the local chain is not ready")
                await engine.start()
                result = await _Demo(engine, screen, count).run()
                await engine.stop()
            finally:
                await engine.close()
        finally:
            await stack.stop()
    return result


class _Demo:
    def __init__(self, engine: Engine, screen: Screen, count: int) -> None:
        self._engine = engine
        self._screen = screen
        self._count = count
        [self._network] = engine.networks.values()
        self._payers = [Payer() for _ in range(count)]
        self._poor = Payer()
        self._payee = Payer().address

    async def run(self) -> dict[str, Any]:
        network: Network = self._network
        addresses = [payer.address for payer in self._payers]
        await fund(network.config.rpc_urls[0], network.config.assets[0], addresses, 10 * _PRICE)
        self._screen.say(f"{self._count} payers pay at once, and three bad payments go along:")
        good = [self._body(payer) for payer in self._payers]
        bad = [self._body(self._payers[0], lifetime=-60), self._body(self._poor), good[0]]
        first = await self._round("async", good + bad, 0)
        self._tell_bad(first)
        self._screen.say(f"\nThe same in sync mode, in batches of {_BATCH_BEFORE}, as it was:")
        await self._engine.db.execute("setting_write", "payment_mode", "sync")
        await self._engine.db.execute("setting_write", "payment_batch_size", str(_BATCH_BEFORE))
        # Two seconds: every process has read the settings by then.
        await next_block(self._engine, network)
        second = await self._round("sync", [self._body(p) for p in self._payers], first.minted)
        report = await verify(self._engine.db, self._engine.networks)
        self._tell(first, second, report)
        return self._result(first, second, report)

    async def _round(self, name: str, bodies: list[dict[str, object]], minted: int) -> Round:
        return await run_round(self._engine, self._network, self._screen, name, bodies, minted)

    def _body(self, payer: Payer, lifetime: int = 3600) -> dict[str, object]:
        config = self._network.config
        domain: TokenDomain = self._network.domains[config.assets[0]]
        token = config.mint_tokens[0]
        return {
            "payment_type": "mint",
            "token_address": token.address,
            "metadata": {"quantity": 1},
            "authorization": payer.authorize(
                domain,
                token.payee or self._payee,
                token.price or _PRICE,
                valid_before=int(time.time()) + lifetime,
            ),
        }

    def _tell_bad(self, first: Round) -> None:
        for refused in first.refused:
            self._screen.say(f"   expired: refused ({refused.code}: {refused.message})")
        for row in first.failed:
            self._screen.say(f"   overdrawn: {row['status']} ({row['reason']}: {row['error']})")
        for _ in range(first.duplicates):
            self._screen.say("   submitted twice: the same payment, settled once")

    def _tell(self, first: Round, second: Round, report: Report) -> None:
        rows = [
            ("payments completed", *(str(len(r.completed)) for r in (first, second))),
            ("tokens minted", *(str(r.minted) for r in (first, second))),
            ("blocks to all sent", *(str(r.blocks_to_sent) for r in (first, second))),
            ("seconds to all sent", *(str(r.seconds("sent_at")) for r in (first, second))),
            ("blocks to all completed", *(str(r.blocks_to_completed) for r in (first, second))),
            (
                "seconds to all completed",
                *(str(r.seconds("completed_at")) for r in (first, second)),
            ),
            ("payments per minute", *(str(r.per_minute) for r in (first, second))),
            ("gas per payment", *(f"{r.gas:,}" for r in (first, second))),
        ]
        before = f"sync, {_BATCH_BEFORE} at a time"
        self._screen.table(["", "async", before], rows)
        faster = first.per_minute / max(second.per_minute, 0.001)
        self._screen.say(f"{faster:.1f} times as many payments per minute as before.")
        for line in (*report.differences, *report.not_checked):
            self._screen.say(f"verify: {line}", "red")
        compared = sum(report.checked.values())
        agree = "the books and the chain agree" if report.ok else "the books and the chain differ"
        self._screen.say(f"verify: {agree} ({compared} facts compared)", "" if report.ok else "red")

    def _result(self, first: Round, second: Round, report: Report) -> dict[str, Any]:
        return {
            "payments": self._count,
            "completed": len(first.completed),
            "refused": len(first.refused),
            "failed": len(first.failed),
            "duplicates": first.duplicates,
            "mints_completed": first.minted,
            "blocks_to_sent": first.blocks_to_sent,
            "blocks_to_completed": first.blocks_to_completed,
            "seconds_to_sent": first.seconds("sent_at"),
            "seconds_to_completed": first.seconds("completed_at"),
            "per_minute": first.per_minute,
            "gas_per_payment": first.gas,
            "sync": {
                "completed": len(second.completed),
                "mints_completed": second.minted,
                "blocks_to_completed": second.blocks_to_completed,
                "seconds_to_completed": second.seconds("completed_at"),
                "per_minute": second.per_minute,
            },
            "verify_ok": report.ok,
        }
