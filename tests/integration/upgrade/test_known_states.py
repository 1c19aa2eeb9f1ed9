"""Every state in which the older server leaves a database, moved over and settled."""

import json
from typing import Any
from uuid import UUID

from onsettle.engine.request import Refused
from onsettle.store.migrate import migrate
from tests.harness.commands import onsettle
from tests.harness.older import OlderServer, split
from tests.harness.stack import PAYEE, PRICE, Stack, eventually


async def _row(older: OlderServer, payment: UUID) -> dict[str, object]:
    row = await older.hand.fetchrow("select * from payment_queue where id = $1", payment)
    assert row is not None
    return dict(row)


async def _mints(older: OlderServer, payment: UUID) -> list[tuple[str, str]]:
    rows = await older.hand.fetch(
        "select tx_hash_bytes32, status from mint_queue where payment_id = $1 order by 1", payment
    )
    return [(row[0], row[1]) for row in rows]


async def _delivered(older: OlderServer, payment: UUID, count: int) -> None:
    async def done() -> bool:
        rows = await _mints(older, payment)
        return len(rows) == count and all(status == "completed" for _, status in rows)

    await eventually(done)


async def test_what_waits_or_was_left_by_a_crash_is_settled_and_delivered_once(
    stack: Stack, older: OlderServer
) -> None:
    """Pending, and processing without a transaction: sent; with one that landed: not sent again."""
    payers = await stack.payers(4)
    signed = [older.authorization(payer) for payer in payers]
    waiting = await older.insert(signed[0], quantity=2)
    by_parts = await older.insert(split(signed[1]))
    crashed = await older.insert(signed[2])
    await older.claim(crashed)
    landed = await older.insert(signed[3])
    await older.claim(landed)
    theirs = await older.settle(signed[3])
    ids = [waiting, by_parts, crashed, landed]
    async with stack.engine() as engine:
        await stack.all_are(engine, ids, "completed")
        await stack.all_minted(engine, 5)
        assert await stack.token_balance(PAYEE) == 4 * PRICE
        assert (await _row(older, landed))["tx_hash"] == theirs
        await stack.verified(engine)


async def test_a_failed_payment_whose_transaction_landed_later_is_completed_and_delivered(
    stack: Stack, older: OlderServer
) -> None:
    """The payer was charged after the older server gave up waiting. One that was not is left."""
    payers = await stack.payers(2)
    late, never = [older.authorization(payer) for payer in payers]
    landed = await older.insert(late)
    await older.claim(landed)
    tx_hash = await older.settle(late)
    await older.failed(landed, "Transaction timeout", tx_hash)
    unpaid = await older.insert(never)
    await older.claim(unpaid)
    await older.failed(unpaid, "insufficient funds")
    async with stack.engine() as engine:
        await stack.all_are(engine, [landed], "completed")
        await _delivered(older, landed, 1)
        row = await _row(older, unpaid)
        assert (row["status"], row["error"]) == ("failed", "insufficient funds")
        # Nobody is charged unasked for what was reported as failed; it may still land by itself.
        await older.settle(never)
        await stack.all_are(engine, [unpaid], "completed")
        await _delivered(older, unpaid, 1)
        await stack.verified(engine)


async def test_payments_that_landed_in_one_transaction_are_told_apart(
    stack: Stack, older: OlderServer
) -> None:
    """A look-up judges an authorization by its own use, whoever else paid beside it."""
    payers = await stack.payers(2)
    signed = [
        older.authorization(payers[0], value=PRICE),
        older.authorization(payers[0], value=2 * PRICE),
        older.authorization(payers[1], value=3 * PRICE),
    ]
    ids = [await older.insert(each) for each in signed]
    for payment in ids:
        await older.claim(payment)
    tx_hash = await older.settle(*signed)
    await older.failed(ids[2], "Transaction timeout", tx_hash)
    async with stack.engine() as engine:
        await stack.all_are(engine, ids, "completed")
        indexes = await older.hand.fetch("select log_index from payment_queue")
        assert len({row[0] for row in indexes}) == 3
        await stack.verified(engine)


