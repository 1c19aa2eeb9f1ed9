"""A database made by the older server, brought to our tables in place.

The older server may be writing all the while, to a table with a million rows. So nothing here
holds a lock that stops a writer for longer than a change of the catalogue takes: payments are
copied into a table of the right form beside theirs, which then takes its name; in the other
tables only the names of types change. Interrupted at any point, the next run goes on.
"""

import re

from onsettle.store import older_copy
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

_CHECKS = """
select conname as name, pg_get_constraintdef(oid) as definition from pg_constraint
where conrelid = $1::text::regclass and contype = 'c'
"""

# Views and foreign keys would go on reading the table that is put aside.
_HANGERS_ON = """
select distinct c.relname::text as name from pg_depend d
join pg_rewrite r on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass
join pg_class c on c.oid = r.ev_class
where d.refobjid = any($1::text[]::regclass[])
union
select conrelid::regclass::text from pg_constraint
where confrelid = 'payment_queue'::regclass and contype = 'f'
"""


class NotUpgradable(Exception):
    """Something of the operator's own is in the way; the text says what to do."""


async def is_older(connection: Connection) -> bool:
    """Whether the payments are still in the older server's form."""
    return await connection.fetchval(_AMOUNT_TYPE) in ("varchar", "text")


async def upgrade(connection: Connection) -> None:
    """Give every table of the older server our types."""
    beside = [
        table
        for table in ("mint_queue", "system_settings")
        if await connection.fetchval("select to_regclass($1)", table)
    ]
    hangers_on = await connection.fetch(_HANGERS_ON, ["payment_queue", *beside])
    if hangers_on:
        names = ", ".join(row["name"] for row in hangers_on)
        raise NotUpgradable(
            f"{names} reads the older tables: drop it, run `onsettle migrate`, make it again"
        )
    # Times without a zone are UTC: so they become times with one, and no row is rewritten.
    await connection.execute("set timezone = 'UTC'")
    await _note_indexes(connection, "payment_queue", all_of_them=True)
    for table in beside:
        await _change_types(connection, table)
    await older_copy.copy(connection)
    await older_copy.swap(connection)


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
