"""A live database with a million finished payments moves over under its writer's hands."""

import asyncio
import time
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from onsettle.store.migrate import migrate
from tests.harness.older import OlderServer
from tests.harness.plans import of_loops, scans
from tests.harness.stack import PAYEE, PRICE, Stack, eventually

_ROWS = 1_000_000
# No statement of the writer may wait for longer: a lock held on the table would show here.
_LONGEST_S = 5.0


@dataclass(kw_only=True)
class _Writer:
    """The older server at work: it takes a payment, claims it, gives one up."""

    older: OlderServer
    authorization: dict[str, str]
    waits: list[float] = field(default_factory=list)
    written: list[UUID] = field(default_factory=list)
    stopping: bool = False

    async def run(self) -> None:
        while not self.stopping:
            started = time.monotonic()
            payment = await self.older.insert(self._next(), payment_type="deploy")
            between = time.monotonic()
            await self.older.claim(payment)
            claimed = time.monotonic()
            await self.older.failed(payment, "nonce too low")
            self.waits += [between - started, claimed - between, time.monotonic() - claimed]
            self.written.append(payment)
            await asyncio.sleep(0.02)

    def _next(self) -> dict[str, str]:
        return self.authorization | {"nonce": f"0x{len(self.written):064x}"}


async def _kept(older: OlderServer) -> tuple[object, ...]:
    """What must be the same before and after: over every row, and a sample in full."""
    whole = await older.hand.fetchrow(
        "select count(*), sum(amount::numeric), bit_xor(hashtext(id::text || tx_hash))"
        " from payment_queue where status = 'completed'"
    )
    sample = await older.hand.fetch(
        'select id, payment_type, token_address, "authorization", payer, amount::numeric,'
        " payment_token_address, metadata, status, tx_hash, result, error,"
        " created_at::timestamp, processed_at::timestamp from payment_queue"
        " where status = 'completed' order by id limit 1000"
    )
    assert whole is not None
    return (tuple(whole), [tuple(row) for row in sample])


@pytest.mark.timeout(400)
async def test_a_million_payments_move_over_while_the_older_server_writes(stack: Stack) -> None:
    """Every row is kept, no writer waits long, and what waits settles before the past is sorted."""
    async with OlderServer.on(stack) as older, OlderServer.on(stack) as second:
        await older.make_tables()
        await older.fill(_ROWS)
        before = await _kept(older)
        payers = await stack.payers(2)
        waiting = await older.insert(older.authorization(payers[0]))
        writer = _Writer(older=second, authorization=older.authorization(payers[1]))
        task = asyncio.create_task(writer.run())
        await eventually(lambda: _wrote(writer, 3))
        applied = await migrate(stack.dsn)
        count = len(writer.written)
        await eventually(lambda: _wrote(writer, count + 3))
        writer.stopping = True
        await task
        assert "our types to the older server's tables" in applied
        assert max(writer.waits) < _LONGEST_S, f"a statement waited {max(writer.waits):.1f} s"
        assert await _kept(older) == before
        rows = await older.hand.fetch(
            "select id from payment_queue where status = 'failed' and error = 'nonce too low'"
        )
        assert {row["id"] for row in rows} == set(writer.written)
        async with stack.engine() as engine:
            await stack.all_are(engine, [waiting], "completed")
            await eventually(lambda: _minted(older, waiting))
            assert await stack.token_balance(PAYEE) == PRICE
        reads = await scans(stack.dsn, "force_custom_plan", of_loops())
        assert [read for read in reads if "of payment_queue" in read] == []


async def _wrote(writer: _Writer, count: int) -> bool:
    return len(writer.written) >= count


async def _minted(older: OlderServer, payment: UUID) -> bool:
    status = await older.hand.fetchval(
        "select status from mint_queue where payment_id = $1", payment
    )
    return bool(status == "completed")
