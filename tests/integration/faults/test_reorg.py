"""Blocks that are taken back, before and after a payment was completed in one of them."""

from typing import Any
from uuid import UUID

import pytest

from onsettle.engine.stuck import read_stuck
from onsettle.engine.verify import verify
from onsettle.local.payers import Payer
from onsettle.runtime import Engine
from tests.harness.books import (
    LogLines,
    accepted,
    alarms,
    attempts,
    becomes,
    by_hand,
    journal,
    loud,
    mints,
    payment,
    running,
    transactions,
)
from tests.harness.moves import STRANGER, Outsider, ahead, by_key, mining, reorg
from tests.harness.receiver import SECRET, receiving
from tests.harness.stack import PAYEE, PRICE, Stack, domain_of, eventually, only_network

DEPTHS = pytest.mark.parametrize("depth", [1, 3, 10])


async def _seen(engine: Engine, one: UUID) -> None:
    """Wait until its transfer stands in a block that we know."""

    async def there() -> bool:
        return (await payment(engine, one))["block_number"] is not None

    await eventually(there)


@DEPTHS
async def test_a_payment_undone_after_it_completed_comes_back(held: Stack, depth: int) -> None:
    """A reorg of 1, 3 or 10 blocks under a completed payment: the same bytes are mined again, the
    status never leaves completed, and it is delivered once."""
    async with running(held, finality_blocks=50) as engine:
        [payer] = await held.payers(1)
        [one] = await accepted(engine, [held.body(engine, payer)])
        await becomes(engine, one, "sent")
        await held.mine(depth)
        first = await becomes(engine, one, "completed")
        await reorg(held, depth)
        await becomes(engine, one, "completed", block_number=None, final=False)
        async with mining(held):
            await _seen(engine, one)
            await held.all_minted(engine, 1)
        again = await payment(engine, one)
        assert (again["status"], again["tx_hash"]) == ("completed", first["tx_hash"])
        assert [status for status, _ in await journal(engine, one)].count("completed") == 1
        assert len(await transactions(engine)) == 1
        assert await held.token_balance(PAYEE) == PRICE
        await held.verified(engine)


async def test_a_completion_whose_block_is_gone_is_not_hidden(held: Stack) -> None:
    """While no block holds a completed payment, `stuck` shows it with why, since when and what
    comes next, and verify names it: at first as a note, and as a difference when it stays so."""
    async with running(held, finality_blocks=50) as engine:
        [payer] = await held.payers(1)
        [one] = await accepted(engine, [held.body(engine, payer)])
        await becomes(engine, one, "sent")
        await held.mine()
        await becomes(engine, one, "completed")
        assert (await read_stuck(engine.db, 300)).payments == []
        await reorg(held, 1)
        row = await becomes(engine, one, "completed", block_number=None, final=False)

        async def told() -> bool:
            [shown] = (await read_stuck(engine.db, 300)).payments
            assert (shown["id"], shown["since"]) == (one, row["completed_at"])
            return "a reorg took back" in shown["why"] and "stays completed" in shown["next"]

        await eventually(told)
        [note] = [n for n in (await held.verified(engine)).notes if str(one) in n]
        assert "its block was taken back" in note
        await by_hand(held, "update payment_queue set completed_at = now() - interval '11 minutes'")
        differences = (await held.audited(engine)).differences
        assert any(str(one) in d and "its block was taken back" in d for d in differences)


@DEPTHS
async def test_a_payment_undone_before_its_depth_completes_later(held: Stack, depth: int) -> None:
    """A reorg of 1, 3 or 10 blocks before the depth was reached: nothing was promised yet, the
    same bytes are mined again and complete at depth, once."""
    async with running(held, payment_confirmations=depth + 1, finality_blocks=50) as engine:
        [payer] = await held.payers(1)
        [one] = await accepted(engine, [held.body(engine, payer)])
        await becomes(engine, one, "sent")
        await held.mine(depth)
        await _seen(engine, one)
        assert (await payment(engine, one))["status"] == "sent"
        assert await mints(engine) == []
        await reorg(held, depth)
        await becomes(engine, one, "sent", block_number=None)
        async with mining(held, 0.05):
            await becomes(engine, one, "completed")
            await held.all_minted(engine, 1)
        assert len(await transactions(engine)) == 1
        assert len(await mints(engine)) == 1
        assert await held.token_balance(PAYEE) == PRICE
        await held.verified(engine)


async def _cancelled(stack: Stack, engine: Engine, payer: Payer, body: dict[str, Any]) -> str:
    """Raw bytes of an outsider, whose money no reorg takes back, that land the cancellation."""
    nonce = body["authorization"]["nonce"]
    outsider = Outsider(stack)
    await outsider.fund()
    return await outsider.call(stack.asset, payer.cancel(domain_of(engine, stack.asset), nonce))


