"""Keys with a past, and keys that are gone."""

from tests.harness.books import accepted, alarms, becomes, running, transactions
from tests.harness.moves import by_key, mining
from tests.harness.stack import PAYEE, PRICE, Stack, eventually


async def test_nothing_is_signed_while_foreign_transactions_are_pending(held: Stack) -> None:
    """A first start with a key that has foreign transactions in the pool: an alarm, and payments
    wait until those are mined; then they take the nonces after them."""
    chain_id = int(str(await held.rpc.call("eth_chainId")), 16)
    for nonce in (0, 1):
        await held.rpc.call("eth_sendRawTransaction", by_key(held.keys[0], chain_id, nonce))
    async with running(held) as engine:
        [payer] = await held.payers(1)
        # Paying the payer made a block; the same key's next two wait again.
        for nonce in (2, 3):
            await held.rpc.call("eth_sendRawTransaction", by_key(held.keys[0], chain_id, nonce))
        [one] = await accepted(engine, [held.body(engine, payer)])

        async def alarmed() -> bool:
            return len(await alarms(engine, "foreign_pending")) == 1

        await eventually(alarmed)
        assert await transactions(engine) == []
        async with mining(held):
            await becomes(engine, one, "completed")
            await held.all_minted(engine, 1)
        [ours] = await transactions(engine)
        assert ours["nonce"] == 4
        assert await alarms(engine, "foreign_pending") == []
        assert await held.token_balance(PAYEE) == PRICE
        await held.verified(engine)
