"""Housekeeping: what is over and old goes; what is owed, proven or named never does."""

import secrets

from onsettle.engine.alarms import raise_alarm, raise_alarm_in
from onsettle.engine.janitor import Janitor
from onsettle.engine.verify import verify
from onsettle.runtime import Engine
from tests.harness.books import LogLines, accepted, alarms, by_hand, loud, quick, swept
from tests.harness.commands import onsettle
from tests.harness.stack import Stack, eventually

_SPARE = (
    "insert into attempts (hash, transaction_id, raw, max_fee, priority_fee, gas_limit, created_at)"
    " select '0x' || md5(id::text) || md5('spare'), id, '\\x00', 1, 1, 1,"
    " created_at - interval '1 s' from transactions"
)
_OLD = "update transactions set created_at = now() - interval '8 days'"


async def counts(engine: Engine) -> dict[str, int]:
    tables = ("payment_queue", "mint_queue", "transactions", "attempts", "payment_events")
    return {t: await engine.db.pool.fetchval(f"select count(*) from {t}") for t in tables}


async def test_old_attempts_and_events_of_finished_payments_go_and_nothing_else(
    stack: Stack,
) -> None:
    """Each transaction keeps the attempt that was mined, each payment its newest event; the audit
    is clean afterwards."""
    async with stack.engine() as engine:
        await quick(stack, engine, finality_blocks=1)
        payers = await stack.payers(3)
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])
        await stack.all_are(engine, ids, "completed")
        await stack.all_minted(engine, 3)
        await engine.stop()
        before = await counts(engine)
        await by_hand(stack, _SPARE)
        await swept(engine)
        assert (await counts(engine))["attempts"] == 2 * before["attempts"]
        await by_hand(stack, _OLD)
        await by_hand(stack, "update payment_events set at = now() - interval '91 days'")
        await by_hand(stack, "update networks set finalized_number = cursor_number")
        await by_hand(
            stack, "update payment_queue set final = true where payer = $1", payers[0].address
        )
        await by_hand(
            stack, "update payment_queue set final = false where payer <> $1", payers[0].address
        )
        # Three or four: a block may be seen before the node's answer is written down.
        lived = await engine.db.pool.fetchval(
            "select count(*) from payment_events e join payment_queue p on p.id = e.payment_id"
            " where p.final"
        )
        await swept(engine)
        after = await counts(engine)
        gone = {name: before[name] - after[name] for name in before}
        assert lived >= 3
        assert gone == {
            "payment_queue": 0, "mint_queue": 0, "transactions": 0, "attempts": 0,
            "payment_events": lived - 1,
        }  # fmt: skip
        report = await verify(engine.db, engine.networks)
        assert report.ok, report.differences


async def test_a_live_transaction_keeps_every_attempt(stack: Stack) -> None:
    """However old: any of its versions may still land."""
    async with stack.engine() as engine:
        await quick(stack, engine)
        [payer] = await stack.payers(1)
        await stack.hold_blocks()
        [payment] = await accepted(engine, [stack.body(engine, payer)])
        await stack.all_are(engine, [payment], "sent")
        await engine.stop()
        await by_hand(stack, _SPARE)
        await by_hand(stack, _OLD)
        before = await counts(engine)
        await swept(engine)
        assert await counts(engine) == before


async def test_dead_leases_and_workers_are_cleared(stack: Stack) -> None:
    """A worker that died without a word leaves no name behind; a live lease is not touched."""
    async with stack.engine(start=False) as engine:
        await by_hand(
            stack,
            "insert into workers (id, seen_at) values ('dead', now() - interval '1 hour'),"
            " ('alive', now())",
        )
        await by_hand(
            stack,
            "update wallets set lease_holder = 'w', lease_until = now() - interval '1 hour'"
            " where role = 'payment'",
        )
        await by_hand(
            stack,
            "update wallets set lease_holder = 'w', lease_until = now() + interval '1 hour'"
            " where role = 'mint'",
        )
        await by_hand(
            stack,
            "insert into blocks select 84532, n, 'h', 'p', n from generate_series(-5000, -1) n",
        )
        await by_hand(stack, "update networks set cursor_number = 10, lease_until = now()")
        await swept(engine)
        workers = [r["id"] for r in await engine.db.pool.fetch("select id from workers")]
        assert workers == ["alive"]
        rows = await engine.db.pool.fetch("select role, lease_holder from wallets order by role")
        assert [(r["role"], r["lease_holder"]) for r in rows] == [("mint", "w"), ("payment", None)]
        lowest = await engine.db.pool.fetchval("select min(number) from blocks")
        assert lowest == 10 - 2048


async def test_a_wallet_that_owes_the_chain_without_a_key_is_an_alarm(
    stack: Stack, log_lines: LogLines
) -> None:
    """Raised while no worker can push its transactions, ended when one has the key again."""
    other = "0x" + secrets.token_hex(32)
    async with stack.engine() as engine:
        await quick(stack, engine)
        [payer] = await stack.payers(1)
        await stack.hold_blocks()
        ids = await accepted(engine, [stack.body(engine, payer)])
        await stack.all_are(engine, ids, "sent")
    async with stack.engine(payment_keys=other) as engine:

        async def told() -> bool:
            await Janitor(engine.db).tick()
            return [row["subject"] for row in await alarms(engine)] == stack.wallets

        await eventually(told)
        listed = (await onsettle(stack.process_environment(), "alarms", "list", "--json")).ok()
        assert [row["kind"] for row in listed.json] == ["wallet_without_key"]
        assert set(loud(log_lines, "wallet_without_key")) == set(stack.wallets)
    async with stack.engine() as engine:

        async def over() -> bool:
            await Janitor(engine.db).tick()
            return not await alarms(engine)

        await eventually(over)


async def test_an_alarm_that_was_seen_to_is_cleared_by_hand(stack: Stack) -> None:
    """Only the one that was named, and only when asked."""
    async with stack.engine(start=False) as engine:
        env = stack.process_environment()
        await by_hand(
            stack, "insert into alarms values ('reversed', 'a', 'x'), ('other', 'b', 'y')"
        )
        dry = (await onsettle(env, "alarms", "clear", "reversed", "--dry-run")).ok()
        assert "Would clear reversed a" in dry.out
        assert len(await alarms(engine)) == 2
        (await onsettle(env, "alarms", "clear", "reversed", "a", "--yes")).ok()
        assert [row["kind"] for row in await alarms(engine)] == ["other"]
        assert (await onsettle(env, "alarms", "clear", "reversed", "--yes")).code == 1


async def test_an_alarm_is_logged_when_it_is_new(stack: Stack, log_lines: LogLines) -> None:
    """Not while it stands; again when it comes back after it was cleared."""
    async with stack.engine(start=False) as engine:
        for _ in range(3):
            await raise_alarm(engine.db, "other", "a", "it is so")
        await raise_alarm(engine.db, "other", "b", "that too")
        async with engine.db.transaction() as connection:
            await raise_alarm_in(connection, "other", "b", "that too")
        assert loud(log_lines, "other") == ["a", "b"]
        await engine.db.execute("alarm_clear", "other", "a")
        await raise_alarm(engine.db, "other", "a", "it is so again")
        assert loud(log_lines, "other") == ["a", "b", "a"]
        assert len(await alarms(engine, "other")) == 2
