"""What an operator has added to the older tables is kept, or named before anything is changed."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from onsettle.store.migrate import migrate
from onsettle.store.older import assert_upgradable
from onsettle.store.older_own import NotUpgradable
from tests.harness import older
from tests.harness.rows import Connection

_SCHEMA = Path(older.__file__).parent / "older_tables" / "schema.sql"
_INSERT = """
insert into payment_queue (payment_type, token_address, "authorization", payer, amount,
    payment_token_address) values ('mint', '0x', '{}', '0x', '1', '0x')
"""
_SHOPS = """
create table shops (id int primary key);
alter table payment_queue add column shop int references shops (id);
"""
_FUNCTION = """
create function own() returns trigger language plpgsql as $$ begin return new; end $$;
"""


@pytest.fixture
async def hand(dsn: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(dsn)
    await connection.execute(_SCHEMA.read_text("utf-8"))
    yield connection
    connection.terminate()


@pytest.mark.parametrize(
    ("made", "named"),
    [
        ("create view v as select id from payment_queue", "view v"),
        ("create materialized view mv as select id from mint_queue", "view mv"),
        ("create table k (id uuid references payment_queue (id))", "k_id_fkey of k"),
        (_SHOPS, "foreign key payment_queue_shop_fkey"),
        (
            _FUNCTION + "create trigger own after insert on payment_queue"
            " for each row execute function own()",
            "trigger own of payment_queue",
        ),
        (
            _FUNCTION + "create trigger own before update of status on mint_queue"
            " for each row execute function own()",
            "trigger own of mint_queue",
        ),
        ("alter table payment_queue add constraint few check (amount <> '0')", "check few"),
        ("alter table payment_queue add constraint once unique (tx_hash)", "constraint once"),
        ("alter table payment_queue add column seq serial", "column seq"),
        ("create rule quiet as on delete to payment_queue do instead nothing", "rule quiet"),
        ("create policy mine on payment_queue using (true)", "policy mine"),
        ("create publication told for table payment_queue", "publication told"),
        ("create table part () inherits (payment_queue)", "table part"),
    ],
)
async def test_what_would_be_lost_stops_the_move_by_name(
    dsn: str, hand: Connection, made: str, named: str
) -> None:
    """A dry run says so too, and no table is touched."""
    await hand.execute(made)
    for dry in (True, False):
        with pytest.raises(NotUpgradable, match=named):
            await migrate(dsn, dry_run=dry)
    tables = await hand.fetch(
        "select 1 from information_schema.tables where table_name = 'payment_queue_next'"
    )
    assert tables == []
    kind = "select pg_typeof(status)::text from mint_queue right join (select 1) as x on true"
    assert await hand.fetchval(kind) == "character varying"


async def test_an_index_that_can_not_be_built_on_our_types_stops_it_before_the_swap(
    dsn: str, hand: Connection
) -> None:
    """It is named, and the older server still has its table; without it the move goes on."""
    await hand.execute("create index by_day on payment_queue (date(created_at))")
    with pytest.raises(NotUpgradable, match="by_day"):
        await migrate(dsn)
    await hand.execute(_INSERT)
    await hand.execute("drop index by_day")
    await migrate(dsn)
    assert await hand.fetchval("select count(*) from payment_queue") == 1


async def test_columns_and_indexes_of_ones_own_move_with_the_table(
    dsn: str, hand: Connection
) -> None:
    """With their defaults and NOT NULL; the indexes are there as soon as the table is."""
    await hand.execute(
        "alter table payment_queue add column site text not null default 'shop',"
        " add column note varchar(20);"
        "create unique index own_u on payment_queue ((lower(payer)), id) where site <> 'x'"
    )
    await hand.execute(_INSERT)
    await migrate(dsn)
    await hand.execute(_INSERT)
    rows = await hand.fetch("select site, note from payment_queue")
    assert [tuple(row) for row in rows] == [("shop", None), ("shop", None)]
    with pytest.raises(asyncpg.NotNullViolationError):
        await hand.execute("update payment_queue set site = null")
    indexes = await hand.fetch("select indexname from pg_indexes where tablename = 'payment_queue'")
    names = {row["indexname"] for row in indexes}
    assert {"own_u", "idx_payment_queue_status", "idx_payment_queue_payer"} <= names
    assert not any(name.startswith("older_") for name in names)


async def test_rights_and_owner_stay(dsn: str, hand: Connection) -> None:
    """Who owned the table owns it, and who could write to it can."""
    role = f"owner_{time.monotonic_ns()}"
    await hand.execute(f"create role {role}; grant create on schema public to {role}")
    try:
        await hand.execute(
            f"alter table payment_queue owner to {role};"
            " grant select (id, status) on payment_queue to public"
        )
        await migrate(dsn)
        await hand.execute(f"set role {role}")
        await hand.execute(_INSERT)
        await hand.execute("reset role")
        owner = "select pg_get_userbyid(relowner) from pg_class where relname = 'payment_queue'"
        assert await hand.fetchval(owner) == role
        assert await hand.fetchval(
            "select attacl is not null from pg_attribute where attname = 'status'"
            " and attrelid = 'payment_queue'::regclass"
        )
    finally:
        await hand.execute("reset role")
        await hand.execute(
            f"alter table payment_queue owner to current_user; drop owned by {role};"
            f" drop role {role}"
        )


async def test_a_role_that_may_not_change_the_tables_is_told_whose_they_are(
    dsn: str, hand: Connection
) -> None:
    """Before anything is changed."""
    role = f"guest_{time.monotonic_ns()}"
    await hand.execute(f"create role {role}")
    try:
        await hand.execute(f"set role {role}")
        with pytest.raises(NotUpgradable, match="payment_queue belongs to"):
            await assert_upgradable(hand)
    finally:
        await hand.execute(f"reset role; drop role {role}")
