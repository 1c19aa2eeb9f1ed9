"""Two workers, one of them frozen for longer than its leases, in every phase of sending."""

import pytest

from tests.harness.books import accepted, attempts, mints, running, transactions
from tests.harness.moves import base_fee, mining
from tests.harness.stack import PAYEE, PRICE, Stack, eventually, only_network
from tests.harness.workers import end_leases, seen_again, worker


@pytest.mark.parametrize(
    "point",
    [
        # Simulated, and about to open the signing commit.
        "wallet_purse:after",
        # Inside the signing commit: it holds the rows of the wallet and of its payments.
        "sign:before",
        # Signed and stored; no node has the bytes.
        "broadcast:before",
        # A node has the bytes, and nobody has written that down.
        "broadcast:after",
    ],
)
async def test_a_frozen_worker_neither_holds_nor_doubles_its_payments(
    held: Stack, point: str
) -> None:
    """Frozen past its lease while sending: another worker takes over and settles all; woken up, the
    old one is refused and nothing is sent twice."""
    async with running(held, start=False) as engine:
        payers = await held.payers(4)
        ids = await accepted(engine, [held.body(engine, payer) for payer in payers])
        async with worker(held, f"stop:{point}") as old:
            await old.froze()
            await end_leases(held)
            await engine.start()
            async with mining(held):
                await held.all_are(engine, ids, "completed")
                old.thaw()
                await held.all_minted(engine, 4)
                await seen_again(engine)
        assert len(await mints(engine)) == 4
        nonces = [row["nonce"] for row in await transactions(engine)]
        assert nonces == list(range(4))
        assert await held.nonce(held.wallets[0]) == 4
        assert await held.token_balance(PAYEE) == 4 * PRICE
        await held.verified(engine)


async def test_a_worker_frozen_between_two_broadcasts_is_replaced(held: Stack) -> None:
    """Frozen with one batch in the pool and the next one stored: the other worker sends the
    second one's bytes, and both land once."""
    async with running(held, start=False, payment_batch_size=2) as engine:
        payers = await held.payers(4)
        ids = await accepted(engine, [held.body(engine, payer) for payer in payers])
        async with worker(held, "stop:broadcast:before#2") as old:
            await old.froze()
            assert sorted(await held.statuses(engine, ids)) == ["processing"] * 2 + ["sent"] * 2
            stored = await transactions(engine)
            await end_leases(held)
            await engine.start()
            async with mining(held):
                await held.all_are(engine, ids, "completed")
                old.thaw()
                await seen_again(engine)
                await held.all_minted(engine, 4)
        assert [row["id"] for row in await transactions(engine)] == [row["id"] for row in stored]
        assert await held.token_balance(PAYEE) == 4 * PRICE
        await held.verified(engine)


async def test_a_worker_frozen_while_bumping_is_replaced(strict: Stack) -> None:
    """Frozen inside the commit of a fee bump: the other worker bumps by itself, one of the
    attempts mines, and the payment runs once."""
    async with running(strict, start=False, fee_bump_after_ms=300) as engine:
        [payer] = await strict.payers(1)
        ids = await accepted(engine, [strict.body(engine, payer)])
        async with worker(strict, "stop:replace:before") as old:
            await strict.all_are(engine, ids, "sent")

            async def frozen_while_dear() -> bool:
                await base_fee(strict, 20)
                await strict.mine()
                return old.frozen

            await eventually(frozen_while_dear, every_s=0.2)
            [ours] = await transactions(engine)
            assert len(await attempts(engine, ours["id"])) == 1
            await end_leases(strict)
            await engine.start()

            async def done() -> bool:
                await base_fee(strict, 20)
                await strict.mine()
                return await strict.statuses(engine, ids) == ["completed"]

            await eventually(done, every_s=0.2)
            old.thaw()
            async with mining(strict):
                await seen_again(engine)
                await strict.all_minted(engine, 1)
        assert len(await attempts(engine, ours["id"])) > 1
        assert len(await transactions(engine)) == 1
        assert await strict.token_balance(PAYEE) == PRICE
        await strict.verified(engine)


async def test_a_lease_ends_by_the_clock_alone(held: Stack) -> None:
    """Nobody helps: a frozen worker's wallet is taken over when its lease has run out, and its
    own clock tells the woken one that it holds nothing any more."""
    async with running(held, start=False) as engine:
        payers = await held.payers(2)
        ids = await accepted(engine, [held.body(engine, payer) for payer in payers])
        async with worker(held, "stop:wallet_purse:after") as old:
            await old.froze()
            await engine.start()
            async with mining(held):
                await held.all_are(engine, ids, "completed")
                old.thaw()
                await seen_again(engine)
                await held.all_minted(engine, 2)
        assert len(await transactions(engine)) == 2
        assert await held.token_balance(PAYEE) == 2 * PRICE
        await held.verified(engine)


async def test_the_fence_refuses_whoever_does_not_hold_the_lease(held: Stack) -> None:
    """A signing commit passes for the holder of this very term while it lasts, and for nobody
    else: not under an older term, not for another worker, not when it has run out."""
    async with running(held, start=False) as engine:
        key = (only_network(engine).chain_id, held.wallets[0])
        old = await engine.db.fetchval("wallet_lease", *key, "first", 10.0)
        await end_leases(held)
        term = await engine.db.fetchval("wallet_lease", *key, "second", 10.0)
        assert term > old
        assert await engine.db.fetchrow("wallet_lock", *key, term, "second") is not None
        for at, who in ((old, "first"), (old, "second"), (term, "first"), (term + 1, "second")):
            assert await engine.db.fetchrow("wallet_lock", *key, at, who) is None
        await end_leases(held)
        assert await engine.db.fetchrow("wallet_lock", *key, term, "second") is None
