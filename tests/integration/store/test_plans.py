"""Hot queries see unfinished rows only: their plans, on a table of finished ones."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.harness.plans import IN_TROUBLE, LARGE, ROWS, of_loops, scans
from tests.harness.server import Server


@pytest.fixture(scope="module")
def finished(server: Server, migrated: str) -> Iterator[str]:
    """A database with many finished rows and a hundred unfinished payments."""
    dsn = server.create(like=migrated)
    asyncio.run(_fill(dsn))
    yield dsn
    server.drop(dsn)


async def _fill(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        # Indexes are built after the rows: that takes a third of the time.
        indexes = await connection.fetch(
            "select indexname, indexdef from pg_indexes where tablename = 'payment_queue'"
            " and indexname <> 'payment_queue_pkey'"
        )
        text = Path(__file__).with_name("finished.sql").read_text("utf-8")
        for index in indexes:
            await connection.execute(f"drop index {index['indexname']}")
        await connection.execute(text.replace("$ROWS", str(ROWS)))
        for index in indexes:
            await connection.execute(index["indexdef"])
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_no_loop_reads_finished_rows(finished: str, mode: str) -> None:
    """Every query that a loop runs touches a bounded number of rows, however many are finished."""
    assert await scans(finished, mode, of_loops()) == []


async def test_what_an_operator_asks_in_trouble_reads_no_finished_rows(finished: str) -> None:
    """`stuck`, `reset-stuck` and the like answer at once, however many payments are finished."""
    assert await scans(finished, "auto", IN_TROUBLE) == []


async def test_indexes_of_unfinished_rows_stay_small(finished: str) -> None:
    """An index that a loop walks holds what is unfinished, so it doesn't grow with the years."""
    connection = await asyncpg.connect(finished)
    try:
        rows = await connection.fetch(
            "select c.relname, pg_relation_size(c.oid) as size from pg_index i"
            " join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid"
            " where t.relname = any($1::text[]) and i.indpred is not null"
            " and not i.indisunique",
            sorted(LARGE),
        )
    finally:
        await connection.close()
    large = {row["relname"]: row["size"] for row in rows if row["size"] > 1_000_000}
    assert rows
    assert set(large) <= {
        "transactions_block",
        "mint_queue_block",
        "payment_queue_payer",
        "payment_queue_settled",
    }, large