async def _completed(older: OlderServer, stack: Stack, quantity: int) -> tuple[UUID, str, str]:
    [payer] = await stack.payers(1)
    signed = older.authorization(payer)
    payment = await older.insert(signed, quantity=quantity)
    await older.claim(payment)
    tx_hash = await older.settle(signed)
    await older.completed(payment, tx_hash)
    return payment, payer.address, tx_hash


async def test_mints_that_exist_keep_their_keys_and_count(stack: Stack, older: OlderServer) -> None:
    """Queued, half done, done and archived ones: each unit is delivered once, under its own key."""
    queued, payer, tx_hash = await _completed(older, stack, 2)
    keys = [await older.queue_mint(payer, tx_hash) for _ in range(2)]
    half, payer, tx_hash = await _completed(older, stack, 1)
    minted = await older.queue_mint(payer, tx_hash, "processing")
    await older.mint(payer, minted)
    lost, payer, tx_hash = await _completed(older, stack, 1)
    unminted = await older.queue_mint(payer, tx_hash, "processing")
    given_up, payer, tx_hash = await _completed(older, stack, 1)
    failed = await older.queue_mint(payer, tx_hash, "failed")
    archived, payer, tx_hash = await _completed(older, stack, 1)
    proof = "0x" + "ab" * 32
    await older.remember_mint(payer, tx_hash, proof, await older.mint(payer, proof))
    async with stack.engine() as engine:
        for payment, expected in (
            (queued, keys), (half, [minted]), (lost, [unminted]), (given_up, [failed]),
            (archived, [proof]),
        ):  # fmt: skip
            await _delivered(older, payment, len(expected))
            assert [key for key, _ in await _mints(older, payment)] == sorted(expected)
        assert await older.hand.fetchval("select count(*) from mint_queue") == 6
        assert await older.hand.fetchval("select count(*) from mint_history") == 1
        await stack.verified(engine)


async def test_a_completed_payment_never_mints_again(stack: Stack, older: OlderServer) -> None:
    """Neither one with twice its mints, which stays as it is, nor one whose mints are unknown."""
    twice, payer, tx_hash = await _completed(older, stack, 1)
    for _ in range(2):
        key = await older.queue_mint(payer, tx_hash, "completed")
        await older.mint(payer, key)
    extra = await older.queue_mint(payer, tx_hash, "pending")
    bare, _, _ = await _completed(older, stack, 3)
    async with stack.engine() as engine:
        await stack.all_are(engine, [twice, bare], "completed")

        async def adopted() -> bool:
            return not await older.hand.fetchval(
                "select count(*) from payment_queue where chain_id is null"
            )

        await eventually(adopted)
        await _delivered(older, twice, 1)
        assert await _mints(older, bare) == []
        row = await older.hand.fetchrow(
            "select status, payment_id from mint_queue where tx_hash_bytes32 = $1", extra
        )
        assert row is not None
        assert tuple(row) == ("failed", None)
        statuses = await older.hand.fetch("select status from mint_queue order by 1")
        assert [r[0] for r in statuses] == ["completed", "completed", "failed"]
        await stack.verified(engine)


async def test_copies_of_an_authorization_are_kept_marked_and_never_fulfilled(
    stack: Stack, older: OlderServer
) -> None:
    """The copy that got furthest keeps the identity; the others point to it and end as failed."""
    [payer, other] = await stack.payers(2)
    signed = older.authorization(payer)
    early = await older.insert(signed)
    done = await older.insert(signed)
    await older.claim(done)
    tx_hash = await older.settle(signed)
    await older.completed(done, tx_hash)
    key = await older.queue_mint(payer.address, tx_hash, "completed")
    await older.mint(payer.address, key)
    again = older.authorization(other)
    first, second = [await older.insert(again) for _ in range(2)]
    async with stack.engine() as engine:
        await stack.all_are(engine, [early, second], "failed")
        await stack.all_are(engine, [first], "completed")
        await _delivered(older, first, 1)
        for copy, kept in ((early, done), (second, first)):
            row = await _row(older, copy)
            assert (row["duplicate_of"], row["final"]) == (kept, True)
            assert str(kept) in str(row["error"])
            assert await _mints(older, copy) == []
        assert await _mints(older, done) == [(key, "completed")]
        assert await stack.token_balance(PAYEE) == 2 * PRICE
        await stack.verified(engine)


