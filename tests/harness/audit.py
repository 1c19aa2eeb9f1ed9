"""Audited books that a test may falsify, and a node that may lie about the chain."""

import copy
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call
from onsettle.chain.signer import LocalSigner
from onsettle.chain.transaction import UnsignedTransaction
from onsettle.engine.verify import Report, verify
from onsettle.runtime import Engine
from tests.harness.receiver import SECRET, receiving
from tests.harness.stack import Stack, eventually, ids_of, only_network


class Books:
    """A settled, audited stack whose workers are stopped, and what a test does to its books."""

    def __init__(self, stack: Stack, engine: Engine, ids: list[UUID]) -> None:
        self.stack = stack
        self.engine = engine
        self.ids = ids

    async def report(self) -> Report:
        return await verify(self.engine.db, self.engine.networks)

    @asynccontextmanager
    async def edited(self, statement: str, *args: object) -> AsyncIterator[Report]:
        """The report after an edit by hand with every trigger off; undone afterwards."""
        tables = (
            "payment_queue",
            "mint_queue",
            "transactions",
            "attempts",
            "payment_events",
            "outbox",
            "system_settings",
        )
        connection = await asyncpg.connect(self.stack.dsn)
        try:
            kept = {t: await connection.fetch(f"select * from {t}") for t in tables}
            await connection.execute("set session_replication_role = replica")
            await connection.execute(statement, *args)
            yield await self.report()
            for table in reversed(tables):
                await connection.execute(f"delete from {table}")
            for table in tables:
                if not kept[table]:
                    continue
                columns = len(kept[table][0])
                rows = [tuple(row.values()) for row in kept[table]]
                marks = ", ".join(f"${n}" for n in range(1, columns + 1))
                await connection.executemany(
                    f"insert into {table} overriding system value values ({marks})", rows
                )
        finally:
            await connection.close()

    async def wait(self) -> None:
        """Until the chain has mined whatever a test has sent."""

        async def empty() -> bool:
            pool = await self.stack.rpc.call("txpool_status")
            return isinstance(pool, dict) and int(pool["pending"], 16) == 0

        await eventually(empty)

    async def wallet_sends(self, key: str, to: str, data: bytes = b"", value: int = 0) -> str:
        """A transaction of one of our wallets that is in no row."""
        signer = LocalSigner.from_key(key)
        signed = signer.sign(
            UnsignedTransaction(
                chain_id=only_network(self.engine).chain_id,
                nonce=await self.stack.nonce(signer.address),
                to=to,
                value=value,
                data=data,
                gas_limit=500_000,
                max_fee=10**10,
                priority_fee=10**9,
            )
        )
        await self.stack.rpc.call("eth_sendRawTransaction", "0x" + signed.raw.hex())
        await self.wait()
        return signed.hash

    async def book(self, hash_: str, kind: str, nonce: int, wallet: str) -> None:
        """Claim a transaction as ours, in the books."""
        raw = await self.stack.rpc.call("eth_getRawTransactionByHash", hash_)
        connection = await asyncpg.connect(self.stack.dsn)
        try:
            await connection.execute(
                """
                with t as (
                    insert into transactions (chain_id, wallet, nonce, kind, state, mined_hash)
                    values ($1, $2, $3, $4, 'mined', $5) returning id)
                insert into attempts (hash, transaction_id, raw, max_fee, priority_fee, gas_limit)
                select $5, id, $6, 1, 1, 1 from t
                """,
                only_network(self.engine).chain_id,
                wallet,
                nonce,
                kind,
                hash_,
                bytes.fromhex(str(raw)[2:]),
            )
        finally:
            await connection.close()


@asynccontextmanager
async def audited_books(dsn: str, tmp_path: Path) -> AsyncIterator[Books]:
    """Three settled, minted and told payments of two units, audited."""
    async with (
        Stack(dsn, tmp_path) as stack,
        receiving() as receiver,
        stack.engine(webhook_url=receiver.url, webhook_secret=SECRET) as engine,
    ):
        payers = await stack.payers(3)
        ids = ids_of(
            await engine.intake.submit_many([stack.body(engine, p, quantity=2) for p in payers])
        )
        await stack.all_are(engine, ids, "completed")
        await stack.all_minted(engine, 6)

        async def told() -> bool:
            rows = await engine.db.pool.fetch("select status from outbox")
            return [row["status"] for row in rows] == ["delivered"] * 3

        await eventually(told)
        await engine.stop()
        await stack.verified(engine)
        yield Books(stack, engine, ids)


Answer = Callable[[Call, Any], Any]


def lying(monkeypatch: pytest.MonkeyPatch, change: Answer) -> None:
    """From now on each answer of a batch is what `change` makes of it."""
    honest = Endpoint.batch

    async def batch(self: Endpoint, calls: Sequence[Call], **more: Any) -> list[Any]:
        answers = await honest(self, calls, **more)
        return [change(c, copy.deepcopy(a)) for c, a in zip(calls, answers, strict=True)]

    monkeypatch.setattr(Endpoint, "batch", batch)
