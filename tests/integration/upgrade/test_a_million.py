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


@dataclass(frozen=True, slots=True, kw_only=True)
class _States:
    """One row and more of every state that such a database is known for, among the million."""

    #: Each is charged once in the end, and has one mint.
    delivered: list[UUID]
    #: Copies, and what failed and was never charged.
    failed: list[UUID]
    #: Completed before, with twice its mints: both stay.
    twice: UUID


async def _all_known_states(stack: Stack, older: OlderServer) -> _States:
    payers = await stack.payers(7)
    signed = [older.authorization(payer) for payer in payers]
    waiting, crashed, landed, late, unpaid, twice, first = [await older.insert(s) for s in signed]
    copy = await older.insert(signed[6])
    for payment in (crashed, landed, late, unpaid, twice):
        await older.claim(payment)
    await older.settle(signed[2])
    await older.failed(late, "Transaction timeout", await older.settle(signed[3]))
    await older.failed(unpaid, "insufficient funds")
    tx_hash = await older.settle(signed[5])
    await older.completed(twice, tx_hash)
    for _ in range(2):
        await older.mint(
            payers[5].address, await older.queue_mint(payers[5].address, tx_hash, "completed")
        )
    return _States(
        delivered=[waiting, crashed, landed, late, first], failed=[copy, unpaid], twice=twice
    )


@pytest.mark.timeout(400)
async def test_a_million_payments_move_over_while_the_older_server_writes(stack: Stack) -> None:
    """Every row is kept, no writer waits long, and every state that such a database is known for
    comes to its end before the past is sorted: charged at most once, delivered once."""
    async with OlderServer.on(stack) as older, OlderServer.on(stack) as second:
        await older.make_tables()
        await older.fill(_ROWS)
        states = await _all_known_states(stack, older)
        before = await _kept(older)
        [payer] = await stack.payers(1)
        writer = _Writer(older=second, authorization=older.authorization(payer))
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
            await stack.all_are(engine, states.delivered, "completed")
            await stack.all_are(engine, states.failed, "failed")
            await eventually(lambda: _minted(older, states))
            # Those of `delivered`, and the one that the older server completed.
            assert await stack.token_balance(PAYEE) == (len(states.delivered) + 1) * PRICE
            values = await older.hand.fetch("select key, value from system_settings")
            assert {("payment_batch_interval_ms", "2000"), ("payment_batch_size", "10")} <= {
                tuple(row) for row in values
            }
        reads = await scans(stack.dsn, "force_custom_plan", of_loops())
        assert [read for read in reads if "of payment_queue" in read] == []


async def _wrote(writer: _Writer, count: int) -> bool:
    return len(writer.written) >= count


async def _minted(older: OlderServer, states: _States) -> bool:
    """One each, and of the one with two of another program none more."""
    ids = [*states.delivered, *states.failed, states.twice]
    rows = await older.hand.fetch(
        "select p.id, count(m.id) from payment_queue p"
        " left join mint_queue m on lower(m.payment_tx_hash) = lower(p.tx_hash)"
        " and lower(m.payer_address) = lower(p.payer) and m.status = 'completed'"
        " where p.id = any($1::uuid[]) and p.duplicate_of is null group by 1",
        ids,
    )
    counts = {row[0]: row[1] for row in rows}
    wanted = dict.fromkeys(states.delivered, 1) | {states.failed[1]: 0, states.twice: 2}
    return counts == wanted
