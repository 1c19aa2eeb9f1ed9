"""Nonces that others take, that go missing, and that cost more than was offered."""

import itertools
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from onsettle.domain.fees import raised
from tests.harness.books import (
    accepted,
    attempts,
    becomes,
    by_hand,
    journal,
    running,
    transactions,
)
from tests.harness.moves import GWEI, base_fee, by_key, drop, mining, pool_hashes
from tests.harness.stack import PAYEE, PRICE, Stack, eventually, only_network


async def test_payments_whose_nonces_were_taken_settle_under_others(strict: Stack) -> None:
    """A foreign transaction takes our nonce: the payment goes back and settles under another one,
    once."""
    async with running(strict) as engine:
        payers = await strict.payers(4)
        ids = await accepted(engine, [strict.body(engine, payer) for payer in payers])
        await strict.all_are(engine, ids, "sent")
        chain_id = only_network(engine).chain_id
        for nonce in (0, 2):
            await strict.rpc.call("eth_sendRawTransaction", by_key(strict.keys[0], chain_id, nonce))
        async with mining(strict):
            await strict.all_are(engine, ids, "completed")
            await strict.all_minted(engine, 4)
        states = {row["nonce"]: row["state"] for row in await transactions(engine)}
        assert (states[0], states[2]) == ("replaced", "replaced")
        assert [states[each] for each in (1, 3, 4, 5)] == ["mined"] * 4
        lives = [await journal(engine, each) for each in ids]
        assert sum(("pending", "replaced") in life for life in lives) == 2
        assert await strict.token_balance(PAYEE) == 4 * PRICE
        await strict.verified(engine)


async def test_a_key_that_others_go_on_using_settles_all_the_same(stack: Stack) -> None:
    """Somebody else sends from the same key between our batches: nonces start from the chain's
    count every time, and nothing is sent twice."""
    async with running(stack) as engine:
        chain_id = only_network(engine).chain_id
        ids: list[UUID] = []
        for payer in await stack.payers(4):
            nonce = await stack.nonce(stack.wallets[0])
            await stack.rpc.call("eth_sendRawTransaction", by_key(stack.keys[0], chain_id, nonce))
            ids += await accepted(engine, [stack.body(engine, payer)])
            await stack.all_are(engine, ids, "completed")
        assert await stack.nonce(stack.wallets[0]) == 8
        assert len(await transactions(engine)) == 4
        await stack.all_minted(engine, 4)
        assert await stack.token_balance(PAYEE) == 4 * PRICE
        await stack.verified(engine)


async def test_gaps_among_fifty_in_flight_are_closed(strict: Stack) -> None:
    """One nonce that the node lost and one that nobody ever used: both are found and closed, and
    the rest land."""
    async with running(strict, fee_bump_after_ms=500) as engine:
        payers = await strict.payers(50)
        bodies = [strict.body(engine, payer, payment_type="plain") for payer in payers]
        ids = await accepted(engine, bodies[:25])
        await strict.all_are(engine, ids, "sent")
        await by_hand(
            strict, "update wallets set next_nonce = next_nonce + 1 where role = 'payment'"
        )
        ids += await accepted(engine, bodies[25:])
        await strict.all_are(engine, ids, "sent")
        await drop(strict, [(await pool_hashes(strict, strict.wallets[0]))[10]])
        async with mining(strict):
            await strict.all_are(engine, ids, "completed")
        [noop] = await transactions(engine, "noop")
        assert noop["nonce"] == 25
        assert len(await transactions(engine)) == 50
        assert await strict.token_balance(PAYEE) == 50 * PRICE
        await strict.verified(engine)


async def _keep_dear(stack: Stack, gwei: int) -> None:
    await base_fee(stack, gwei)
    await stack.mine()


def _fees(row: Any) -> tuple[int, int]:
    return int(row["max_fee"]), int(row["priority_fee"])


def _follows_the_rules(rows: Sequence[Any], cap: int) -> bool:
    """Each attempt pays at least 12.5 % more than the one before on both fees, under the cap."""
    pairs = itertools.pairwise(rows)
    return all(
        _fees(new)[0] >= raised(_fees(old)[0])
        and _fees(new)[1] >= raised(_fees(old)[1])
        and _fees(new)[0] <= cap
        for old, new in pairs
    )


