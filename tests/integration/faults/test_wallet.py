"""Keys with a past, and keys that are gone."""

from typing import Any

import pytest

from onsettle.engine.insights import Insights
from onsettle.runtime import Engine
from tests.harness.books import (
    LogLines,
    accepted,
    alarms,
    attempts,
    becomes,
    loud,
    payment,
    running,
    transactions,
)
from tests.harness.faults import Answer, Request, error, result
from tests.harness.moves import GWEI, by_key, drop, mining, pool_hashes
from tests.harness.proxy import FaultProxy
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
        await held.verified(engine)


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


async def test_what_a_wallet_has_signed_lands_as_it_is_when_it_was_dry_meanwhile(
    held: Stack,
) -> None:
    """Its transactions are in a node's pool when its money is gone, and the node drops them: they
    wait, and what comes later is not signed. Topped up, the very same bytes land."""
    async with running(held) as engine:
        payers = await held.payers(3)
        out = await accepted(engine, [held.body(engine, payer) for payer in payers[:2]])
        await held.all_are(engine, out, "sent")
        signed = await pool_hashes(held, held.wallets[0])
        assert len(signed) == 2
        await held.rpc.call("anvil_setBalance", held.wallets[0], "0x0")
        await drop(held, signed)
        late = await accepted(engine, [held.body(engine, payer) for payer in payers[2:]])

        async def offered_in_vain() -> bool:
            lowest, _ = await transactions(engine)
            [attempt] = await attempts(engine, lowest["id"])
            return bool(attempt["tries"] > 1 and attempt["answer"] == "insufficient_funds")

        async def told() -> bool:
            return (await _wallet(engine, held.wallets[0]))["needs_balance"] is not None

        async with mining(held):
            await eventually(offered_in_vain)
            await eventually(told)
        assert await held.statuses(engine, out + late) == ["sent", "sent", "pending"]
        assert await held.nonce(held.wallets[0]) == 0
        await held.rpc.call("anvil_setBalance", held.wallets[0], hex(10**21))
        async with mining(held):
            await held.all_are(engine, out + late, "completed")
            await held.all_minted(engine, 3)
        rows = await transactions(engine)
        tried = [[attempt["hash"] for attempt in await attempts(engine, r["id"])] for r in rows]
        assert tried[:2] == [[signed[0]], [signed[1]]]
        assert [len(each) for each in tried] == [1, 1, 1]
        assert {(await payment(engine, i))["tx_hash"] for i in out} == set(signed)
        assert await held.token_balance(PAYEE) == 3 * PRICE
        await held.verified(engine)


@pytest.mark.parametrize(
    ("asks", "cap", "tip"),
    [(hex(7 * GWEI), 500, 7 * GWEI), (hex(7 * GWEI), 3, 3 * GWEI), (None, 500, GWEI // 2)],
)
async def test_the_tip_is_what_the_node_asks_for_at_least(
    stack: Stack, asks: str | None, cap: int, tip: int
) -> None:
    """A chain with a least tip gets it, up to `max_fee_gwei`; a node that does not say leaves it at
    `priority_fee_gwei`."""

    def answer(call: Request, _honest: Answer) -> Answer:
        return error(call, -32601, "no such method") if asks is None else result(call, asks)

    async with FaultProxy(stack.chain.rpc_url) as proxy:
        proxy.lie(lambda call: call["method"] == "eth_maxPriorityFeePerGas", answer)
        stack.rpc_url = proxy.url
        async with running(stack, priority_fee_gwei="0.5", max_fee_gwei=cap) as engine:
            [payer] = await stack.payers(1)
            [one] = await accepted(engine, [stack.body(engine, payer, payment_type="plain")])
            await becomes(engine, one, "completed")
            [row] = await transactions(engine)
            [attempt] = await attempts(engine, row["id"])
            assert attempt["priority_fee"] == tip
            assert attempt["max_fee"] <= cap * GWEI
