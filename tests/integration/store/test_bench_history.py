"""The history that the benchmark measures behind looks like one that was lived through."""

from onsettle.local.bench.growth import fill
from tests.harness.rows import Connection


async def test_a_finished_payment_has_all_that_belongs_to_it(connection: Connection) -> None:
    """Four lines of its journal and its mint; a hundred share a transaction and its attempt."""
    await fill(connection, 1000, 84532)
    counts = {
        table: await connection.fetchval(f"select count(*) from {table}")
        for table in ("payment_queue", "payment_events", "mint_queue", "transactions", "attempts")
    }
    # Numbered from 1, so that the first pack lacks one and the last payment is alone.
    packs = 11
    assert counts == {
        "payment_queue": 1000,
        "payment_events": 4000,
        "mint_queue": 1000,
        "transactions": packs,
        "attempts": packs,
    }
    journal = await connection.fetch(
        "select array_agg(to_status order by id) as steps, count(*) over () as payments"
        " from payment_events group by payment_id limit 1"
    )
    assert [tuple(row) for row in journal] == [
        (["pending", "processing", "sent", "completed"], 1000)
    ]
    unmatched = await connection.fetchval(
        "select count(*) from transactions t left join attempts a on a.transaction_id = t.id"
        " where a.hash is distinct from t.mined_hash"
    )
    assert unmatched == 0
