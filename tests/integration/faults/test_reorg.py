"""Blocks that are taken back, before and after a payment was completed in one of them."""

from pathlib import Path

import pytest

from onsettle.engine.verify import verify
from tests.harness.books import (
    LogLines,
    accepted,
    alarms,
    attempts,
    becomes,
    journal,
    loud,
    mints,
    payment,
    running,
    transactions,
)
from tests.harness.moves import STRANGER, Outsider, ahead, by_key, mining, reorg
from tests.harness.stack import PAYEE, PRICE, Stack, domain_of, eventually, only_network


@pytest.mark.parametrize("depth", [1, 3, 10])
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

            async def back() -> bool:
                return (await payment(engine, one))["block_number"] is not None

            await eventually(back)
            await held.all_minted(engine, 1)
        again = await payment(engine, one)
        assert (again["status"], again["tx_hash"]) == ("completed", first["tx_hash"])
        assert [status for status, _ in await journal(engine, one)].count("completed") == 1
        assert len(await transactions(engine)) == 1
        assert await held.token_balance(PAYEE) == PRICE
        await held.verified(engine)


@pytest.mark.parametrize("depth", [1, 3, 10])
async def test_a_payment_undone_before_its_depth_completes_later(held: Stack, depth: int) -> None:
    """A reorg of 1, 3 or 10 blocks before the depth was reached: nothing was promised yet, the
    same bytes are mined again and complete at depth, once."""
    async with running(held, payment_confirmations=depth + 1, finality_blocks=50) as engine:
        [payer] = await held.payers(1)
        [one] = await accepted(engine, [held.body(engine, payer)])
        await becomes(engine, one, "sent")
        await held.mine(depth)

        async def seen() -> bool:
            return (await payment(engine, one))["block_number"] is not None

        await eventually(seen)
        assert (await payment(engine, one))["status"] == "sent"
        assert await mints(engine) == []
        await reorg(held, depth)
        await becomes(engine, one, "sent", block_number=None)
        async with mining(held):
            await becomes(engine, one, "completed")
            await held.all_minted(engine, 1)
        assert len(await transactions(engine)) == 1
        assert len(await mints(engine)) == 1
        assert await held.token_balance(PAYEE) == PRICE
        await held.verified(engine)


async def test_payments_mined_again_in_another_order_stay_completed(
    dsn: str, tmp_path: Path
) -> None:
    """A reorg that mines the same transactions in other blocks: each payment points at the block
    that now holds it, and is delivered once."""
    async with Stack(dsn, tmp_path, wallets=2) as stack:
        await stack.hold_blocks()
        async with running(stack, finality_blocks=50) as engine:
            payers = await stack.payers(8)
            bodies = [stack.body(engine, payer) for payer in payers]
            ids = []
            for half in (bodies[:4], bodies[4:]):
                ids += await accepted(engine, half)
                await stack.all_are(engine, ids, "sent")
            sent = await transactions(engine)
            await stack.mine(3)
            await stack.all_are(engine, ids, "completed")
            first = {each: (await payment(engine, each))["block_hash"] for each in ids}
            raws = [(await attempts(engine, each["id"]))[0]["raw"] for each in sent]
            # The last ones of each wallet one block later than the first ones.
            where = [0 if row["nonce"] < 2 else 2 for row in sent]
            pairs = [("0x" + raw.hex(), at) for raw, at in zip(raws, where, strict=True)]
            await reorg(stack, 3, *pairs)

            async def moved() -> bool:
                rows = [await payment(engine, each) for each in ids]
                return all(row["block_hash"] not in (None, first[row["id"]]) for row in rows)

            await eventually(moved)
            async with mining(stack):
                await stack.all_minted(engine, 8)
            assert set(await stack.statuses(engine, ids)) == {"completed"}
            assert len({(await payment(engine, each))["block_number"] for each in ids}) == 2
            assert await stack.token_balance(PAYEE) == 8 * PRICE
            await stack.verified(engine)


