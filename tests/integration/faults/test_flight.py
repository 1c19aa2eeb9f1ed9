"""What is on its way: how much a wallet may have there, whose money it is, and since when."""

import time

from tests.harness.books import (
    accepted,
    becomes,
    by_hand,
    in_force,
    journal,
    payment,
    running,
    transactions,
)
from tests.harness.moves import mining
from tests.harness.proxy import FaultProxy
from tests.harness.stack import PAYEE, PRICE, Stack, eventually


async def test_a_wallet_has_no_more_in_flight_than_it_may_whatever_goes_alone(
    held: Stack,
) -> None:
    """Payments that need a transaction each are ready together with room for two: two are signed,
    the others wait for room, and all complete."""
    async with running(held, start=False, wallet_max_in_flight=2, payment_pack_size=50) as engine:
        payers = await held.payers(6)
        bodies = [held.body(engine, payer, payment_type="plain") for payer in payers]
        ids = await accepted(engine, bodies)
        await by_hand(held, "update payment_queue set alone = true")
        await held.mine()
        await engine.start()

        async def signed() -> bool:
            return len(await transactions(engine)) > 0

        await eventually(signed)
        assert len(await transactions(engine)) == 2
        async with mining(held):
            await held.all_are(engine, ids, "completed")
        assert len(await transactions(engine)) == 6
        await held.verified(engine)


async def test_a_payment_that_was_given_up_and_may_land_is_still_its_payers(held: Stack) -> None:
    """A payment is failed by hand while its transaction is in the pool; the payer has no more than
    it took: the next payment waits instead of being sent to revert, and fails when the first has
    landed after all."""
    async with running(held) as engine:
        [payer] = await held.payers(1, PRICE)
        [one] = await accepted(engine, [held.body(engine, payer, payment_type="plain")])
        await becomes(engine, one, "sent")
        await by_hand(held, "update payment_queue set status = 'failed' where status = 'sent'")
        [two] = await accepted(engine, [held.body(engine, payer, payment_type="plain")])

        async def waits() -> bool:
            row = await payment(engine, two)
            assert row["status"] == "pending", row["status"]
            return "in flight" in str(row["error"])

        await eventually(waits)
        async with mining(held):
            await becomes(engine, one, "completed")
            await becomes(engine, two, "failed", "insufficient_balance")
        assert len(await transactions(engine)) == 1
        assert await held.token_balance(PAYEE) == PRICE
        await held.verified(engine)


async def test_the_timeout_counts_from_the_signing(stack: Stack) -> None:
    """A payment waits for longer than the confirmation timeout before it is signed, and the node
    is slow to take it: it has not timed out."""
    async with FaultProxy(stack.chain.rpc_url) as proxy:
        stack.rpc_url = proxy.url
        async with running(stack, payment_confirmation_timeout_ms=4000) as engine:
            [wallet] = stack.wallets
            await engine.db.execute("wallet_pause", wallet, True)
            [payer] = await stack.payers(1)
            [one] = await accepted(engine, [stack.body(engine, payer, payment_type="plain")])
            since = (await payment(engine, one))["created_at"].timestamp()

            async def old() -> bool:
                return bool(time.time() > since + 5)

            await eventually(old)
            proxy.script("delay", "eth_sendRawTransaction", amount=1.5)
            await engine.db.execute("wallet_pause", wallet, False)
            await becomes(engine, one, "completed")
            assert [status for status, _ in await journal(engine, one)] == [
                "pending",
                "processing",
                "sent",
                "completed",
            ]


async def test_the_timeout_of_another_round_counts_from_its_own_signing(held: Stack) -> None:
    """A payment that timed out is sent again after its transaction is gone: it gets the whole
    timeout again."""
    async with running(held, payment_confirmation_timeout_ms=3000) as engine:
        [payer] = await held.payers(1)
        [one] = await accepted(engine, [held.body(engine, payer, payment_type="plain")])
        await becomes(engine, one, "confirmation_failed", "timeout")
        await in_force(held, engine, payment_confirmation_timeout_ms=60_000)
        await by_hand(held, "update transactions set state = 'replaced'")
        await by_hand(held, "update payment_queue set status = 'pending'")
        await becomes(engine, one, "sent")
