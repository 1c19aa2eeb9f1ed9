"""Time without a node, time without workers, and nodes that know less than they say."""

import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from onsettle.runtime import Engine
from tests.harness.books import (
    accepted,
    becomes,
    by_hand,
    journal,
    mints,
    payment,
    running,
    transactions,
)
from tests.harness.moves import STRANGER, ahead, mining, reorg, transfer_of
from tests.harness.proxy import FaultProxy
from tests.harness.stack import PAYEE, PRICE, Stack, eventually, only_network


@pytest.fixture
async def proxied(dsn: str, tmp_path: Path) -> AsyncIterator[tuple[Stack, FaultProxy]]:
    """A stack whose engine reaches the chain through a node that can lie."""
    async with Stack(dsn, tmp_path) as stack, FaultProxy(stack.chain.rpc_url) as proxy:
        stack.rpc_url = proxy.url
        await stack.hold_blocks()
        yield stack, proxy


async def _looked_at(engine: Engine) -> datetime:
    """When the confirmer last stood at the head."""
    row = await engine.db.fetchrow("network_get", only_network(engine).chain_id)
    assert row is not None
    found: datetime = row["looked_at"]
    return found


@pytest.mark.parametrize("mined", [True, False])
async def test_a_dead_node_changes_no_outcome(
    proxied: tuple[Stack, FaultProxy], mined: bool
) -> None:
    """No node for longer than the confirmation timeout: nothing is failed by a clock, whether the
    transactions were mined meanwhile or not; work goes on when it returns."""
    stack, proxy = proxied
    async with running(stack, payment_confirmation_timeout_ms=2000) as engine:
        payers = await stack.payers(2)
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])
        await stack.all_are(engine, ids, "sent")
        rule = proxy.script("drop")
        until = time.monotonic() + 3

        async def past() -> bool:
            return time.monotonic() > until

        await eventually(past)
        assert await stack.statuses(engine, ids) == ["sent"] * 2
        if mined:
            await stack.mine(2)
        looked = await _looked_at(engine)
        proxy.stop(rule)

        async def looked_again() -> bool:
            return await _looked_at(engine) > looked

        await eventually(looked_again)
        async with mining(stack):
            await stack.all_are(engine, ids, "completed")
            await stack.all_minted(engine, 2)
        for each in ids:
            assert "timeout" not in {reason for _, reason in await journal(engine, each)}
        await stack.verified(engine)


@pytest.mark.parametrize("mined", [True, False])
async def test_stopped_workers_change_no_outcome(held: Stack, mined: bool) -> None:
    """No worker for longer than the confirmation timeout: the clock starts anew with the next one,
    whether the transactions were mined meanwhile or not."""
    async with running(held) as engine:
        payers = await held.payers(2)
        ids = await accepted(engine, [held.body(engine, payer) for payer in payers])
        await held.all_are(engine, ids, "sent")
    if mined:
        await held.mine()
    for table, columns in (
        ("networks", ("following_since", "looked_at")),
        ("payment_queue", ("created_at", "processed_at", "sent_at")),
        ("transactions", ("created_at",)),
    ):
        back = ", ".join(f"{name} = {name} - interval '1 day'" for name in columns)
        await by_hand(held, f"update {table} set {back}")
    async with running(held) as engine:

        async def looked_twice() -> bool:
            row = await engine.db.fetchrow("network_get", chain_id)
            return row is not None and row["looked_at"] > row["following_since"]

        chain_id = next(iter(engine.networks))
        await eventually(looked_twice)
        assert set(await held.statuses(engine, ids)) == {"completed" if mined else "sent"}
        async with mining(held):
            await held.all_are(engine, ids, "completed")
            await held.all_minted(engine, 2)
        for each in ids:
            assert "timeout" not in {reason for _, reason in await journal(engine, each)}
        await held.verified(engine)


async def test_a_timeout_is_not_an_end(held: Stack) -> None:
    """Sent and unseen for the timeout while the head is followed: confirmation_failed and not
    final; it is still watched and completes when it lands, delivered once."""
    async with running(held, payment_confirmation_timeout_ms=1000) as engine:
        [payer] = await held.payers(1)
        [one] = await accepted(engine, [held.body(engine, payer)])
        await becomes(engine, one, "confirmation_failed", "timeout", final=False)
        async with mining(held):
            await becomes(engine, one, "completed")
            await held.all_minted(engine, 1)
        assert len(await transactions(engine)) == 1
        assert len(await mints(engine)) == 1
        await held.verified(engine)


