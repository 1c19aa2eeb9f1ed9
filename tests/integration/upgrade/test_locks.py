"""A database that others are writing to: they never wait long, and never fail for us."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from onsettle.store.migrate import migrate
from tests.harness import older
from tests.harness.rows import Connection, insert_payment
from tests.harness.stack import eventually

_ROWS = 60_000
# Of one statement. A lock is asked for up to 1.5 s at a time.
_LONGEST_S = 5.0
_SCHEMA = Path(older.__file__).parent / "older_tables" / "schema.sql"
_FILL = """
insert into payment_queue (id, payment_type, token_address, "authorization", payer, amount,
    payment_token_address, status)
select md5('p' || i)::uuid, 'mint', '0x', '{"from": "0x"}', '0x', '1', '0x', 'pending'
from generate_series(1, $1) as i
"""
_TAKE = "update payment_queue set status = 'processing' where id = $1"


@pytest.fixture
async def sessions(dsn: str) -> AsyncIterator[list[Connection]]:
    opened = [await asyncpg.connect(dsn) for _ in range(3)]
    yield opened
    for each in opened:
        each.terminate()


async def test_a_column_is_added_beside_a_transaction_that_does_not_end(
    dsn: str, sessions: list[Connection]
) -> None:
    """Writers get through while the change waits; it is made when the transaction has ended."""
    reader, writer, hand = sessions
    await migrate(dsn)
    await hand.execute(
        "alter table payment_queue drop column judged_block;"
        " delete from schema_migrations where version = 11"
    )
    await reader.execute("begin; select count(*) from payment_queue")
    changing = asyncio.create_task(migrate(dsn))

    async def asked() -> bool:
        return bool(
            await hand.fetchval(
                "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and not granted"
                " and relation = 'payment_queue'::regclass"
            )
        )

    await eventually(asked, every_s=0.01)
    for _ in range(3):
        started = time.monotonic()
        await insert_payment(writer)
        assert time.monotonic() - started < _LONGEST_S
    assert not changing.done()
    await reader.execute("commit")
    assert await changing == ["0011_judged"]


async def _copying(hand: Connection) -> None:
    """The trigger is there, and most rows are not copied yet."""

    async def begun() -> bool:
        found = await hand.fetchval(
            "select count(*) from pg_trigger where tgname = 'older_payment_written'"
        )
        return bool(found)

    await eventually(begun, every_s=0.001)


def _id(number: int) -> UUID:
    return UUID(bytes=hashlib.md5(f"p{number}".encode()).digest())


async def test_the_copy_gives_way_to_writers(dsn: str, sessions: list[Connection]) -> None:
    """A transaction that holds a late row and then wants an early one commits; another's statement
    does not wait for it; and the copy is complete after all."""
    first, second, hand = sessions
    await hand.execute(_SCHEMA.read_text("utf-8"))
    await hand.execute(_FILL.replace("$1", str(_ROWS)))
    moving = asyncio.create_task(migrate(dsn))
    await _copying(hand)
    await first.execute("begin")
    await first.execute(_TAKE, _id(_ROWS - 10))
    assert await hand.fetchval("select count(*) < $1 from payment_queue_next", _ROWS - 10)
    # Until the batch with that row has met it.
    await asyncio.sleep(1.5)
    started = time.monotonic()
    await second.execute(_TAKE, _id(_ROWS - 11))
    await first.execute(_TAKE, _id(_ROWS - 500))
    assert time.monotonic() - started < _LONGEST_S
    assert not moving.done()
    await first.execute("commit")
    assert "our types to the older server's tables" in await moving
    rows = await hand.fetch("select id from payment_queue where status = 'processing'")
    assert {row["id"] for row in rows} == {_id(_ROWS - at) for at in (10, 11, 500)}
    assert await hand.fetchval("select count(*) from payment_queue") == _ROWS


async def test_the_older_servers_own_role_goes_on_writing(
    dsn: str, sessions: list[Connection]
) -> None:
    """While its table is copied and ever after, with no right on any table of ours; a status that
    it writes is in the journal as a hand's."""
    writer, hand, _ = sessions
    await hand.execute(_SCHEMA.read_text("utf-8"))
    await hand.execute(_FILL.replace("$1", str(_ROWS)))
    role = f"older_{time.monotonic_ns()}"
    await hand.execute(
        f"create role {role}; grant select, insert, update on payment_queue, mint_queue,"
        f" mint_history, system_settings to {role}"
    )
    try:
        await writer.execute(f"set role {role}")
        moving = asyncio.create_task(migrate(dsn))
        taken = 0
        while not moving.done():
            taken += 1
            await writer.execute(_TAKE, _id(taken))
        await moving
        assert taken > 3
        await writer.execute(_TAKE, _id(_ROWS))
        payment = await insert_payment_of_theirs(writer)
        await writer.execute(_TAKE, payment)
        events = await hand.fetch(
            "select to_status, reason from payment_events where payment_id = $1 order by id",
            payment,
        )
        assert [tuple(row) for row in events] == [
            ("pending", "accepted"),
            ("processing", "manual"),
        ]
        for table in ("payment_events", "payment_transitions", "transactions"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await writer.execute(f"select 1 from {table}")
    finally:
        await writer.execute("reset role")
        await hand.execute(f"drop owned by {role}; drop role {role}")


async def insert_payment_of_theirs(writer: Connection) -> UUID:
    payment: UUID = await writer.fetchval(
        'insert into payment_queue (payment_type, token_address, "authorization", payer, amount,'
        " payment_token_address) values ('mint', '0x', '{}', '0x', '1', '0x') returning id"
    )
    return payment
