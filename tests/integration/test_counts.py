"""The running counts of what is settled are what counting would say, whoever wrote."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest

from onsettle.engine.janitor import Janitor
from onsettle.store.database import Database, sql
from onsettle.store.migrate import counted
from tests.harness.rows import Connection, force, insert_payment

_MINT = """
insert into mint_queue (payer_address, tx_hash_bytes32, status, chain_id)
values ('0x11', $1, $2, 1) returning id
"""
_PAYMENTS = "select status, count(*) as count from payment_queue group by status"
_MINTS = "select status, count(*) as count from mint_queue group by status"


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


async def assert_right(connection: Connection) -> tuple[Counter[str], Counter[str]]:
    """Both counts, after they were compared with the rows themselves."""
    found = []
    for query, rows in (("stats_counts", _PAYMENTS), ("stats_mints", _MINTS)):
        told = Counter({r["status"]: r["count"] for r in await connection.fetch(sql(query))})
        assert +told == Counter({r["status"]: r["count"] for r in await connection.fetch(rows)})
        found.append(told)
    return found[0], found[1]


async def mint(connection: Connection, status: str) -> object:
    return await connection.fetchval(_MINT, "0x" + secrets.token_hex(32), status)


class TestCounts:
    async def test_every_change_of_a_status_is_counted(self, connection: Connection) -> None:
        """Inserted, changed, changed back and deleted; by one statement and by many."""
        ids = [await insert_payment(connection) for _ in range(6)]
        await assert_right(connection)
        for status in ("processing", "sent", "completed"):
            await connection.execute(
                "update payment_queue set status = $2 where id = any($1::uuid[])", ids[:4], status
            )
        await connection.execute(
            "update payment_queue set status = 'failed', reason = 'expired' where id = any($1)",
            ids[4:],
        )
        await connection.execute(
            "update payment_queue set status = 'pending', reason = 'retry' where id = $1", ids[4]
        )
        await connection.execute("update payment_queue set error = 'x'")
        payments, _ = await assert_right(connection)
        assert (payments["completed"], payments["failed"], payments["pending"]) == (4, 1, 1)
        mints = [await mint(connection, status) for status in ("pending", "completed", "failed")]
        await assert_right(connection)
        await connection.execute(
            "update mint_queue set status = 'completed' where id = $1", mints[0]
        )
        await connection.execute("update mint_queue set status = 'pending' where id = $1", mints[1])
        await connection.execute("delete from mint_queue where id = $1", mints[2])
        _, counts = await assert_right(connection)
        assert (counts["completed"], counts["pending"], counts["failed"]) == (1, 1, 0)

    async def test_what_is_rolled_back_was_never_counted(self, connection: Connection) -> None:
        identity = await insert_payment(connection)
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "update payment_queue set status = 'failed', reason = 'expired' where id = $1", identity
        )
        await transaction.rollback()
        payments, _ = await assert_right(connection)
        assert payments["failed"] == 0

    async def test_nobody_waits_for_somebody_elses_count(self, dsn: str) -> None:
        """Two that settle payments at once, neither committed yet: counts are rows of their own."""
        one, other = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
        try:
            ids = [await insert_payment(one) for _ in range(2)]
            for connection, identity in ((one, ids[0]), (other, ids[1])):
                await connection.execute("begin; set local lock_timeout = '2s'")
                await connection.execute(
                    "update payment_queue set status = 'failed', reason = 'expired' where id = $1",
                    identity,
                )
            await one.execute("commit")
            await other.execute("commit")
            payments, _ = await assert_right(one)
            assert payments["failed"] == 2
        finally:
            await asyncio.gather(one.close(), other.close())

    async def test_the_janitor_adds_them_up(self, dsn: str, connection: Connection) -> None:
        """Many rows become few, with the same sums; also while two janitors are at it."""
        for _ in range(150):
            identity = await insert_payment(connection)
            await connection.execute(
                "update payment_queue set status = 'failed', reason = 'expired' where id = $1",
                identity,
            )
        async with await Database.connect(dsn) as db:
            await asyncio.gather(Janitor(db).tick(), Janitor(db).tick())
        assert await connection.fetchval("select count(*) from status_counts") < 100
        payments, _ = await assert_right(connection)
        assert payments["failed"] == 150

    async def test_rows_written_past_the_triggers_are_put_right(
        self, connection: Connection
    ) -> None:
        """As after a restore by a replica's rights; and a second time changes nothing."""
        ids = [await insert_payment(connection) for _ in range(3)]
        for identity in ids[:2]:
            await force(connection, identity, status="completed")
        with pytest.raises(AssertionError):
            await assert_right(connection)
        for _ in range(2):
            await connection.execute(counted())
            payments, _ = await assert_right(connection)
            assert payments["completed"] == 2
