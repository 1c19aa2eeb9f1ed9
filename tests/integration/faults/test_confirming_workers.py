"""Two workers that want to follow one network: only who holds its lease writes what it has read."""

import asyncio
from uuid import UUID

import pytest

from onsettle.domain.payment import Reason
from onsettle.engine.confirmer import Confirmer
from onsettle.runtime import Engine
from onsettle.store.database import LostLease
from tests.harness.books import accepted, journal, mints, running, transactions
from tests.harness.moves import mining
from tests.harness.stack import PAYEE, PRICE, Stack, eventually, only_network
from tests.harness.workers import WorkerProcess, end_leases, seen_again, worker


@pytest.mark.parametrize(
    ("point", "status"),
    [
        # The block is read, and the commit that writes what it proves is about to begin.
        ("payments_awaited:after", "sent"),
        # Inside that commit: it holds the rows of the network and of the payments.
        ("confirmer.Confirmer._advance:before", "sent"),
        # Committed, and nobody was told.
        ("confirmer.Confirmer._advance:after", "completed"),
    ],
)
async def test_a_confirmer_frozen_past_its_lease_neither_holds_nor_doubles_anything(
    held: Stack, point: str, status: str
) -> None:
    """Frozen while it takes in the block of its payments: another worker follows the chain from
    where the books stand; woken up, the old one writes nothing, and each payment completes once."""
    async with running(held, start=False, payment_confirmations=1) as engine:
        payers = await held.payers(4)
        ids = await accepted(engine, [held.body(engine, payer) for payer in payers])
        async with worker(held, f"stop:{point}") as old:
            await held.all_are(engine, ids, "sent")
            await held.mine()
            await old.froze()
            assert await held.statuses(engine, ids) == [status] * 4
            before = await _lease(engine)
            # Not before the database has ended a commit that nobody goes on with.
            await asyncio.wait_for(end_leases(held), 20)
            await engine.start()
            async with mining(held):
                await held.all_are(engine, ids, "completed")
                old.thaw()
                await seen_again(engine)
                if status == "sent":
                    await _refused(old)
                await held.all_minted(engine, 4)
            after = await _lease(engine)
            assert after[0] == engine.worker.id != before[0]
            assert after[1] > before[1]
        for each in ids:
            assert await _completions(engine, each) == 1
        assert len(await mints(engine)) == len(await transactions(engine)) == 4
        assert await held.token_balance(PAYEE) == 4 * PRICE
        await held.verified(engine)


async def test_the_fence_of_a_network_refuses_whoever_does_not_hold_the_lease(held: Stack) -> None:
    """What was read is written under the term of the lease, and of no other: not under an older one
    nor one that nobody was given, neither at a new block nor at the one that was read before."""
    async with running(held, start=False) as engine:
        chain = only_network(engine).chain_id
        old = await engine.db.fetchval("network_lease", chain, "first", 10.0)
        assert await engine.db.fetchval("network_lease", chain, "second", 10.0) is None
        await end_leases(held)
        term = await engine.db.fetchval("network_lease", chain, "second", 10.0)
        assert term > old
        block = (None, 1, "0x" + "b1" * 32, 1_000, 0, None, None)
        for at in (old, term + 1):
            assert await engine.db.execute("cursor_advance", chain, at, *block) == 0
            assert await engine.db.execute("cursor_looked", chain, at, -1, 15.0) == 0
        assert await engine.db.execute("cursor_advance", chain, term, *block) == 1
        assert await engine.db.execute("cursor_looked", chain, term, -1, 15.0) == 1


async def test_a_confirmer_that_was_replaced_while_it_read_writes_nothing(held: Stack) -> None:
    """Its own clock still trusts the lease, and the cursor stands where it left it: the term alone
    refuses its commit, and the one who holds the lease now completes the payments."""
    async with running(held, payment_confirmations=1) as engine:
        ids = await _sent(held, engine)
        old, new = _confirmer(engine, "old"), _confirmer(engine, "new")
        await old.tick()
        await end_leases(held)
        assert await new.lease.hold()
        await held.mine()
        with pytest.raises(LostLease):
            await old.tick()
        assert old.lease.held
        assert await held.statuses(engine, ids) == ["sent"] * 2
        await new.tick()
        assert await held.statuses(engine, ids) == ["completed"] * 2
        await new.leave()
        for each in ids:
            assert await _completions(engine, each) == 1


async def test_a_commit_that_outlasts_the_trust_in_its_lease_is_undone(held: Stack) -> None:
    """Nobody else has taken the lease yet, and the database let the commit wait until its holder
    trusts it no more: it writes nothing, since somebody may take it from now on."""
    async with running(held, payment_confirmations=1) as engine:
        ids = await _sent(held, engine)
        late = _confirmer(engine, "late")
        await late.tick()
        await held.mine()
        async with engine.db.pool.acquire() as beside, beside.transaction():
            await beside.execute("select 1 from networks for update")
            tick = asyncio.create_task(late.tick())
            await _waits(engine, "cursor_number = $4")
            release = asyncio.create_task(late.lease.release())
            await _waits(engine, "lease_holder = null")
        with pytest.raises(LostLease):
            await tick
        await release
        assert await held.statuses(engine, ids) == ["sent"] * 2
        await late.tick()
        assert await held.statuses(engine, ids) == ["completed"] * 2
        await late.leave()


async def _sent(stack: Stack, engine: Engine) -> list[UUID]:
    """Two payments in the pool of the node; the engine that sent them has stopped."""
    payers = await stack.payers(2)
    ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])
    await stack.all_are(engine, ids, "sent")
    await engine.stop()
    return ids


def _confirmer(engine: Engine, name: str) -> Confirmer:
    return Confirmer(engine.db, only_network(engine), engine.settings, name)


async def _lease(engine: Engine) -> tuple[str, int]:
    """Who follows the network, and under which term."""
    row = await engine.db.pool.fetchrow("select lease_holder, lease_term from networks")
    assert row is not None
    return row["lease_holder"], row["lease_term"]


async def _completions(engine: Engine, payment_id: UUID) -> int:
    return (await journal(engine, payment_id)).count(("completed", Reason.LANDED.value))


async def _refused(old: WorkerProcess) -> None:
    """Wait until what it had read was not written."""

    async def told() -> bool:
        return any(
            '"loop_waits"' in line and '"confirmer ' in line for line in old.said.splitlines()
        )

    await eventually(told)


async def _waits(engine: Engine, words: str) -> None:
    """Until a statement with these words waits for a lock."""

    async def there() -> bool:
        waiting = await engine.db.pool.fetchval(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
            " and datname = current_database() and position($1 in query) > 0",
            words,
        )
        return bool(waiting)

    await eventually(there, within_s=2)