async def test_days_away_are_caught_up_by_ranges(proxied: tuple[Stack, FaultProxy]) -> None:
    """After 600 blocks without us, at a node that limits ranges: the confirmer catches up, and
    completes what others landed, early and late in that time."""
    stack, proxy = proxied
    async with running(stack) as engine:
        payers = await stack.payers(3)
        bodies = [stack.body(engine, payer) for payer in payers]
        ids = await accepted(engine, bodies[:1])
        await stack.all_are(engine, ids, "sent")
    async with running(stack, start=False) as engine:
        ids += await accepted(engine, bodies[1:])
    await stack.rpc.call("anvil_mine", hex(300), timeout_s=60)
    await ahead(stack, STRANGER, stack.asset, transfer_of(bodies[1]))
    await stack.rpc.call("anvil_mine", hex(300), timeout_s=60)
    await ahead(stack, STRANGER, stack.asset, transfer_of(bodies[2]))
    await stack.mine()
    proxy.script("range_limit", amount=100)
    before = proxy.seen["eth_getLogs"]
    async with running(stack) as engine:
        await stack.all_are(engine, ids, "completed")
        assert proxy.seen["eth_getLogs"] - before < 300
        async with mining(stack):
            await stack.all_minted(engine, 3)
        assert await stack.token_balance(PAYEE) == 3 * PRICE
        proxy.clear()
        await stack.verified(engine)


async def test_a_reorg_while_nobody_looked_is_found_when_catching_up(held: Stack) -> None:
    """The block of a completed payment was dropped while we were away, hundreds of blocks ago: its
    evidence is withdrawn, its bytes are mined again, and it is delivered once."""
    async with running(held, finality_blocks=1000) as engine:
        [payer] = await held.payers(1)
        [one] = await accepted(engine, [held.body(engine, payer)])
        await becomes(engine, one, "sent")
        await held.mine()
        await becomes(engine, one, "completed")
    await reorg(held, 1)
    await held.rpc.call("anvil_mine", hex(300), timeout_s=60)
    async with running(held, finality_blocks=1000) as engine, mining(held):
        row = await becomes(engine, one, "completed")
        first = row["block_number"]

        async def moved() -> bool:
            row = await payment(engine, one)
            return row["block_number"] is not None and row["block_number"] > first + 200

        await eventually(moved)
        await held.all_minted(engine, 1)
        assert len(await transactions(engine)) == 1
        assert await held.token_balance(PAYEE) == PRICE
        await held.verified(engine)


@pytest.mark.parametrize(
    "faults",
    [
        ["no_receipts"],
        ["no_logs"],
        ["no_receipts", "no_logs"],
        ["old_nonce", "no_receipts"],
        ["behind"],
        ["wobbling"],
        ["frozen"],
    ],
    ids="+".join,
)
async def test_a_node_that_lags_fails_nothing(
    proxied: tuple[Stack, FaultProxy], faults: list[str]
) -> None:
    """Receipts, logs or nonce counts that are missing or old for mined transactions: no payment is
    marked failed or signed again, and all complete when the node has caught up."""
    stack, proxy = proxied
    async with running(stack, fee_bump_after_ms=1000) as engine:
        payers = await stack.payers(4)
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])
        await stack.all_are(engine, ids, "sent")
        for fault in faults:
            proxy.script(fault)
        await stack.mine()
        until = time.monotonic() + 2.5

        async def past() -> bool:
            return time.monotonic() > until

        async with mining(stack):
            await eventually(past)
            proxy.clear()
            await stack.all_are(engine, ids, "completed")
            await stack.all_minted(engine, 4)
        for each in ids:
            life = [status for status, _ in await journal(engine, each)]
            assert not {"failed", "confirmation_failed"} & set(life)
            assert life.count("processing") == 1
        assert len(await transactions(engine)) == 4
        assert await stack.token_balance(PAYEE) == 4 * PRICE
        await stack.verified(engine)
