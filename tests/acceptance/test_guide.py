"""The guide from top to bottom, against a running engine with payments in flight."""

from typing import Any
from uuid import UUID

import asyncpg
import pytest

from onsettle.domain.payment import PaymentStatus
from onsettle.local.payers import Payer
from onsettle.runtime import Engine
from tests.acceptance import guide
from tests.harness.books import (
    accepted,
    becomes,
    by_hand,
    in_force,
    journal,
    obeyed,
    payment,
    quick,
    transactions,
)
from tests.harness.commands import onsettle, start
from tests.harness.moves import by_key, clock, drop, mining
from tests.harness.stack import PAYEE, PRICE, Stack, eventually, only_network


async def asked(stack: Stack, statement: str) -> list[dict[str, Any]]:
    """What psql would print for a query of the guide."""
    connection = await asyncpg.connect(stack.dsn)
    try:
        return [dict(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def in_flight(
    stack: Stack, engine: Engine, payers: int | list[Payer], *, lifetime_s: int = 3600
) -> list[UUID]:
    """Payments that a node has and no block holds. (New payers are funded in a block.)"""
    found = await stack.payers(payers) if isinstance(payers, int) else payers
    bodies = [stack.body(engine, payer, lifetime_s=lifetime_s) for payer in found]
    ids = await accepted(engine, bodies)
    await stack.all_are(engine, ids, "sent")
    return ids


async def aged(stack: Stack, minutes: int = 11) -> None:
    """As if they had been sent so long ago."""
    await by_hand(
        stack,
        f"update payment_queue set processed_at = processed_at - interval '{minutes} minutes'"
        " where status = 'sent'",
    )


async def delivered_once(stack: Stack, engine: Engine, ids: list[UUID]) -> None:
    """Each completed, charged once, minted once; the books agree with the chain."""
    async with mining(stack):
        await stack.all_are(engine, ids, "completed")
        await stack.all_minted(engine, len(ids))
    assert await stack.token_balance(PAYEE) == len(ids) * PRICE
    [mints] = await asked(stack, guide.MINT_QUEUE)
    assert mints == {"status": "completed", "count": len(ids)}
    await stack.verified(engine)


async def test_the_migration_runs_as_written_beside_payments_in_flight(held: Stack) -> None:
    """Deployment step 1: all three statements, on a live database; nothing in flight notices."""
    async with held.engine() as engine:
        await quick(held, engine)
        ids = await in_flight(held, engine, 3)
        for statement in guide.MIGRATION:
            await by_hand(held, statement)
        again = (await onsettle(held.process_environment(), "migrate")).ok()
        assert "up to date" in again.out
        await delivered_once(held, engine, ids)
        with pytest.raises(asyncpg.CheckViolationError):
            await by_hand(held, "update payment_queue set status = 'lost'")


async def test_a_payment_walks_through_the_statuses_of_the_guide(held: Stack) -> None:
    """pending, processing, sent, completed, in this order and no other; six values in all."""
    async with held.engine() as engine:
        await quick(held, engine)
        [one] = await in_flight(held, engine, 1)
        await held.mine()
        await held.all_are(engine, [one], "completed")
        walked = [status for status, _ in await journal(engine, one)]
        assert walked == ["pending", "processing", "sent", "completed"]
        assert {s.value for s in PaymentStatus} == {
            "pending", "processing", "sent", "completed", "failed", "confirmation_failed",
        }  # fmt: skip


async def test_the_monitoring_queries_answer_and_agree_with_the_commands(held: Stack) -> None:
    """Overall counts, those awaiting confirmation and those stuck for five minutes: the same by
    the guide's SQL as by `status` and `stuck`."""
    async with held.engine() as engine:
        await quick(held, engine)
        env = held.process_environment()
        ids = await in_flight(held, engine, 3)
        assert await asked(held, guide.OVERALL) == [{"status": "sent", "count": 3}]
        assert await asked(held, guide.AWAITING) == [{"awaiting_confirmation": 3}]
        assert await asked(held, guide.STUCK) == []
        assert (await onsettle(env, "stuck", "--json")).ok().json["payments"] == []
        await aged(held)
        rows = await asked(held, guide.STUCK)
        assert {row["id"] for row in rows} == set(ids)
        assert all(row["seconds_waiting"] > 600 for row in rows)
        stuck = (await onsettle(env, "stuck", "--json")).ok().json["payments"]
        assert {row["id"] for row in stuck} == {str(row["id"]) for row in rows}
        assert all(row["why"] and row["next"] and row["since"] for row in stuck)
        status = (await onsettle(env, "status", "--json")).ok().json
        assert status["payments"]["sent"]["count"] == 3
        assert {row["id"] for row in await asked(held, guide.NEWEST_SENT)} == set(ids)
        await delivered_once(held, engine, ids)


async def test_settings_written_with_the_guides_sql_are_in_force_without_a_restart(
    held: Stack,
) -> None:
    """Configuration and tuning: each statement as written, read by the running engine while
    payments are in flight; they are delivered as if nothing had been changed."""
    async with held.engine() as engine:
        ids = await in_flight(held, engine, 2)

        async def read(interval_ms: int, size: int) -> bool:
            now = await engine.settings.get()
            return (now.payment_batch_interval_ms, now.payment_batch_size) == (interval_ms, size)

        assert await read(4000, 50)
        for statement in guide.TUNE:
            assert await by_hand(held, statement) == "UPDATE 1"
        await eventually(lambda: read(1000, 100))
        for statement in guide.CONFIGURE:
            assert await by_hand(held, statement) == "UPDATE 1"
        await eventually(lambda: read(2000, 50))
        env = held.process_environment()
        await onsettle(env, "settings", "payment_batch_interval_ms", "4000", "--yes")
        await eventually(lambda: read(4000, 50))
        low = (await onsettle(env, "settings", "payment_batch_size", "10", "--yes")).ok()
        assert "payment_batch_size = 10" in low.out
        await eventually(lambda: read(4000, 10))
        assert await held.statuses(engine, ids) == ["sent", "sent"]
        await delivered_once(held, engine, ids)


async def test_after_the_manual_reset_each_payment_ends_as_the_chain_says(held: Stack) -> None:
    """Three payments are marked confirmation_failed by hand. One lands all the same; one never can
    and is sent again by reset-stuck; one expires. Each is charged at most once."""
    async with held.engine() as engine:
        await quick(held, engine)
        payers = await held.payers(3)
        [lands, replaced] = await in_flight(held, engine, payers[:2])
        [expires] = await in_flight(held, engine, payers[2:], lifetime_s=120)
        await aged(held)
        assert await by_hand(held, guide.MANUAL_RESET) == "UPDATE 3"
        env = held.process_environment()
        seen = (await onsettle(env, "reset-stuck", "--dry-run", "--json")).ok().json["payments"]
        assert {case["verdict"] for case in seen} == {"wait"}
        by_id = {row["payment_ids"][0]: row for row in await transactions(engine)}
        hashes = {i: (await payment(engine, i))["tx_hash"] for i in (replaced, expires)}
        await drop(held, list(hashes.values()))
        chain_id = only_network(engine).chain_id
        taken = by_key(held.keys[0], chain_id, by_id[replaced]["nonce"])
        await held.rpc.call("eth_sendRawTransaction", taken)
        deadline = (await payment(engine, expires))["valid_before"]
        await clock(held, deadline + 1)
        await held.all_are(engine, [lands], "completed")
        await becomes(engine, expires, "confirmation_failed", "expired", final=True)
        await becomes(engine, replaced, "confirmation_failed", "manual", final=False)

        async def sent_again() -> bool:
            await onsettle(env, "reset-stuck", "--yes")
            return bool(await held.statuses(engine, [replaced]) != ["confirmation_failed"])

        await eventually(sent_again, every_s=0.5)
        await delivered_once(held, engine, [lands, replaced])
        walked = [reason for _, reason in await journal(engine, replaced)]
        assert walked[3:5] == ["manual", "retry"]


async def test_after_the_rollback_each_payment_ends_as_the_chain_says(held: Stack) -> None:
    """The clean-up of the rollback marks what is sent as failed. It lands, and is delivered once;
    the old way of processing is a setting."""
    async with held.engine() as engine:
        await quick(held, engine)
        ids = await in_flight(held, engine, 3)
        await in_force(held, engine, payment_mode="sync")
        assert await by_hand(held, guide.ROLLBACK) == "UPDATE 3"
        env = held.process_environment()
        status = (await onsettle(env, "status")).ok()
        assert "to reprocess them: onsettle reset-stuck" in status.out
        refused = await onsettle(env, "retry", "--status", "failed", "--error", "Rollback", "--yes")
        assert refused.code == 1
        assert "may still land" in refused.out
        assert await held.statuses(engine, ids) == ["failed"] * 3
        await delivered_once(held, engine, ids)


async def test_a_payment_set_to_pending_by_hand_is_never_sent_twice(held: Stack) -> None:
    """While its transaction may land the UPDATE is refused with the reason; once it can't, the
    chain is read first and then it is sent."""
    async with held.engine() as engine:
        await quick(held, engine)
        [one] = await in_flight(held, engine, 1)
        again = f"update payment_queue set status = 'pending' where id = '{one}'"
        with pytest.raises(asyncpg.CheckViolationError, match="can not go from sent to pending"):
            await by_hand(held, again)
        await by_hand(held, guide.ROLLBACK)
        with pytest.raises(asyncpg.CheckViolationError):
            await by_hand(held, again)
        [row] = await transactions(engine)
        await drop(held, [(await payment(engine, one))["tx_hash"]])
        taken = by_key(held.keys[0], only_network(engine).chain_id, row["nonce"])
        await held.rpc.call("eth_sendRawTransaction", taken)
        await held.mine()

        async def gone() -> bool:
            return bool((await transactions(engine))[0]["state"] == "replaced")

        await eventually(gone)
        assert await by_hand(held, again) == "UPDATE 1"
        await delivered_once(held, engine, [one])


async def test_sending_waits_for_no_block_and_confirming_takes_one(held: Stack) -> None:
    """Expected metrics, in blocks: fifty payments are sent while the chain stands still, and the
    next block completes them all. In sync mode ten at a time need five."""
    async with held.engine() as engine:
        await quick(held, engine)
        payers = await held.payers(100)
        fast = await accepted(engine, [held.body(engine, payer) for payer in payers[:50]])
        start = await held.height()
        await held.all_are(engine, fast, "sent")
        assert await held.height() == start
        assert await asked(held, guide.QUEUE_DEPTH) == [{"count": 0}]
        await held.mine()
        await held.all_are(engine, fast, "completed")
        assert await held.height() == start + 1
        await in_force(held, engine, payment_mode="sync", payment_batch_size=10)
        slow = await accepted(engine, [held.body(engine, payer) for payer in payers[50:]])
        start = await held.height()
        for batch in range(1, 6):
            await eventually(lambda: are(held, engine, slow, sent=10))
            await held.mine()
            await eventually(lambda batch=batch: are(held, engine, slow, completed=10 * batch))  # type: ignore[misc]
        assert await held.height() == start + 5
        assert await held.token_balance(PAYEE) == 100 * PRICE


async def are(stack: Stack, engine: Engine, ids: list[UUID], **wanted: int) -> bool:
    """Whether so many of these payments have each of these statuses; never more than ten out."""
    found = await stack.statuses(engine, ids)
    assert found.count("sent") <= 10
    return all(found.count(status) == count for status, count in wanted.items())


async def test_mints_follow_completed_payments_and_are_counted_by_the_guides_query(
    held: Stack,
) -> None:
    """Callbacks: nothing is minted before the transfer stands; then each unit once."""
    async with held.engine() as engine:
        await quick(held, engine)
        [one] = await in_flight(held, engine, 1)
        assert await asked(held, guide.MINT_QUEUE) == []
        await held.mine()
        await held.all_are(engine, [one], "completed")
        [row] = await asked(held, guide.MINT_QUEUE)
        assert row["count"] == 1
        listed = (await onsettle(held.process_environment(), "mints", "list", "--json")).ok()
        assert [mint["payment_id"] for mint in listed.json] == [str(one)]
        await delivered_once(held, engine, [one])


async def test_an_emergency_stop_keeps_what_waits_and_confirms_what_is_out(held: Stack) -> None:
    """Paused, nothing new is signed and the queue's depth is read with the guide's query; what is
    in flight completes; a resume sends the rest."""
    async with held.engine() as engine:
        await quick(held, engine)
        env = held.process_environment()
        payers = await held.payers(4)
        out = await in_flight(held, engine, payers[:2])
        await in_force(held, engine, payment_mode="sync")
        waiting = await accepted(engine, [held.body(engine, payer) for payer in payers[2:]])
        (await onsettle(env, "pause", "--yes")).ok()
        await obeyed(engine, payments_paused=True)
        await in_force(held, engine, payment_mode="async")
        assert await asked(held, guide.QUEUE_DEPTH) == [{"count": 2}]
        await held.mine()
        await held.all_are(engine, out, "completed")
        assert await asked(held, guide.QUEUE_DEPTH) == [{"count": 2}]
        assert await held.nonce(held.wallets[0]) == 2
        (await onsettle(env, "resume", "--yes")).ok()
        await delivered_once(held, engine, out + waiting)


async def test_the_log_of_a_terminal_has_the_guides_lines(held: Stack) -> None:
    """A worker in a process of its own prints the four lines of the guide, word for word, also for
    what times out, and `logs` tells the same afterwards."""
    async with held.engine(start=False) as engine:
        await quick(held, engine)
        *payers, late = await held.payers(3)
        env = held.process_environment(log_format="console")
        worker = await start(env, "worker")
        try:
            ids = await accepted(engine, [held.body(engine, payer) for payer in payers])
            await held.all_are(engine, ids, "sent")
            await held.mine()
            await held.all_are(engine, ids, "completed")
            await in_force(held, engine, payment_confirmation_timeout_ms=1000)
            [timed_out] = await accepted(engine, [held.body(engine, late)])
            await held.all_are(engine, [timed_out], "confirmation_failed")
        finally:
            worker.terminate()
            _, err = await worker.communicate()
        assert worker.returncode == 0
        lines = [line.rstrip() for line in err.decode().splitlines()]
        row = await payment(engine, ids[0])
        sent = f"📤 Sent payment tx: {str(ids[0])[:8]}... (nonce: "
        assert any(line.startswith(sent) and row["tx_hash"][:6] in line for line in lines), lines
        assert any(line.startswith("✅ Batch complete: ") for line in lines)
        assert any(line.startswith("🔍 Checking ") for line in lines)
        assert any(line == "   ✅ 2 confirmed, ❌ 0 failed" for line in lines), lines
        assert any(line == "   ✅ 0 confirmed, ❌ 1 failed" for line in lines), lines
        assert any("reason=timeout" in line for line in lines), lines
        told = (await onsettle(env, "logs", "--lines", "100")).ok()
        assert f"{ids[0]}  sent -> completed  landed" in told.out
        for where in ("stderr", "ONSETTLE_LOG_FORMAT", "journalctl", "container", "cluster/log"):
            assert where in told.err, where
        failed = (await onsettle(env, "logs", "--failed", "--json")).ok().json
        assert [row["payment_id"] for row in failed] == [str(timed_out)]


async def test_the_guides_psql_commands_work_with_the_wheels_client(held: Stack) -> None:
    """`onsettle psql -c` answers what the guide asks with psql."""
    async with held.engine(start=False):
        env = held.process_environment()
        depth = (await onsettle(env, "psql", "-At", "-c", guide.QUEUE_DEPTH)).ok()
        assert depth.out.strip() == "0"
        mints = (await onsettle(env, "psql", "-At", "-c", guide.MINT_QUEUE)).ok()
        assert mints.out.strip() == ""
        wrong = await onsettle(env, "psql", "-c", "select nothing")
        assert wrong.code == 1
