"""`onsettle migrate`: numbered files, once each, under one lock, checksummed."""

import asyncio
import sys
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner

from onsettle.cli.migrate import command
from onsettle.domain.settings import DEFAULTS, SPECS, render
from onsettle.store.migrate import MigrationError, migrate, migrations


async def _all(dsn: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


async def test_every_migration_is_applied_once_and_in_order(dsn: str) -> None:
    """A new database gets all of them; a second run finds nothing to do."""
    names = [m.name for m in migrations()]
    assert await migrate(dsn) == names
    assert await migrate(dsn) == []
    rows = await _all(dsn, "select name, checksum from schema_migrations order by version")
    assert [tuple(row) for row in rows] == [(m.name, m.checksum) for m in migrations()]
    assert len({m.version for m in migrations()}) == len(names)


async def test_every_setting_is_a_row_with_its_description(dsn: str) -> None:
    """After migrate an operator finds each setting, its default and its range in the table."""
    await migrate(dsn)
    rows = {
        row["key"]: row
        for row in await _all(dsn, "select key, value, description from system_settings")
    }
    assert set(rows) == set(SPECS)
    for key, spec in SPECS.items():
        assert rows[key]["value"] == render(getattr(DEFAULTS, key))
        assert spec.description in rows[key]["description"]
        assert spec.allowed() in rows[key]["description"]


async def test_a_setting_that_stands_is_never_touched(dsn: str) -> None:
    """Migrating again, as every start does, keeps what the operator wrote."""
    await migrate(dsn)
    await _all(dsn, "update system_settings set value = '7' where key = 'payment_batch_size'")
    await migrate(dsn)
    [row] = await _all(dsn, "select value from system_settings where key = 'payment_batch_size'")
    assert row["value"] == "7"


async def test_a_changed_migration_is_refused(dsn: str) -> None:
    """What was applied under this number was another text: nothing is guessed."""
    await migrate(dsn)
    await _all(dsn, "update schema_migrations set checksum = 'other' where version = 1")
    with pytest.raises(MigrationError, match="0001_tables was changed"):
        await migrate(dsn)


async def test_a_newer_database_is_refused(dsn: str) -> None:
    """A version that does not know a migration says so, and changes nothing."""
    await migrate(dsn)
    await _all(dsn, "insert into schema_migrations values (9999, 'later', 'x', now())")
    with pytest.raises(MigrationError, match="run a newer onsettle"):
        await migrate(dsn)


async def test_processes_that_start_at_once_migrate_one_database(dsn: str, tmp_path: Path) -> None:
    """Started at once, all end well and every migration is applied by one of them."""
    program = (
        "import asyncio; from onsettle.store.migrate import migrate;"
        f"print(*asyncio.run(migrate({dsn!r})))"
    )
    runs = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(3)
    ]
    outputs = [await run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], outputs
    applied = [name for out, _ in outputs for name in out.decode().split()]
    assert sorted(applied) == [m.name for m in migrations()]


async def test_an_index_that_was_left_half_built_is_built_again(dsn: str) -> None:
    """A process that died while it built an index leaves one that no query uses."""
    await migrate(dsn)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "update pg_index set indisvalid = false"
            " where indexrelid = 'payment_queue_pending'::regclass"
        )
        await connection.execute("delete from schema_migrations where version = 3")
        assert await migrate(dsn) == ["0003_indexes"]
        assert await connection.fetchval(
            "select indisvalid from pg_index where indexrelid = 'payment_queue_pending'::regclass"
        )
    finally:
        await connection.close()


def test_a_dry_run_changes_nothing(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`onsettle migrate --dry-run` names what it would apply and leaves the database as it is."""
    monkeypatch.setenv("DATABASE_URL", dsn)
    dry = CliRunner().invoke(command, ["--dry-run"])
    assert dry.exit_code == 0
    assert dry.output.splitlines()[: len(migrations())] == [
        f"would apply {m.name}" for m in migrations()
    ]
    assert asyncio.run(_all(dsn, "select to_regclass('payment_queue') as t"))[0]["t"] is None
    assert CliRunner().invoke(command).exit_code == 0
    assert "up to date" in CliRunner().invoke(command, ["--dry-run"]).output


def test_a_database_with_rows_is_changed_only_after_a_yes(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new database is prepared unasked, as deployments do; one with rows is left alone until
    somebody agrees, and where nothing is missing nobody is asked."""
    monkeypatch.setenv("DATABASE_URL", dsn)
    assert CliRunner().invoke(command).exit_code == 0
    assert CliRunner().invoke(command).output == "The database is up to date.\n"
    forget = "delete from schema_migrations where version = 3"
    known = "select version from schema_migrations where version = 3"
    asyncio.run(_all(dsn, forget))
    for answer in ("", "n\n"):
        refused = CliRunner().invoke(command, input=answer)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "Apply 0003_indexes to a database with rows?" in refused.stderr
    assert asyncio.run(_all(dsn, known)) == []
    agreed = CliRunner().invoke(command, input="y\n")
    assert (agreed.exit_code, agreed.stdout) == (0, "applied 0003_indexes\n")
    asyncio.run(_all(dsn, forget))
    unasked = CliRunner().invoke(command, ["--yes"])
    assert (unasked.exit_code, unasked.stdout) == (0, "applied 0003_indexes\n")
    assert unasked.stderr == ""