@DEPTHS
async def test_a_completion_that_can_not_come_back_is_reversed_aloud(
    held: Stack, depth: int, log_lines: LogLines
) -> None:
    """A reorg of 1, 3 or 10 blocks under a completed payment in which the payer cancels instead:
    reversed, final, with an alarm that stays; what was delivered is listed by verify."""
    async with running(held, finality_blocks=50) as engine:
        [payer] = await held.payers(1)
        body = held.body(engine, payer)
        cancel = await _cancelled(held, engine, payer, body)
        [one] = await accepted(engine, [body])
        await becomes(engine, one, "sent")
        await held.mine(depth)
        await becomes(engine, one, "completed")
        await _minting(engine)
        await reorg(held, depth, (cancel, 0))
        async with mining(held):
            await becomes(engine, one, "confirmation_failed", "reversed", final=True)
            # Its mint was signed before: its bytes are out there and land all the same.
            await held.all_minted(engine, 1)
        assert [row["subject"] for row in await alarms(engine, "reversed")] == [str(one)]
        assert loud(log_lines, "reversed") == [str(one)]
        report = await verify(engine.db, engine.networks)
        assert report.differences
        assert all(str(one) in sentence for sentence in report.differences)
        assert await held.token_balance(PAYEE) == 0


@pytest.mark.parametrize("payment_type", ["mint", "order"])
async def test_what_was_told_of_a_payment_that_was_reversed_is_a_loss(
    held: Stack, payment_type: str
) -> None:
    """A reorg deeper than payment_confirmations in which the payer cancels instead: reversed,
    final, with an alarm that stays; what was delivered, mint or message, is listed by verify."""
    async with receiving() as receiver:
        hook = {"webhook_url": receiver.url, "webhook_secret": SECRET}
        async with running(held, finality_blocks=50, environment=hook) as engine:
            outsider = Outsider(held)
            await outsider.fund()
            [payer] = await held.payers(1)
            body = held.body(engine, payer, payment_type=payment_type)
            [one] = await accepted(engine, [body])
            await becomes(engine, one, "sent")
            async with mining(held):
                await becomes(engine, one, "completed")
                await held.all_minted(engine, payment_type == "mint")
                await _all_told(engine)
            row = await payment(engine, one)
            cancel = payer.cancel(domain_of(engine, held.asset), body["authorization"]["nonce"])
            depth = await held.height() - row["block_number"] + 1
            await reorg(held, depth, (await outsider.call(held.asset, cancel), 0))
            async with mining(held):
                await becomes(engine, one, "confirmation_failed", "reversed", final=True)
                # Its mint was signed before: its bytes are out there and land again.
                await held.all_minted(engine, payment_type == "mint")
            assert [row["subject"] for row in await alarms(engine, "reversed")] == [str(one)]
            losses = [d for d in (await held.audited(engine)).differences if str(one) in d]
            assert any("was told" in loss and "a loss" in loss for loss in losses), losses
            minted = any("minted, and the payment is not completed" in loss for loss in losses)
            assert minted == (payment_type == "mint"), losses
            assert await held.token_balance(PAYEE) == 0


async def _all_told(engine: Engine) -> None:
    async def told() -> bool:
        rows = await engine.db.pool.fetch("select status from outbox")
        return {row["status"] for row in rows} == {"delivered"}

    await eventually(told)


async def _minting(engine: Engine) -> None:
    """Wait until a mint is signed."""

    async def signed() -> bool:
        return len(await transactions(engine, "mint")) > 0

    await eventually(signed)


@DEPTHS
async def test_a_transfer_undone_before_its_depth_may_never_complete(
    held: Stack, depth: int
) -> None:
    """A reorg of 1, 3 or 10 blocks before the depth was reached, in which the payer cancels
    instead: confirmation_failed, final, and nothing was ever delivered."""
    async with running(held, payment_confirmations=depth + 1, finality_blocks=50) as engine:
        [payer] = await held.payers(1)
        body = held.body(engine, payer)
        cancel = await _cancelled(held, engine, payer, body)
        [one] = await accepted(engine, [body])
        await becomes(engine, one, "sent")
        await held.mine(depth)
        await _seen(engine, one)
        await reorg(held, depth, (cancel, 0))
        async with mining(held):
            await becomes(engine, one, "confirmation_failed", "cancelled", final=True)
        assert await mints(engine) == []
        assert await held.token_balance(PAYEE) == 0
        await held.verified(engine)