async def test_an_older_payment_submitted_again_is_known(stack: Stack, older: OlderServer) -> None:
    """A completed one is answered with its row, in any spelling, before its turn has come."""
    payment, _, _ = await _completed(older, stack, 1)
    row = await _row(older, payment)
    await migrate(stack.dsn)
    async with stack.engine(start=False) as engine:
        body = _body(stack, row)
        answer = await engine.intake.submit(body)
        assert (answer.id, answer.known, answer.status) == (payment, True, "completed")
        body["authorization"]["value"] = str(PRICE * 2)
        answers = await engine.intake.submit_many([body])
        assert isinstance(answers[0], Refused)
        assert await older.hand.fetchval("select count(*) from payment_queue") == 1


def _body(stack: Stack, row: dict[str, object]) -> dict[str, Any]:
    return {
        "payment_type": "mint",
        "token_address": stack.mint_token,
        "authorization": json.loads(str(row["authorization"])),
        "metadata": json.loads(str(row["metadata"])),
    }


async def test_what_can_not_be_read_is_kept_with_its_reason(
    stack: Stack, older: OlderServer
) -> None:
    """No row is lost: finished ones stay as they are, waiting ones fail with the reason."""
    [payer, *_] = await stack.payers(1)
    signed = older.authorization(payer)
    bad = {
        "unreadable": await older.insert({**signed, "nonce": "0x12"}),
        "asset_not_allowed": await older.insert(signed, asset="0x" + "77" * 20),
        "amount_mismatch": await older.insert(signed, amount="0.01"),
        "signature_invalid": await older.insert({**signed, "value": str(2 * PRICE)}),
    }
    finished = await older.insert({"garbage": "yes"} | {"from": payer.address, "value": "1"})
    await older.completed(finished, "0x" + "99" * 32)
    async with stack.engine() as engine:
        await stack.all_are(engine, list(bad.values()), "failed")
        for reason, payment in bad.items():
            row = await _row(older, payment)
            assert row["reason"] == reason
            assert row["error"]
        assert (await _row(older, bad["amount_mismatch"]))["older_amount"] == "0.01"

        async def looked_at() -> bool:
            return (await _row(older, finished))["refused"] == "unreadable"

        await eventually(looked_at)
        assert (await _row(older, finished))["status"] == "completed"

        async def told() -> list[tuple[str, str]]:
            rows = await older.hand.fetch("select subject, message from alarms order by 1")
            return [(row["subject"], row["message"].partition(" ")[0]) for row in rows]

        every = [("amount_mismatch", "1"), ("asset_not_allowed", "1"), ("unreadable", "2")]

        async def all_told() -> bool:
            return await told() == every

        await eventually(all_told)


async def test_rows_that_a_hand_marked_before_the_move_are_offered_for_a_retry(
    stack: Stack, older: OlderServer
) -> None:
    """The guide's own statements, run on the older server: `status`, `stuck` and `reset-stuck` know
    them for what they are; what that server failed by itself is left alone."""
    payers = await stack.payers(2)
    marked, failed = [await older.insert(older.authorization(payer)) for payer in payers]
    for payment in (marked, failed):
        await older.claim(payment)
    await older.failed(marked, "Rollback to sync processing")
    await older.failed(failed, "insufficient funds")
    environment = stack.process_environment()
    (await onsettle(environment, "migrate")).ok()
    async with stack.engine():

        async def told() -> bool:
            return "1 payments were marked" in (await onsettle(environment, "status")).ok().out

        await eventually(told, every_s=0.5)
        stuck = (await onsettle(environment, "stuck", "--json")).json["payments"]
        assert [row["id"] for row in stuck] == [str(marked)]
        reset = (await onsettle(environment, "reset-stuck", "--dry-run", "--json")).json
        assert [(p["id"], p["verdict"]) for p in reset["payments"]] == [(str(marked), "retry")]


async def test_settings_of_the_older_server_stay(stack: Stack, older: OlderServer) -> None:
    """Values that an operator chose are kept; what is new comes with its default."""
    await migrate(stack.dsn)
    rows = await older.hand.fetch("select key, value, description from system_settings")
    values = {row["key"]: row["value"] for row in rows}
    assert values["payment_batch_interval_ms"] == "2000"
    assert values["payment_batch_size"] == "10"
    assert values["payment_pack_size"] == "1"
    assert all(row["description"] for row in rows)
