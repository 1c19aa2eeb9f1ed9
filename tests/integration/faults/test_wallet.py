"""Keys with a past, and keys that are gone."""

from typing import Any

from onsettle.engine.insights import Insights
from onsettle.runtime import Engine
from tests.harness.books import LogLines, accepted, alarms, becomes, loud, running, transactions
from tests.harness.moves import by_key, mining
from tests.harness.stack import PAYEE, PRICE, Stack, eventually


async def test_nothing_is_signed_while_foreign_transactions_are_pending(
    held: Stack, log_lines: LogLines
) -> None:
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
        assert loud(log_lines, "foreign_pending") == held.wallets
        assert await transactions(engine) == []
        async with mining(held):
            await becomes(engine, one, "completed")
            await held.all_minted(engine, 1)
        [ours] = await transactions(engine)
        assert ours["nonce"] == 4
        assert await alarms(engine, "foreign_pending") == []
        assert await held.token_balance(PAYEE) == PRICE


async def _wallet(engine: Engine, address: str) -> dict[str, Any]:
    state = await Insights(engine.db).read()
    [row] = [row for row in state["wallets"] if row["address"] == address]
    return {**row, "health": state["health"], "reasons": state["reasons"]}


async def test_a_dry_wallet_is_told_at_once_and_the_other_settles_all(two_wallets: Stack) -> None:
    """A new wallet without gas money is named before its first payment; what waits is settled by
    the other one; and when it is topped up, that is seen without a payment."""
    stack = two_wallets
    rich, dry = stack.wallets
    await stack.rpc.call("anvil_setBalance", dry, "0x0")
    async with running(stack) as engine:

        async def told() -> bool:
            row = await _wallet(engine, dry)
            return row["needs_balance"] is not None and row["balance"] == 0

        await eventually(told)
        row = await _wallet(engine, dry)
        assert row["health"] == "degraded"
        assert any(f"wallet {dry} needs" in reason for reason in row["reasons"])

        async def known() -> bool:
            return (await _wallet(engine, rich))["balance"] is not None

        await eventually(known)
        assert (await _wallet(engine, rich))["needs_balance"] is None
        payers = await stack.payers(30)
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])
        await stack.all_are(engine, ids, "completed")
        assert {row["wallet"] for row in await transactions(engine)} == {rich}
        assert (await _wallet(engine, dry))["needs_balance"] is not None
        await stack.rpc.call("anvil_setBalance", dry, hex(10**18))

        async def content() -> bool:
            row = await _wallet(engine, dry)
            return bool(row["health"] == "healthy" and row["balance"] == 10**18)

        await eventually(content)
        assert {row["wallet"] for row in await transactions(engine)} == {rich}


async def test_a_process_with_a_dry_wallet_leaves_its_share_to_the_others(
    two_wallets: Stack,
) -> None:
    """Payers are spread over the processes; those of one whose wallet is dry are settled too."""
    stack = two_wallets
    rich, dry = stack.wallets
    await stack.rpc.call("anvil_setBalance", dry, "0x0")
    async with (
        running(stack, environment={"payment_keys": stack.keys[0]}) as engine,
        running(stack, environment={"payment_keys": stack.keys[1]}),
    ):
        payers = await stack.payers(20)
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])
        await stack.all_are(engine, ids, "completed")
        assert {row["wallet"] for row in await transactions(engine)} == {rich}
