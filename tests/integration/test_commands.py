"""The commands that read and change: each as JSON and for people, asked, dry and agreed."""

from uuid import UUID

import pytest

from onsettle.api.app import create_app
from onsettle.cli import COMMANDS
from onsettle.domain.settings import SPECS
from onsettle.store import migrate
from tests.harness.books import by_hand
from tests.harness.commands import onsettle
from tests.harness.http import serving
from tests.harness.older import make_older_tables
from tests.harness.stack import Stack, eventually, ids_of


async def test_status_begins_with_the_verdict(stack: Stack) -> None:
    """The first line says whether it settles; `--json` has the same with depths and wallets."""
    environment = stack.process_environment()
    async with stack.engine(start=False):
        stopped = (await onsettle(environment, "status")).ok()
        assert stopped.out.startswith("stopped\n  no worker runs: start `onsettle worker`")
    async with stack.engine() as engine:

        async def at_work() -> bool:
            return bool(await engine.db.fetch("workers_live"))

        await eventually(at_work)
        state = (await onsettle(environment, "status", "--json")).ok().json
        assert state["health"] == "healthy", state["reasons"]
        assert state["payments"]["pending"] == {"count": 0, "oldest_age_s": None}
        assert {wallet["role"] for wallet in state["wallets"]} == {"payment", "mint"}
        assert all(isinstance(w["balance"], str | None) for w in state["wallets"])


async def test_show_tells_everything_about_one_payment(stack: Stack) -> None:
    """Facts, events, attempts and mints for people; as JSON, the very object of the API, so that a
    script reads both. An unknown id is said."""
    environment = stack.process_environment()
    async with stack.engine() as engine:
        [payer] = await stack.payers(1)
        [id_] = ids_of(await engine.intake.submit_many([stack.body(engine, payer)]))
        await stack.all_are(engine, [id_], "completed")
        await stack.all_minted(engine, 1)
    async with stack.engine(start=False) as engine, serving(create_app(engine)) as http:
        told = (await http.get(f"/v1/payments/{id_}")).json()
    text = (await onsettle(environment, "show", str(id_))).ok().out
    for word in ("completed", payer.address, "events", "attempts", "mints"):
        assert word in text
    found = (await onsettle(environment, "show", str(id_), "--json")).ok().json
    assert found == told
    assert [event["to"] for event in found["events"]][-1] == "completed"
    nobody = await onsettle(environment, "show", str(UUID(int=1)))
    assert (nobody.code, nobody.out) == (1, "")
    assert "There is no payment" in nobody.err


async def test_a_change_is_asked_for_and_a_dry_run_changes_nothing(stack: Stack) -> None:
    """settings, pause, resume and wallets: dry says what would be, no answer is no, --yes does it;
    the running engine follows within two seconds."""
    environment = stack.process_environment()
    async with stack.engine() as engine:

        async def follows(key: str, value: object) -> None:
            async def in_force() -> bool:
                return bool(getattr(await engine.settings.get(), key) == value)

            await eventually(in_force, within_s=2)

        change = ("settings", "payment_batch_size", "70")
        dry = (await onsettle(environment, *change, "--dry-run")).ok()
        assert dry.out == "Would change payment_batch_size from 50 to 70.\n"
        unanswered = await onsettle(environment, *change)
        assert unanswered.code == 1
        assert (await onsettle(environment, "settings", "payment_batch_size")).out == "50\n"
        (await onsettle(environment, *change, "--yes")).ok()
        await follows("payment_batch_size", 70)
        assert "already" in (await onsettle(environment, *change, "--yes")).ok().out
        change_json = (*change[:2], "71", "--json")
        answer = {"key": "payment_batch_size", "before": "70", "value": "71"}
        assert (await onsettle(environment, *change_json)).code == 2  # it can't ask
        dry = (await onsettle(environment, *change_json, "--dry-run")).ok()
        assert dry.json == {"dry_run": True, **answer}
        await follows("payment_batch_size", 70)
        changed = (await onsettle(environment, *change_json, "--yes")).ok()
        assert changed.json == {"dry_run": False, **answer}
        await follows("payment_batch_size", 71)
        (await onsettle(environment, *change, "--yes")).ok()
        listed = (await onsettle(environment, "settings", "--json")).ok().json
        assert {row["key"]: row["value"] for row in listed}["payment_batch_size"] == "70"
        assert {row["key"] for row in listed} == set(SPECS)
        (await onsettle(environment, "pause", "--dry-run")).ok()
        assert not (await engine.settings.get()).payments_paused
        (await onsettle(environment, "pause", "--yes")).ok()
        await follows("payments_paused", True)
        (await onsettle(environment, "resume", "--yes")).ok()
        await follows("payments_paused", False)


