"""Numbered SQL files, each applied once and checksummed, under one lock."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from onsettle.domain.settings import DEFAULTS, SPECS, render

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


async def migrate(dsn: str, *, dry_run: bool = False) -> list[str]:
    """Apply what is missing; the names of what was (or would be) applied."""
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        if connection.get_server_version().major < 15:
            raise MigrationError("PostgreSQL 15 or newer is needed: point DATABASE_URL at one")
        if dry_run:
            return [m.name for m in await _missing(connection)]
        await connection.execute("select pg_advisory_lock($1)", _LOCK)
        await connection.execute(_JOURNAL)
        applied = []
        for migration in await _missing(connection):
            await _apply(connection, migration)
            applied.append(migration.name)
        await _settings(connection)
        return applied
    finally:
        await connection.close()


async def _missing(connection: "asyncpg.Connection[asyncpg.Record]") -> list[Migration]:
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


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration) -> None:
    record = "insert into schema_migrations (version, name, checksum) values ($1, $2, $3)"
    values = (migration.version, migration.name, migration.checksum)
    if migration.transactional:
        async with connection.transaction():
            await connection.execute(migration.text)
            await connection.execute(record, *values)
        return
    lines = [ln for ln in migration.text.splitlines() if not ln.startswith("--")]
    for statement in "\n".join(lines).split(";"):
        if statement.strip():
            await connection.execute(statement)
    await connection.execute(record, *values)


async def _settings(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Every setting is a row with its description; a value that stands is never touched."""
    await connection.executemany(
        "insert into system_settings (key, value, description) values ($1, $2, $3)"
        " on conflict (key) do update set description = excluded.description",
        [
            (key, render(getattr(DEFAULTS, key)), f"{spec.description} ({spec.allowed()})")
            for key, spec in SPECS.items()
        ],
    )
