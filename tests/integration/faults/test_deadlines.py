"""Authorizations that run out: in the queue, on the way, and at the moment of signing."""

from tests.harness.books import accepted, attempts, becomes, payment, running, transactions
from tests.harness.moves import base_fee, clock, mining
from tests.harness.stack import PAYEE, Stack, eventually


async def test_a_payment_that_expires_in_the_queue_costs_no_gas(stack: Stack) -> None:
    """Expired before it was sent: failed, final, nothing was signed."""
    async with running(stack, start=False) as engine:
        [payer] = await stack.payers(1)
        [one] = await accepted(engine, [stack.body(engine, payer)])
        await clock(stack, (await payment(engine, one))["valid_before"])
        await engine.start()
        await becomes(engine, one, "failed", "expired", final=True)
        assert await transactions(engine) == []
        await stack.verified(engine)


async def test_two_seconds_of_validity_are_too_few_to_sign(stack: Stack) -> None:
    """A payment that can't be mined in time is failed unsigned, and final once it has expired."""
    async with running(stack, start=False) as engine:
        [payer] = await stack.payers(1)
        [one] = await accepted(engine, [stack.body(engine, payer)])
        deadline = (await payment(engine, one))["valid_before"]
        await clock(stack, deadline - 2)
        await engine.start()
        await becomes(engine, one, "failed", "validity_too_short", final=False)
        await clock(stack, deadline)
        await becomes(engine, one, "failed", final=True)
        assert await transactions(engine) == []
        await stack.verified(engine)


async def test_a_stuck_transaction_that_expired_becomes_a_no_op(held: Stack) -> None:
    """Expired while sent: the nonce is freed by a no-op of 21,000 gas and no revert is paid for;
    the payment is final only then."""
    async with running(held, fee_bump_after_ms=300_000) as engine:
        [payer] = await held.payers(1)
        [one] = await accepted(engine, [held.body(engine, payer)])
        row = await becomes(engine, one, "sent")
        [ours] = await transactions(engine)
        # Too dear for the first attempt, so that it is still there when the deadline passes.
        await base_fee(held, 50)
        await clock(held, row["valid_before"] + 1)
        for _ in range(2):
            await base_fee(held, 50)
            await held.mine()

        async def replaced() -> bool:
            # The wallet looks at its lowest nonce when there are new blocks.
            await base_fee(held, 50)
            await held.mine()
            return len(await attempts(engine, ours["id"])) > 1

        await eventually(replaced, every_s=0.2)
        noop = (await attempts(engine, ours["id"]))[-1]
        assert noop["noop"]
        async with mining(held):
            await becomes(engine, one, "confirmation_failed", "expired", final=True)

            async def mined() -> bool:
                return bool((await transactions(engine))[0]["state"] == "mined")

            await eventually(mined)
        receipt = await held.rpc.call("eth_getTransactionReceipt", noop["hash"])
        assert isinstance(receipt, dict)
        assert (receipt["status"], receipt["gasUsed"]) == ("0x1", hex(21_000))
        assert receipt["to"] == held.wallets[0]
        assert await held.token_balance(PAYEE) == 0
        await held.verified(engine)