async def test_a_tenfold_base_fee_is_followed_within_the_rules(strict: Stack) -> None:
    """Bumped by at least 12.5 % on both fees, never above the cap, the lowest unmined nonce only;
    and nothing runs twice."""
    async with running(strict, fee_bump_after_ms=300, max_fee_gwei=200) as engine:
        payers = await strict.payers(3)
        ids = await accepted(engine, [strict.body(engine, payer) for payer in payers])
        await strict.all_are(engine, ids, "sent")
        ours = await transactions(engine)

        async def bumped() -> bool:
            await _keep_dear(strict, 20)
            return len(await attempts(engine, ours[0]["id"])) > 1

        await eventually(bumped, every_s=0.2)
        assert [len(await attempts(engine, each["id"])) for each in ours[1:]] == [1, 1]

        async def done() -> bool:
            await _keep_dear(strict, 20)
            return set(await strict.statuses(engine, ids)) == {"completed"}

        await eventually(done, every_s=0.15)
        for each in ours:
            rows = await attempts(engine, each["id"])
            assert len(rows) > 1
            assert "replacement_underpriced" not in {row["answer"] for row in rows}
            assert _follows_the_rules(rows, 200 * GWEI)
        # Nothing was bumped before the nonce below it was through with its own bumps.
        for low, high in itertools.pairwise(ours):
            last = max(row["created_at"] for row in await attempts(engine, low["id"]))
            bumps = (await attempts(engine, high["id"]))[1:]
            assert min(row["created_at"] for row in bumps) > last
        assert await strict.token_balance(PAYEE) == 3 * PRICE
        async with mining(strict):
            await strict.all_minted(engine, 3)
        await strict.verified(engine)


async def test_a_base_fee_above_the_cap_is_waited_out(strict: Stack) -> None:
    """The base fee is above max_fee_gwei: no bump, the same bytes are offered again, and they land
    when it has fallen."""
    await _keep_dear(strict, 50)
    async with running(strict, fee_bump_after_ms=300, max_fee_gwei=30) as engine:
        payers = await strict.payers(1)
        await _keep_dear(strict, 50)
        [one] = await accepted(engine, [strict.body(engine, payers[0])])

        async def offered() -> bool:
            await _keep_dear(strict, 50)
            rows = await engine.db.pool.fetch("select tries from attempts")
            return bool(rows) and max(row["tries"] for row in rows) >= 2

        await eventually(offered, every_s=0.2)
        [ours] = await transactions(engine)
        [only] = await attempts(engine, ours["id"])
        assert _fees(only)[0] == 30 * GWEI
        await base_fee(strict, 1)
        async with mining(strict):
            row = await becomes(engine, one, "completed")
            await strict.all_minted(engine, 1)
        assert row["tx_hash"] == only["hash"]
        assert len(await attempts(engine, ours["id"])) == 1
        assert await strict.token_balance(PAYEE) == PRICE
        await strict.verified(engine)


async def test_an_older_attempt_may_be_the_one_that_mines(strict: Stack) -> None:
    """The first attempt mines after it was replaced: the payment completes under its hash, and
    nothing runs twice."""
    async with running(strict, fee_bump_after_ms=300, max_fee_gwei=10) as engine:
        [payer] = await strict.payers(1)
        [one] = await accepted(engine, [strict.body(engine, payer)])
        transaction = (await becomes(engine, one, "sent"))["transaction_id"]

        async def bumped() -> bool:
            await _keep_dear(strict, 50)
            return len(await attempts(engine, transaction)) > 1

        await eventually(bumped, every_s=0.2)
        old = (await attempts(engine, transaction))[0]
    # Nobody is looking, and the node has kept the first bytes only.
    await base_fee(strict, 0)
    await strict.rpc.call("eth_sendRawTransaction", "0x" + old["raw"].hex())
    await strict.mine()
    async with strict.engine() as engine:
        row = await becomes(engine, one, "completed")
        assert row["tx_hash"] == old["hash"]
        async with mining(strict):
            await strict.all_minted(engine, 1)
        [ours] = await transactions(engine)
        assert (ours["state"], ours["mined_hash"]) == ("mined", old["hash"])
        assert await strict.token_balance(PAYEE) == PRICE
        await strict.verified(engine)


async def test_a_chain_that_makes_no_block_for_them_is_paid_enough(held: Stack) -> None:
    """A chain that makes blocks on demand makes none while all that waits is priced out: each
    nonce in its turn is paid more for, though no block has passed it by."""
    async with running(held, fee_bump_after_ms=500) as engine:
        payers = await held.payers(2)
        ids = await accepted(engine, [held.body(engine, payer) for payer in payers])
        await held.all_are(engine, ids, "sent")
        await _keep_dear(held, 40)
        await held.rpc.call("evm_setAutomine", True)
        await held.all_are(engine, ids, "completed")
        for each in await transactions(engine, "payment"):
            assert len(await attempts(engine, each["id"])) == 2
        await held.all_minted(engine, 2)
        await held.verified(engine)
