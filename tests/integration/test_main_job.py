"""Payments in, settled on chain, tokens minted: the main job against a real chain and database."""

from tests.harness.stack import PAYEE, PRICE, Stack, ids_of


async def test_payments_are_sent_confirmed_and_minted_once_each(stack: Stack) -> None:
    async with stack.engine() as engine:
        payers = await stack.payers(20)
        bodies = [stack.body(engine, payer, quantity=1 + at % 3) for at, payer in enumerate(payers)]
        ids = ids_of(await engine.intake.submit_many(bodies))
        await stack.all_are(engine, ids, "completed")
        await stack.all_minted(engine, sum(body["metadata"]["quantity"] for body in bodies))
        assert await stack.token_balance(PAYEE) == 20 * PRICE
        await stack.verified(engine)