@DEPTHS
async def test_a_completion_whose_nonce_is_taken_in_a_reorg_is_charged_again(
    held: Stack, depth: int
) -> None:
    """A reorg of 1, 3 or 10 blocks in which somebody else with our key takes the nonce: reversed
    aloud, and since the authorization can still be charged, sent under a new nonce; charged once,
    delivered once."""
    async with running(held, finality_blocks=50) as engine:
        [payer] = await held.payers(1)
        [one] = await accepted(engine, [held.body(engine, payer)])
        await becomes(engine, one, "sent")
        await held.mine(depth)
        await becomes(engine, one, "completed")
        await _minting(engine)
        await reorg(held, depth, (_taken(held, engine), 0))
        async with mining(held):
            await _charged_again(engine, one)
            await held.all_minted(engine, 1)
        steps = [status for status, _ in await journal(engine, one)]
        assert steps[-5:] == ["confirmation_failed", "pending", "processing", "sent", "completed"]
        assert [row["subject"] for row in await alarms(engine, "reversed")] == [str(one)]
        assert await held.token_balance(PAYEE) == PRICE
        await held.verified(engine)


def _taken(stack: Stack, engine: Engine) -> str:
    """Raw bytes by our key, and not of ours, with the first nonce."""
    return by_key(stack.keys[0], only_network(engine).chain_id, 0)


async def _charged_again(engine: Engine, one: UUID) -> None:
    async def there() -> bool:
        steps = [status for status, _ in await journal(engine, one)]
        return "pending" in steps[1:] and steps[-1] == "completed"

    await eventually(there)


@DEPTHS
async def test_a_transfer_whose_nonce_is_taken_before_its_depth_settles_under_another(
    held: Stack, depth: int
) -> None:
    """A reorg of 1, 3 or 10 blocks before the depth was reached, in which somebody else with our
    key takes the nonce: nothing is reversed, it settles under a new nonce; charged once, delivered
    once."""
    async with running(held, payment_confirmations=depth + 1, finality_blocks=50) as engine:
        [payer] = await held.payers(1)
        [one] = await accepted(engine, [held.body(engine, payer)])
        await becomes(engine, one, "sent")
        await held.mine(depth)
        await _seen(engine, one)
        await reorg(held, depth, (_taken(held, engine), 0))
        async with mining(held, 0.05):
            await _charged_again(engine, one)
            await held.all_minted(engine, 1)
        steps = await journal(engine, one)
        assert ("pending", "replaced") in steps
        assert [status for status, _ in steps].count("completed") == 1
        assert await alarms(engine, "reversed") == []
        assert await held.token_balance(PAYEE) == PRICE
        await held.verified(engine)


async def test_mints_that_a_reorg_takes_back_are_mined_again_once(held: Stack) -> None:
    """A reorg that drops payments and their mints: both are mined again, and every key once."""
    async with running(held, finality_blocks=50) as engine:
        payers = await held.payers(3)
        bodies = [held.body(engine, payer, quantity=2) for payer in payers]
        start = await held.height()
        ids = await accepted(engine, bodies)
        async with mining(held):
            await held.all_are(engine, ids, "completed")
            await held.all_minted(engine, 6)
        first = {row["id"]: row["block_hash"] for row in await mints(engine)}
        await reorg(held, await held.height() - start)
        async with mining(held):

            async def back() -> bool:
                rows = [await payment(engine, each) for each in ids]
                units = await mints(engine)
                return all(row["block_number"] for row in rows) and all(
                    unit["status"] == "completed"
                    and unit["block_hash"] not in (None, first[unit["id"]])
                    for unit in units
                )

            await eventually(back)
        assert len(await mints(engine)) == 6
        assert set(await held.statuses(engine, ids)) == {"completed"}
        assert await held.token_balance(PAYEE) == 3 * PRICE
        await held.verified(engine)


async def test_a_failure_that_a_reorg_undoes_may_complete_after_all(held: Stack) -> None:
    """The block in which the payer cancelled is dropped and our transaction lands instead: the
    payer was charged, so the final failure is taken back, completed, and delivered once."""
    async with running(held, finality_blocks=50) as engine:
        [payer] = await held.payers(1)
        body = held.body(engine, payer)
        [one] = await accepted(engine, [body])
        await becomes(engine, one, "sent")
        [ours] = await transactions(engine)
        [attempt] = await attempts(engine, ours["id"])
        cancel = payer.cancel(domain_of(engine, held.asset), body["authorization"]["nonce"])
        await ahead(held, STRANGER, held.asset, cancel)
        await held.mine()
        await becomes(engine, one, "confirmation_failed", "cancelled", final=True)
        await reorg(held, 1, ("0x" + attempt["raw"].hex(), 0))
        async with mining(held):
            await becomes(engine, one, "completed")
            await held.all_minted(engine, 1)
        assert len(await transactions(engine)) == 1
        assert await held.token_balance(PAYEE) == PRICE
        await held.verified(engine)
