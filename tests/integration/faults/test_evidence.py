"""What a node does not show, and what it says in error, proves nothing."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness.books import accepted, attempts, journal, running, transactions
from tests.harness.moves import STRANGER, ahead, base_fee, mining, transfer_of
from tests.harness.proxy import FaultProxy
from tests.harness.stack import PAYEE, PRICE, Stack, eventually


@pytest.fixture
async def proxied(dsn: str, tmp_path: Path) -> AsyncIterator[tuple[Stack, FaultProxy]]:
    """A stack whose engine reaches the chain through a node that can lie."""
    async with Stack(dsn, tmp_path) as stack, FaultProxy(stack.chain.rpc_url) as proxy:
        stack.rpc_url = proxy.url
        await stack.hold_blocks()
        yield stack, proxy


@pytest.mark.parametrize("confirmations", [1, 40])
async def test_what_a_node_does_not_show_proves_nothing(
    proxied: tuple[Stack, FaultProxy], confirmations: int
) -> None:
    """No receipt and no log of mined transactions, whether the block that decides shows their
    nonces and authorizations as used or not yet: no payment goes back, and all complete once the
    node shows them."""
    stack, proxy = proxied
    async with running(
        stack, payment_confirmations=confirmations, finality_blocks=100, fee_bump_after_ms=1000
    ) as engine:
        payers = await stack.payers(3)
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])
        await stack.all_are(engine, ids, "sent")
        for fault in ("no_receipts", "no_logs"):
            proxy.script(fault)
        await stack.mine()
        asked = proxy.seen["eth_getTransactionReceipt"]

        async def asked_again() -> bool:
            # Two rounds of looking: what they decided from nothing would be written by then.
            return proxy.seen["eth_getTransactionReceipt"] >= asked + 4 * len(ids)

        async with mining(stack, 0.3):
            await eventually(asked_again)
            proxy.clear()
        await stack.mine(confirmations)
        async with mining(stack, 0.3):
            await stack.all_are(engine, ids, "completed")
            await stack.all_minted(engine, 3)
        for each in ids:
            life = [status for status, _ in await journal(engine, each)]
            assert (life.count("pending"), life.count("processing")) == (1, 1), life
        assert len(await transactions(engine)) == 3
        assert await stack.token_balance(PAYEE) == 3 * PRICE


async def test_a_landing_that_a_node_does_not_show_is_not_charged_again(
    proxied: tuple[Stack, FaultProxy],
) -> None:
    """A stranger lands the authorization and ours reverts, but the node shows no log of it: that it
    is used is known, so nothing is sent again, and it completes once the log is shown."""
    stack, proxy = proxied
    async with running(stack) as engine:
        [payer] = await stack.payers(1)
        body = stack.body(engine, payer)
        [one] = await accepted(engine, [body])
        await stack.all_are(engine, [one], "sent")
        proxy.script("no_logs")
        await ahead(stack, STRANGER, stack.asset, transfer_of(body))
        async with mining(stack):

            async def reverted() -> bool:
                [ours] = await transactions(engine)
                return bool(ours["state"] == "reverted")

            await eventually(reverted)
            asked = proxy.seen["eth_getLogs"]

            async def looked_for() -> bool:
                # Blocks and look-ups: what they decided from nothing would be written by then.
                return proxy.seen["eth_getLogs"] >= asked + 12

            await eventually(looked_for)
            proxy.clear()
            await stack.all_are(engine, [one], "completed")
            await stack.all_minted(engine, 1)
        life = [status for status, _ in await journal(engine, one)]
        assert (life.count("pending"), life.count("processing")) == (1, 1), life
        assert len(await transactions(engine)) == 1
        await stack.verified(engine)


async def test_an_error_is_no_proof_that_bytes_were_refused(
    proxied: tuple[Stack, FaultProxy],
) -> None:
    """A node takes the bytes and answers every offer with an error, while blocks pass without
    them: nothing else is signed for their nonces, and they land."""
    stack, proxy = proxied
    async with running(stack) as engine:
        rule = proxy.script("accept_but_error", "eth_sendRawTransaction")
        payers = await stack.payers(2)
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])

        async def offered() -> bool:
            return proxy.injected["accept_but_error"] >= len(ids)

        await eventually(offered)

        async def offered_again() -> bool:
            # Too dear for them, so that they are still unmined when the wallet looks.
            await base_fee(stack, 50)
            await stack.mine()
            return proxy.seen["eth_sendRawTransaction"] >= 3 * len(ids)

        await eventually(offered_again, every_s=0.3)
        ours = await transactions(engine)
        assert [len(await attempts(engine, each["id"])) for each in ours] == [1, 1]
        proxy.stop(rule)
        await base_fee(stack, 0)
        await stack.mine()
        async with mining(stack):
            await stack.all_are(engine, ids, "completed")
            await stack.all_minted(engine, 2)
        assert [row["mined_hash"] for row in await transactions(engine)] == [
            (await attempts(engine, each["id"]))[0]["hash"] for each in ours
        ]
        await stack.verified(engine)
