"""A database made by the older server, brought to our tables in place.

The older server may be writing all the while, to a table with a million rows. So nothing here
holds a lock that stops a writer for longer than a change of the catalogue takes: payments are
copied into a table of the right form beside theirs, which then takes its name; in the other
tables only the names of types change. Interrupted at any point, the next run goes on.
"""

import hashlib
import re

import asyncpg

from onsettle.store import older_copy, older_own
from onsettle.store.older_own import NotUpgradable
from onsettle.store.patience import Connection, build_index, patiently

_AMOUNT_TYPE = """
select t.typname from pg_attribute a join pg_type t on t.oid = a.atttypid
where a.attrelid = to_regclass('payment_queue') and a.attname = 'amount'
"""

_TYPES = {"varchar": "text", "timestamp": "timestamptz"}
_COLUMNS = """
select a.attname as name, t.typname as type
from pg_attribute a join pg_type t on t.oid = a.atttypid
where a.attrelid = $1::text::regclass and a.attnum > 0 and not a.attisdropped
    and t.typname in ('varchar', 'timestamp')
"""

# Those that hold a constraint are not among them. `rebuilt`: a change of a column's type would
# build it again under an exclusive lock.
_INDEXES = """
select c.relname as name, pg_get_indexdef(i.indexrelid) as definition,
    i.indpred is not null or i.indexprs is not null or exists (
        select 1 from pg_attribute a join pg_type t on t.oid = a.atttypid
        where a.attrelid = i.indrelid and a.attnum = any(i.indkey) and t.typname = 'timestamp')
        as rebuilt
from pg_index i
join pg_class c on c.oid = i.indexrelid
where i.indrelid = $1::text::regclass
    and not exists (select 1 from pg_constraint n where n.conindid = i.indexrelid)
"""

_FORGET = r"""
delete from older_indexes where definition ~ ' ON (ONLY )?([^ ]+\.)?payment_queue USING '
"""

_CHECKS = """
select conname as name, pg_get_constraintdef(oid) as definition from pg_constraint
where conrelid = $1::text::regclass and contype = 'c'
"""


async def is_older(connection: Connection) -> bool:
    """Whether the payments are still in the older server's form."""
    return await connection.fetchval(_AMOUNT_TYPE) in ("varchar", "text")


async def assert_upgradable(connection: Connection) -> None:
    """Raises NotUpgradable where something of the operator's own is in the way."""
    await older_own.assert_upgradable(connection, await _beside(connection))


async def _beside(connection: Connection) -> list[str]:
    return [
        table
        for table in ("mint_queue", "system_settings")
        if await connection.fetchval("select to_regclass($1)", table)
    ]


async def upgrade(connection: Connection) -> None:
    """Give every table of the older server our types."""
    await assert_upgradable(connection)
    # Times without a zone are UTC: so they become times with one, and no row is rewritten.
    await connection.execute("set timezone = 'UTC'")
    indexes = await _note_indexes(connection, "payment_queue", all_of_them=True)
    for table in await _beside(connection):
        await _change_types(connection, table)
    await older_copy.copy(connection)
    # Before the swap: without them every statement of the older server would read the whole table.
    beside = {name: await _index_next(connection, name) for name in indexes}
    await older_copy.swap(connection, beside)


async def _index_next(connection: Connection, name: str) -> str:
    """Build an index of payment_queue on the table that will take its place; under what name."""
    definition = await connection.fetchval(
        "select definition from older_indexes where name = $1", name
    )
    beside = "older_next_" + hashlib.sha256(name.encode()).hexdigest()[:12]
    moved, count = re.subn(
        r"if not exists .+? ON (ONLY )?(.+?\.)?payment_queue USING ",
        lambda found: f'if not exists "{beside}" on {found[2] or ""}payment_queue_next using ',
        definition,
        count=1,
    )
    assert count == 1, definition
    try:
        await build_index(connection, beside, moved)
    except (asyncpg.InvalidObjectDefinitionError, asyncpg.UndefinedFunctionError) as error:
        raise NotUpgradable(
            f"index {name} can't be built on our types ({error}): drop it, and run"
            " `onsettle migrate` again"
        ) from None
    return beside


async def finish(connection: Connection) -> None:
    """What is left to do after the tables have changed places."""
    if await connection.fetchval("select to_regclass('payment_queue_before')"):
        await patiently(connection, "drop table payment_queue_before")
    if not await connection.fetchval("select to_regclass('older_indexes')"):
        return
    for row in await connection.fetch("select name, definition from older_indexes"):
        await build_index(connection, row["name"], row["definition"])
        await connection.execute("delete from older_indexes where name = $1", row["name"])
    await connection.execute("drop table older_indexes")


async def _note_indexes(connection: Connection, table: str, *, all_of_them: bool) -> list[str]:
    """What `finish` builds again is in a table first: a crash in between loses none."""
    await connection.execute(
        "create table if not exists older_indexes (name text primary key, definition text not null)"
    )
    if all_of_them:
        # Of a run that was stopped: the operator may have dropped one since.
        await connection.execute(_FORGET)
    names = []
    for row in await connection.fetch(_INDEXES, table):
        if not (row["rebuilt"] or all_of_them):
            continue
        definition = re.sub(
            r"^CREATE (UNIQUE )?INDEX ",
            lambda found: f"create {found[1] or ''}index concurrently if not exists ",
            row["definition"],
        )
        await connection.execute(
            "insert into older_indexes values ($1, $2) on conflict do nothing",
            row["name"],
            definition,
        )
        names.append(row["name"])
    return names


async def _change_types(connection: Connection, table: str) -> None:
    """Only the catalogue changes. Checks, and indexes that would be built again, go first."""
    changes = [
        f'alter column "{column["name"]}" type {_TYPES[column["type"]]}'
        for column in await connection.fetch(_COLUMNS, table)
    ]
    if not changes:
        return
    for name in await _note_indexes(connection, table, all_of_them=False):
        await connection.execute(f'drop index concurrently if exists "{name}"')
    checks = await connection.fetch(_CHECKS, table)
    await patiently(
        connection,
        *(f'alter table {table} drop constraint "{check["name"]}"' for check in checks),
        f"alter table {table} {', '.join(changes)}",
        *(
            f'alter table {table} add constraint "{check["name"]}" {check["definition"]} not valid'
            for check in checks
        ),
    )