async def test_a_completion_that_can_not_come_back_is_reversed_aloud(
    held: Stack, log_lines: LogLines
) -> None:
    """A reorg deeper than payment_confirmations in which the payer cancels instead: reversed,
    final, with an alarm that stays; what was delivered is listed by verify."""
    async with running(held, finality_blocks=50) as engine:
        outsider = Outsider(held)
        await outsider.fund()
        [payer] = await held.payers(1)
        body = held.body(engine, payer)
        [one] = await accepted(engine, [body])
        await becomes(engine, one, "sent")
        async with mining(held):
            await becomes(engine, one, "completed")
            await held.all_minted(engine, 1)
        row = await payment(engine, one)
        cancel = payer.cancel(domain_of(engine, held.asset), body["authorization"]["nonce"])
        depth = await held.height() - row["block_number"] + 1
        await reorg(held, depth, (await outsider.call(held.asset, cancel), 0))
        async with mining(held):
            await becomes(engine, one, "confirmation_failed", "reversed", final=True)
            # Its mint was signed before: its bytes are out there and land again.
            await held.all_minted(engine, 1)
        assert [row["subject"] for row in await alarms(engine, "reversed")] == [str(one)]
        assert loud(log_lines, "reversed") == [str(one)]
        report = await verify(engine.db, engine.networks)
        assert not report.ok
        assert any(str(one) in sentence for sentence in report.differences)
        assert await held.token_balance(PAYEE) == 0


async def test_a_transfer_undone_before_its_depth_may_never_complete(held: Stack) -> None:
    """A reorg before the depth in which the payer cancels instead: confirmation_failed, final, and
    nothing was ever delivered."""
    async with running(held, payment_confirmations=5, finality_blocks=50) as engine:
        outsider = Outsider(held)
        await outsider.fund()
        [payer] = await held.payers(1)
        body = held.body(engine, payer)
        [one] = await accepted(engine, [body])
        await becomes(engine, one, "sent")
        await held.mine(3)

        async def seen() -> bool:
            return (await payment(engine, one))["block_number"] is not None

        await eventually(seen)
        cancel = payer.cancel(domain_of(engine, held.asset), body["authorization"]["nonce"])
        await reorg(held, 3, (await outsider.call(held.asset, cancel), 0))
        async with mining(held):
            await becomes(engine, one, "confirmation_failed", "cancelled", final=True)
        assert await mints(engine) == []
        assert await held.token_balance(PAYEE) == 0
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


async def test_a_completion_whose_nonce_is_taken_in_a_reorg_is_charged_again(held: Stack) -> None:
    """A reorg in which somebody else with our key takes the nonce: reversed aloud, and since the
    authorization can still be charged, sent under a new nonce; charged once, delivered once."""
    async with running(held, finality_blocks=50) as engine:
        [payer] = await held.payers(1)
        [one] = await accepted(engine, [held.body(engine, payer)])
        await becomes(engine, one, "sent")
        async with mining(held):
            await becomes(engine, one, "completed")
            await held.all_minted(engine, 1)
        row = await payment(engine, one)
        [sent] = [t for t in await transactions(engine) if t["kind"] == "payment"]
        taken = by_key(held.keys[0], only_network(engine).chain_id, sent["nonce"])
        await reorg(held, await held.height() - row["block_number"] + 1, (taken, 0))
        async with mining(held):

            async def charged_again() -> bool:
                steps = [status for status, _ in await journal(engine, one)]
                return "confirmation_failed" in steps and steps[-1] == "completed"

            await eventually(charged_again)
            await held.all_minted(engine, 1)
        steps = [status for status, _ in await journal(engine, one)]
        assert steps[-5:] == ["confirmation_failed", "pending", "processing", "sent", "completed"]
        assert [row["subject"] for row in await alarms(engine, "reversed")] == [str(one)]
        assert await held.token_balance(PAYEE) == PRICE
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