async def test_wallets_are_listed_paused_and_resumed(stack: Stack) -> None:
    """An address in any letter case; one that is not ours, or not an address, is said."""
    environment = stack.process_environment()
    async with stack.engine(start=False):
        [address] = stack.wallets
        upper = "0x" + address[2:].upper()
        (await onsettle(environment, "wallets", "pause", upper, "--dry-run")).ok()
        (await onsettle(environment, "wallets", "pause", upper, "--yes")).ok()
        rows = (await onsettle(environment, "wallets", "--json")).ok().json
        assert {row["address"]: row["paused"] for row in rows}[address] is True
        (await onsettle(environment, "wallets", "resume", address, "--yes")).ok()
        assert address in (await onsettle(environment, "wallets")).ok().out
        for wrong, words in (("0x" + "99" * 20, "There is no wallet"), ("0x1", "not an address")):
            refused = await onsettle(environment, "wallets", "pause", wrong, "--yes")
            assert refused.code == 1
            assert words in refused.err


#: Those that need no tables, or make them.
_WITHOUT_TABLES = {"demo", "serve", "worker", "migrate", "psql", "doctor", "bench", "local"}
_ARGUMENTS = {
    "show": [str(UUID(int=1))],
    "retry": ["--status", "failed", "--yes"],
    "reset-stuck": ["--yes"],
    "mints": ["retry", "--status", "failed", "--yes"],
    "webhooks": ["replay", "--dead", "--yes"],
    "pause": ["--yes"],
    "resume": ["--yes"],
}


@pytest.mark.parametrize("age", ["empty", "of another server", "older"])
async def test_every_command_says_that_the_database_is_to_be_migrated(
    stack: Stack, empty: str, age: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a database without tables, with those of the older server, and on one of an earlier
    version: what to type, exit code 1, and nothing is changed."""
    every = migrate.migrations()
    words = "The database is not migrated: run `onsettle migrate`."
    if age == "older":
        monkeypatch.setattr(migrate, "migrations", lambda: every[: len(every) // 2])
        await migrate.migrate(empty)
        monkeypatch.undo()
        words = "The database is older than this version ("
    elif age == "of another server":
        await make_older_tables(empty)
    environment = stack.process_environment(database_url=empty)
    left = await migrate.migrate(empty, dry_run=True)
    for name in set(COMMANDS) - _WITHOUT_TABLES:
        answer = await onsettle(environment, name, *_ARGUMENTS.get(name, []))
        assert (answer.code, answer.out) == (1, ""), (name, answer)
        said = answer.err.splitlines()[-1]
        assert said.startswith(f"Error: {words}"), (name, answer.err)
        assert said.endswith("run `onsettle migrate`."), (name, answer.err)
    assert await migrate.migrate(empty, dry_run=True) == left


async def test_groups_take_json_as_their_list_does(stack: Stack) -> None:
    """`alarms --json` is `alarms list --json`, and so for every group that lists; before a command
    that changes something it is refused rather than overlooked."""
    environment = stack.process_environment()
    async with stack.engine(start=False):
        for group, change in (
            ("alarms", "clear"), ("mints", "retry"), ("webhooks", "replay"), ("wallets", "pause"),
        ):  # fmt: skip
            listed = (await onsettle(environment, group, "list", "--json")).ok().json
            assert (await onsettle(environment, group, "--json")).ok().json == listed
            wrong = await onsettle(environment, group, "--json", change, "x")
            assert (wrong.code, "--json goes after" in wrong.err) == (2, True), wrong
            (await onsettle(environment, group)).ok()


_BACKLOG = """
insert into payment_queue (id, chain_id, payment_type, "authorization", payer, amount,
    payment_token_address, pay_to, authorization_nonce, valid_after, valid_before, created_at)
select gen_random_uuid(), 1, 'deploy', '{}', '0x' || repeat('ab', 20), 10000,
    '0x' || repeat('aa', 20), '0x' || repeat('11', 20), '0x' || lpad(to_hex(n), 64, '0'), 0,
    4000000000, now() - interval '1 hour' - make_interval(secs => n)
from generate_series(1, 601) as n
"""
_MESSAGES = """
insert into outbox (id, payment_id, channel, event, status, body)
select gen_random_uuid(), id, 'webhook', 'payment.completed', 'dead', '{}'
from payment_queue order by created_at limit 3
"""


async def test_stuck_says_how_many_there_are_and_shows_as_many_as_asked(stack: Stack) -> None:
    """The oldest 500 of each kind unless asked otherwise, with the number of all; never without a
    limit."""
    environment = stack.process_environment()
    await by_hand(stack, _BACKLOG)
    await by_hand(stack, _MESSAGES)
    found = (await onsettle(environment, "stuck", "--json")).ok().json
    assert (len(found["payments"]), len(found["webhooks"])) == (500, 3)
    assert found["totals"] == {"payments": 601, "mints": 0, "webhooks": 3}
    waited = [row["seconds_waiting"] for row in found["payments"]]
    assert waited == sorted(waited, reverse=True)
    assert waited[0] > 4200
    few = (await onsettle(environment, "stuck", "--limit", "2")).ok().out
    assert few.count("\npayment ") + few.startswith("payment ") == 2
    assert "The oldest 2 of 601 payments are shown: --limit shows more." in few
    assert "The oldest 2 of 3 webhooks are shown" in few
    every = (await onsettle(environment, "stuck", "--limit", "601")).ok().out
    assert every.count("payment ") > 600
    assert "are shown" not in every
    for wrong in ("0", "10001", "all"):
        assert (await onsettle(environment, "stuck", "--limit", wrong)).code == 2
