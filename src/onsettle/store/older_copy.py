"""The older server's payments, copied into a table of the right form that takes their place."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from onsettle.store.patience import IN_THE_WAY, Connection, busy, patiently

log = structlog.get_logger()

# Blocks of 8 kB that one batch copies: some thousand rows.
_BLOCKS = 64
# A batch waits so long for a writer who has not committed one of its rows, and that writer perhaps
# for the batch: well below deadlock_timeout (1 s), so that it is the batch which gives way.
_LOCK_WAIT = "150ms"
# A batch that had to give way comes again after the others; so often in a row, and it is given up.
_TRIES = 1200
_PAUSE_S = 0.1

# The guide's columns in our types; the numbered migrations add ours to them.
_NEXT = """
create table if not exists payment_queue_next (
    id uuid primary key default gen_random_uuid(),
    payment_type text not null,
    token_address text,
    "authorization" jsonb not null,
    payer text not null,
    amount numeric(78, 0) not null,
    payment_token_address text not null,
    metadata jsonb,
    status text not null default 'pending',
    tx_hash text,
    result jsonb,
    error text,
    created_at timestamptz not null default now(),
    processed_at timestamptz,
    older_amount text,
    constraint payment_queue_status_check check (
        status in ('pending', 'processing', 'sent', 'completed', 'failed', 'confirmation_failed'))
)
"""

# Exact, or null where it is no whole number of atomic units.
_AMOUNT = "case when amount ~ '^[0-9]{1,78}$' then amount::numeric end"

_VALUES = {
    "payment_type": "coalesce(payment_type, '')",
    "authorization": "coalesce(\"authorization\", '{}')",
    "payer": "coalesce(payer, '')",
    "amount": f"coalesce({_AMOUNT}, 0)",
    "payment_token_address": "coalesce(payment_token_address, '')",
    "status": "coalesce(status, 'failed')",
    "created_at": "coalesce(created_at at time zone 'UTC', now())",
    "processed_at": "processed_at at time zone 'UTC'",
    "older_amount": f"case when {_AMOUNT} is null then amount end",
}

_COLUMNS = """
select a.attname as name, t.typname as type, format_type(a.atttypid, a.atttypmod)
    || coalesce(' collate ' || (
        select quote_ident(n.nspname) || '.' || quote_ident(c.collname)
        from pg_collation c join pg_namespace n on n.oid = c.collnamespace
        where c.oid = a.attcollation and a.attcollation <> t.typcollation), '')
    || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
    || case when a.attnotnull then ' not null' else '' end as definition
from pg_attribute a join pg_type t on t.oid = a.atttypid
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = $1::text::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum
"""


# Who may do what, also where nobody but the owner was ever granted anything.
_RIGHTS = """
select format('grant %s on payment_queue to %s%s', a.privilege_type,
    case when a.grantee = 0 then 'public' else a.grantee::regrole::text end,
    case when a.is_grantable then ' with grant option' else '' end) as statement
from pg_class c cross join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
where c.oid = 'payment_queue'::regclass
union all
select format('grant %s (%I) on payment_queue to %s', x.privilege_type, a.attname,
    case when x.grantee = 0 then 'public' else x.grantee::regrole::text end)
from pg_attribute a cross join lateral aclexplode(a.attacl) x
where a.attrelid = 'payment_queue'::regclass
union all
select format('alter table payment_queue owner to %s', relowner::regrole) from pg_class
where oid = 'payment_queue'::regclass and pg_get_userbyid(relowner) <> current_user
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mapping:
    """Columns of the new table, and what each is made of; `added` are the operator's own."""

    columns: list[str]
    values: list[str]
    added: list[str]

    def insert(self, source: str) -> str:
        columns = ", ".join(f'"{name}"' for name in self.columns)
        values = ", ".join(self.values)
        return f"insert into payment_queue_next ({columns}) select {values} from {source}"

    def update(self) -> str:
        return ", ".join(f'"{n}" = excluded."{n}"' for n in self.columns if n != "id")


async def copy(connection: Connection) -> None:
    """Every row; a trigger brings along what is written meanwhile."""
    await connection.execute(_NEXT)
    mapping = await _mapping(connection)
    for column in mapping.added:
        await connection.execute(
            f"alter table payment_queue_next add column if not exists {column}"
        )
    schema = await connection.fetchval("select quote_ident(current_schema())")
    # As its owner: the older server's own role has no right on our table.
    await connection.execute(
        "create or replace function older_payment_written() returns trigger language plpgsql"
        f" security definer set search_path = {schema}, pg_temp as $$"
        f" begin {mapping.insert('(select new.*) as written')}"
        f" on conflict (id) do update set {mapping.update()}; return null; end $$"
    )
    await patiently(
        connection,
        "drop trigger if exists older_payment_written on payment_queue",
        "create trigger older_payment_written after insert or update on payment_queue"
        " for each row execute function older_payment_written()",
    )
    await _copy_rows(connection, mapping)


async def _copy_rows(connection: Connection, mapping: _Mapping) -> None:
    blocks = await connection.fetchval(
        "select pg_relation_size('payment_queue') / current_setting('block_size')::bigint"
    )
    waiting = deque(range(0, blocks + 1, _BLOCKS))
    gave_way = 0
    while waiting:
        first = waiting.popleft()
        try:
            async with connection.transaction():
                await connection.execute(f"set local lock_timeout = '{_LOCK_WAIT}'")
                await connection.execute(
                    mapping.insert("payment_queue")
                    + f" where ctid >= '({first},0)' and ctid < '({first + _BLOCKS},0)'"
                    " on conflict (id) do nothing"
                )
        except IN_THE_WAY:
            waiting.append(first)
            gave_way += 1
            if gave_way > _TRIES:
                raise busy() from None
            await asyncio.sleep(_PAUSE_S)
            continue
        gave_way = 0
        if first and first % (_BLOCKS * 128) == 0:
            log.info("older_payments_copied", percent=first * 100 // blocks)


async def _mapping(connection: Connection) -> _Mapping:
    older = await connection.fetch(_COLUMNS, "payment_queue")
    ours = {row["name"] for row in await connection.fetch(_COLUMNS, "payment_queue_next")}
    columns, values, added = ["older_amount"], [_VALUES["older_amount"]], []
    for row in older:
        name = row["name"]
        value = _VALUES.get(name, f'"{name}"')
        if row["type"] != "timestamp":
            value = value.replace(" at time zone 'UTC'", "")
        columns.append(name)
        values.append(value)
        if name not in ours:
            added.append(f'"{name}" {row["definition"]}')
    return _Mapping(columns=columns, values=values, added=added)


async def swap(connection: Connection, indexes: Mapping[str, str]) -> None:
    """The new table takes the name, in one short commit; who writes next writes into it.

    `indexes` of the old table by name, and what they are called on the new one until then.
    """
    rights = await connection.fetch(_RIGHTS)
    await connection.execute("analyze payment_queue_next")
    await patiently(
        connection,
        "lock table payment_queue in access exclusive mode",
        "drop trigger older_payment_written on payment_queue",
        "drop function older_payment_written",
        "alter table payment_queue rename to payment_queue_before",
        "alter table payment_queue_next rename to payment_queue",
        "alter table payment_queue_before rename constraint payment_queue_pkey"
        " to payment_queue_before_pkey",
        "alter table payment_queue rename constraint payment_queue_next_pkey to payment_queue_pkey",
        *(
            f'alter index "{was}" rename to "{name}"'
            for old, new in indexes.items()
            for was, name in ((old, new.replace("next", "before")), (new, old))
        ),
        *(row["statement"] for row in rights),
    )
