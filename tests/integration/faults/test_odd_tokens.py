"""Tokens that refuse without saying why: what is a payment's own fault fails it, the rest waits."""

from onsettle.local.payers import Payer, fund
from tests.harness.books import accepted, becomes, payment, running, transactions
from tests.harness.contracts import act, calldata, deploy
from tests.harness.moves import mining
from tests.harness.stack import PAYEE, PRICE, Stack, eventually

_NONE, _EMPTY_REVERT = 0, 2


async def _says(stack: Stack, token: str, payer: Payer, oddity: int) -> None:
    """The token refuses this payer's transfers with a revert without a word, or no longer."""
    data = calldata("setOddity(address,uint8)", payer.address, oddity)
    await act(stack.rpc, payer.address, token, data)


async def test_payers_without_money_fail_whatever_the_token_calls_it(stack: Stack) -> None:
    """Four payers of a token that gives no reasons hold nothing: each fails for its own balance,
    before any gas is spent."""
    token = await deploy(stack.rpc, "OddToken")
    async with running(stack, start=False, environment={"assets": token}) as engine:
        payers = [Payer() for _ in range(4)]
        for payer in payers:
            await _says(stack, token, payer, _EMPTY_REVERT)
        bodies = [stack.body(engine, p, asset=token, payment_type="plain") for p in payers]
        ids = await accepted(engine, bodies)
        await engine.start()
        async with mining(stack):
            for one in ids:
                await becomes(engine, one, "failed", "insufficient_balance")
        assert await transactions(engine) == []


async def test_a_token_that_refuses_everybody_without_a_word_holds_its_payments(
    stack: Stack,
) -> None:
    """Four payers with money are refused without a reason: nobody fails; when the token lets them
    pass, all complete."""
    token = await deploy(stack.rpc, "OddToken")
    async with running(stack, start=False, environment={"assets": token}) as engine:
        payers = [Payer() for _ in range(4)]
        await fund(stack.rpc_url, token, [payer.address for payer in payers], PRICE)
        for payer in payers:
            await _says(stack, token, payer, _EMPTY_REVERT)
        bodies = [stack.body(engine, p, asset=token, payment_type="plain") for p in payers]
        ids = await accepted(engine, bodies)
        await engine.start()

        async def held() -> bool:
            rows = [await payment(engine, one) for one in ids]
            return all(row["hold_until"] is not None for row in rows)

        await eventually(held)
        assert set(await stack.statuses(engine, ids)) == {"pending"}
        for payer in payers:
            await _says(stack, token, payer, _NONE)
        await stack.all_are(engine, ids, "completed")
        assert await stack.token_balance(PAYEE, token) == 4 * PRICE
        await stack.verified(engine)
