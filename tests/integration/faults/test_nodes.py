"""A node that tells of dropped blocks, and two nodes that disagree."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from onsettle.runtime import Engine
from tests.harness.books import (
    accepted,
    alarms,
    attempts,
    becomes,
    journal,
    mints,
    payment,
    running,
    transactions,
)
from tests.harness.moves import Outsider, by_key, mining, reorg, transfer_of
from tests.harness.proxy import FaultProxy
from tests.harness.stack import PAYEE, PRICE, Stack, eventually, only_network


@pytest.fixture
async def proxied(dsn: str, tmp_path: Path) -> AsyncIterator[tuple[Stack, FaultProxy]]:
    """A stack whose engine reaches the chain through a node that keeps the first receipt of each
    transaction, whatever a reorg does."""
    async with Stack(dsn, tmp_path) as stack, FaultProxy(stack.chain.rpc_url) as proxy:
        stack.rpc_url = proxy.url
        await stack.hold_blocks()
        proxy.script("old_receipts")
        yield stack, proxy


async def test_a_receipt_of_a_dropped_block_completes_nothing(
    proxied: tuple[Stack, FaultProxy],
) -> None:
    """Our transfer is undone by a reorg in which the payer lands another authorization under the
    nonce; a node that still has our old receipt does not make it completed: used_elsewhere, final,
    nothing minted."""
    stack, proxy = proxied
    async with running(stack, payment_confirmations=2, finality_blocks=50) as engine:
        outsider = Outsider(stack)
        await outsider.fund()
        [payer] = await stack.payers(1)
        body = stack.body(engine, payer)
        nonce = body["authorization"]["nonce"]
        other = stack.body(engine, payer, value=0, pay_to=payer.address, nonce=nonce)
        [one] = await accepted(engine, [body])
        await becomes(engine, one, "sent")
        await stack.mine()
        await _in_a_block(engine, one)
        # The node is asked once while the receipt is true.
        hash_ = (await payment(engine, one))["tx_hash"]
        pool = only_network(engine).pool
        assert await pool.call("eth_getTransactionReceipt", hash_) is not None
        theirs = await outsider.call(stack.asset, transfer_of(other))
        await reorg(stack, 1, (theirs, 0))
        async with mining(stack):
            await becomes(engine, one, "confirmation_failed", "used_elsewhere", final=True)
        assert proxy.injected["old_receipts"] > 0
        assert len(await alarms(engine, "used_elsewhere")) == 1
        assert await mints(engine) == []
        assert await stack.token_balance(PAYEE) == 0
        proxy.clear()
        await stack.verified(engine)


async def test_a_receipt_of_a_dropped_block_is_not_the_fate_of_a_nonce(
    proxied: tuple[Stack, FaultProxy],
) -> None:
    """Somebody else with our key takes the nonce in a reorg; while the node shows our old receipt
    nothing is decided, and then the payment settles under another nonce, once."""
    stack, proxy = proxied
    async with running(stack, payment_confirmations=2, finality_blocks=50) as engine:
        [payer] = await stack.payers(1)
        [one] = await accepted(engine, [stack.body(engine, payer)])
        await becomes(engine, one, "sent")
        await stack.mine()
        await _in_a_block(engine, one)
        [ours] = await transactions(engine)
        [attempt] = await attempts(engine, ours["id"])
        network = only_network(engine)
        assert await network.pool.call("eth_getTransactionReceipt", attempt["hash"]) is not None
        await reorg(stack, 1, (by_key(stack.keys[0], network.chain_id, 0), 0))
        shown = proxy.injected["old_receipts"]
        async with mining(stack):

            async def shown_again() -> bool:
                return proxy.injected["old_receipts"] > shown + 2

            await eventually(shown_again)
            assert [row["state"] for row in await transactions(engine)] == ["live"]
            proxy.clear()
            await becomes(engine, one, "completed")
            await stack.all_minted(engine, 1)
        assert [row["state"] for row in await transactions(engine)] == ["replaced", "mined"]
        assert ("pending", "replaced") in await journal(engine, one)
        assert await stack.token_balance(PAYEE) == PRICE
        await stack.verified(engine)


async def _in_a_block(engine: Engine, one: UUID) -> None:
    async def there() -> bool:
        return (await payment(engine, one))["block_number"] is not None

    await eventually(there)


@pytest.mark.parametrize("fault", ["behind", "wobbling", "frozen", "ok_but_dropped"])
async def test_two_nodes_that_disagree_lose_and_double_nothing(
    dsn: str, tmp_path: Path, fault: str
) -> None:
    """One of two nodes lags, or takes bytes and drops them, and goes on so: no payment is marked
    failed or signed again, and all complete once."""
    async with (
        Stack(dsn, tmp_path) as stack,
        FaultProxy(stack.chain.rpc_url) as one,
        FaultProxy(stack.chain.rpc_url) as two,
    ):
        await stack.hold_blocks()
        urls = {"rpc_urls": f"{one.url},{two.url}"}
        async with running(stack, environment=urls, fee_bump_after_ms=1000) as engine:
            rule = one.script(fault)
            ids = await accepted(engine, [stack.body(engine, p) for p in await stack.payers(4)])
            async with mining(stack):

                async def completed() -> bool:
                    await only_network(engine).pool.probe()
                    return set(await stack.statuses(engine, ids)) == {"completed"}

                await eventually(completed)
                assert one.injected[fault] > 0
                one.stop(rule)
                await stack.all_minted(engine, 4)
            for each in ids:
                life = [status for status, _ in await journal(engine, each)]
                assert not {"failed", "confirmation_failed"} & set(life)
                assert life.count("processing") == 1
            assert len(await transactions(engine)) == 4
            assert await stack.token_balance(PAYEE) == 4 * PRICE
            await stack.verified(engine)
