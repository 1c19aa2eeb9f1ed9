"""What an operator has added to the older server's tables, and what of it would be lost."""

from onsettle.store.patience import Connection

#: The older server's own columns of payment_queue.
THEIRS = (
    "id", "payment_type", "token_address", "authorization", "payer", "amount",
    "payment_token_address", "metadata", "status", "tx_hash", "result", "error", "created_at",
    "processed_at",
)  # fmt: skip

# Its checks are left behind with its table: any word may be a payment type here, and what a mint
# needs is checked when it is taken over.
_CHECKED = ("payment_type", "token_address", "status")

_IN_THE_WAY = """
with ours as (select 'payment_queue'::regclass as payments), beside as (
    select unnest($1::text[]::regclass[]) as id
)
select distinct 'view ' || c.relname from pg_depend d
join pg_rewrite r on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass
join pg_class c on c.oid = r.ev_class and c.relkind in ('v', 'm')
where d.refobjid in (select payments from ours union all select id from beside)
union all
select 'foreign key ' || conname || ' of ' || conrelid::regclass::text
from pg_constraint, ours where confrelid = payments and contype = 'f' and conrelid <> payments
union all
select case contype when 'f' then 'foreign key ' when 'c' then 'check ' else 'constraint ' end
    || conname
from pg_constraint, ours
where conrelid = payments and (contype in ('f', 'u', 'x') or (contype = 'c' and exists (
    select 1 from pg_attribute a
    where a.attrelid = payments and a.attnum = any(conkey) and not a.attname = any($2::text[]))))
union all
select 'trigger ' || tgname || ' of ' || tgrelid::regclass::text from pg_trigger, ours
where not tgisinternal and tgname <> 'older_payment_written' and (tgrelid = payments
    -- A column that a trigger names can't change its type.
    or (tgrelid in (select id from beside) and (tgattr <> '' or tgqual is not null)))
union all
select 'rule ' || rulename from pg_rewrite, ours where ev_class = payments
union all
select 'policy ' || polname from pg_policy, ours where polrelid = payments
union all
select 'publication ' || p.pubname from pg_publication_rel r
join pg_publication p on p.oid = r.prpubid, ours where r.prrelid = payments
union all
select 'table ' || inhrelid::regclass::text || ', which inherits' from pg_inherits, ours
where inhparent = payments
union all
select 'column ' || attname || ', which is numbered or generated' from pg_attribute, ours
where attrelid = payments and attnum > 0 and not attisdropped and not attname = any($3::text[])
    and (attgenerated <> '' or attidentity <> ''
        or pg_get_serial_sequence('payment_queue', attname) is not null)
order by 1
"""

_OWNER = """
select pg_get_userbyid(relowner) as owner, current_user as me,
    pg_has_role(current_user, relowner, 'usage') as may
from pg_class where oid = 'payment_queue'::regclass
"""


class NotUpgradable(Exception):
    """Something of the operator's own is in the way; the text says what to do."""


async def assert_upgradable(connection: Connection, beside: list[str]) -> None:
    """Raises NotUpgradable where the move would fail, or would lose what is not the older server's.

    `beside` are the other tables of the older server that change.
    """
    row = await connection.fetchrow(_OWNER)
    if row is not None and not row["may"]:
        raise NotUpgradable(
            f"payment_queue belongs to {row['owner']}, and {row['me']} may not change it:"
            f" run `onsettle migrate` with a DATABASE_URL of {row['owner']}"
        )
    found = await connection.fetch(_IN_THE_WAY, beside, _CHECKED, THEIRS)
    if found:
        raise NotUpgradable(
            "in the way of the move, or lost by it: " + "; ".join(row[0] for row in found)
            + ". Drop each, run `onsettle migrate`, and make it again"
        )  # fmt: skip
