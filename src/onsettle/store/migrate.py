"""Numbered SQL files, each applied once and checksummed, under one lock."""

import asyncio
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from onsettle.domain.settings import DEFAULTS, SPECS, render
from onsettle.store import older
from onsettle.store.patience import Connection, build_index, patiently

# Any fixed number: it keeps two processes that start at once from migrating together.
_LOCK = 40211

_JOURNAL = """
create table if not exists schema_migrations (
    version integer primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
)
"""

#: What is written only after the last migration, or by somebody who uses the database.
_ROWS = ("payment_queue", "mint_queue", "system_settings")
# The journal and the counts are written with the rights of whoever migrates, so that a program
# which may write payments alone, such as the older server under its own role, goes on writing
# them. In the commit that makes or replaces the functions: there is no moment without it.
_AS_OWNER = """
do $$
declare
    name text;
begin
    foreach name in array array['payment_queue_inserted', 'payment_queue_updated',
        'payment_queue_counted', 'mint_queue_counted'] loop
        if to_regproc(name) is not null then
            execute format('alter function %I() security definer', name);
            execute format('alter function %I() set search_path = %I, pg_temp',
                name, current_schema());
        end if;
    end loop;
end $$
"""

_OLDER = "our types to the older server's tables"


class MigrationError(Exception):
    """The database can't be brought to this version; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def transactional(self) -> bool:
        return not self.text.startswith("-- onsettle: no transaction")


def migrations() -> list[Migration]:
    """Every migration of this version, in order."""
    found = [
        Migration(version=int(f.name[:4]), name=f.name[:-4], text=f.read_text("utf-8"))
        for f in files("onsettle.store").joinpath("migrations").iterdir()
        if f.name.endswith(".sql")
    ]
    return sorted(found, key=lambda m: m.version)


def counted() -> str:
    """What puts the running counts right after rows were written past the triggers."""
    return next(m.text for m in migrations() if m.name.endswith("_counted"))


async def migrate(dsn: str, *, dry_run: bool = False) -> list[str]:
    """Apply what is missing; the names of what was (or would be) applied."""
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        if connection.get_server_version().major < 15:
            raise MigrationError("PostgreSQL 15 or newer is needed: point DATABASE_URL at one")
        if dry_run:
            return await _would_apply(connection)
        await _lock(connection)
        await connection.execute(_JOURNAL)
        await connection.execute("set onsettle.actor = 'migrate'")
        applied = await _older(connection)
        for migration in await _missing(connection):
            await _apply(connection, migration)
            applied.append(migration.name)
        await _settings(connection)
        if _OLDER in applied:
            # New tables and expressions have no statistics yet, and plans would be bad without.
            await connection.execute("analyze payment_queue, mint_queue")
        return applied
    finally:
        await connection.close()


async def holds_rows(dsn: str) -> bool:
    """Whether there is something to lose: a row in any table of ours, or of the older server."""
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        for table in _ROWS:
            there = await connection.fetchval("select to_regclass($1) is not null", table)
            if there and await connection.fetchval(f"select exists (select from {table})"):
                return True
        return False
    finally:
        await connection.close()


async def _lock(connection: Connection) -> None:
    # Tried again rather than waited for: a waiting statement holds a snapshot, and an index that
    # is built concurrently waits for every snapshot, so the two would wait for each other.
    while not await connection.fetchval("select pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110
        await asyncio.sleep(0.1)


async def _would_apply(connection: Connection) -> list[str]:
    """Raises what would stop the real run before it changes anything."""
    missing = [m.name for m in await _missing(connection)]
    if not await older.is_older(connection):
        return missing
    await older.assert_upgradable(connection)
    return [_OLDER, *missing]


async def _older(connection: Connection) -> list[str]:
    """The older server's tables, where there are any, get our types before anything else."""
    applied = []
    if await older.is_older(connection):
        await older.upgrade(connection)
        applied = [_OLDER]
    await older.finish(connection)
    return applied


async def _missing(connection: Connection) -> list[Migration]:
    known: dict[int, str] = {}
    if await connection.fetchval("select to_regclass('schema_migrations') is not null"):
        rows = await connection.fetch("select version, checksum from schema_migrations")
        known = {row["version"]: row["checksum"] for row in rows}
    every = migrations()
    newer = set(known) - {m.version for m in every}
    if newer:
        raise MigrationError(
            f"the database has migration {max(newer)}, which this version does not know:"
            " run a newer onsettle"
        )
    for migration in every:
        if known.get(migration.version, migration.checksum) != migration.checksum:
            raise MigrationError(f"migration {migration.name} was changed after it was applied")
    return [m for m in every if m.version not in known]


async def _apply(connection: Connection, migration: Migration) -> None:
    record = "insert into schema_migrations (version, name, checksum) values ($1, $2, $3)"
    values = (migration.version, migration.name, migration.checksum)
    if migration.transactional:
        await patiently(connection, migration.text, _AS_OWNER, (record, *values))
        return
    for statement in _statements(migration.text):
        named = re.search(r"index concurrently if not exists (\w+)", statement)
        if named is not None:
            await build_index(connection, named[1], statement)
        elif "index concurrently" in statement:
            await connection.execute(statement)
        else:
            await patiently(connection, statement)
    await connection.execute(record, *values)


def _statements(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [part for part in "\n".join(lines).split(";") if part.strip()]


async def _settings(connection: Connection) -> None:
    """Every setting is a row with its description; a value that stands is never touched."""
    await connection.executemany(
        "insert into system_settings (key, value, description) values ($1, $2, $3)"
        " on conflict (key) do update set description = excluded.description",
        [
            (key, render(getattr(DEFAULTS, key)), f"{spec.description} ({spec.allowed()})")
            for key, spec in SPECS.items()
        ],
    )
