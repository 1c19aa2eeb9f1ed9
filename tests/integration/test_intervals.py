"""The intervals: what a busy wallet waits for, and how far apart two looks at the chain may be."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from onsettle.engine.confirmer import Confirmer
from onsettle.engine.minter import MintFeed
from onsettle.engine.sender import PaymentFeed
from onsettle.local.payers import Payer
from onsettle.runtime import Engine
from tests.harness.books import accepted, in_force, mints, running, transactions
from tests.harness.loops import ticked, wallet_of
from tests.harness.stack import Stack, eventually, only_network

_TEN_MINUTES = 600_000


async def written_at(engine: Engine, key: str) -> datetime:
    found = await engine.db.pool.fetchval(
        "select updated_at from system_settings where key = $1", key
    )
    assert isinstance(found, datetime)
    return found


async def test_a_busy_wallet_waits_for_a_full_batch_or_for_its_interval(stack: Stack) -> None:
    """With nothing in flight a payment goes at once. Behind it two wait for a third, and the three
    are signed in one commit. What comes alone waits for as long as the setting says."""
    async with running(
        stack, payment_batch_interval_ms=_TEN_MINUTES, payment_batch_size=3
    ) as engine:
        payers = await stack.payers(5)
        await stack.hold_blocks()

        async def take(some: Sequence[Payer]) -> list[UUID]:
            return await accepted(engine, [stack.body(engine, payer) for payer in some])

        first = await take(payers[:1])
        await stack.all_are(engine, first, "sent")
        wallet = wallet_of(engine, PaymentFeed.kind)
        batch = await take(payers[1:3])
        await ticked(wallet)
        assert await stack.statuses(engine, batch) == ["pending", "pending"]
        batch += await take(payers[3:4])
        await stack.all_are(engine, batch, "sent")
        last = await take(payers[4:])
        await ticked(wallet)
        assert await stack.statuses(engine, last) == ["pending"]
        await in_force(stack, engine, payment_batch_interval_ms=10)
        await stack.all_are(engine, last, "sent")
        signed = [row["created_at"] for row in await transactions(engine)]
        assert signed[0] < signed[1] == signed[2] == signed[3] < signed[4]
        assert signed[4] > await written_at(engine, "payment_batch_interval_ms")


async def test_a_busy_mint_wallet_waits_for_its_interval(stack: Stack) -> None:
    """One mint of five is out, and the others wait for a full batch; when the interval is over
    they go in one transaction."""
    async with running(
        stack, mint_batch_interval_ms=_TEN_MINUTES, mint_batch_size=1, wallet_max_in_flight=1
    ) as engine:
        [payer] = await stack.payers(1)
        await stack.hold_blocks()
        ids = await accepted(engine, [stack.body(engine, payer, quantity=5)])
        await stack.all_are(engine, ids, "sent")
        await stack.mine()

        async def pending(count: int) -> bool:
            found = [row["status"] for row in await mints(engine)]
            return len(found) == 5 and found.count("pending") == count

        await eventually(lambda: pending(4))
        await in_force(stack, engine, mint_batch_size=100)
        await in_force(stack, engine, wallet_max_in_flight=64)
        await ticked(wallet_of(engine, MintFeed.kind))
        assert await pending(4)
        await in_force(stack, engine, mint_batch_interval_ms=10)
        await eventually(lambda: pending(0))
        first, batch = await transactions(engine, "mint")
        carried = [row["transaction_id"] for row in await mints(engine)]
        assert (carried.count(first["id"]), carried.count(batch["id"])) == (1, 4)
        assert batch["created_at"] > await written_at(engine, "mint_batch_interval_ms")


async def test_no_two_looks_at_the_chain_are_further_apart_than_the_setting(stack: Stack) -> None:
    """The confirmer goes to rest for no longer than that, while blocks come and while none does;
    a longer interval lets it rest for longer."""
    async with running(stack, start=False) as engine:
        confirmer = Confirmer(engine.db, only_network(engine), engine.settings, "a worker")

        async def rests() -> list[float]:
            """Before the first block of this confirmer, among blocks, and after them."""
            found = []
            for _ in range(6):
                # No rest at all means that there is more to read.
                found.append(await eventually(confirmer.tick, every_s=0))
                await stack.mine()
            return found

        await in_force(stack, engine, payment_confirmation_interval_ms=10)
        assert set(await rests()) == {0.01}
        await in_force(stack, engine, payment_confirmation_interval_ms=_TEN_MINUTES)
        assert min(await rests()) > 0.01
        await confirmer.leave()
