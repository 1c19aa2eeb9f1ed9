"""From rows, blocks and counters to figures."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from onsettle.chain.jsonrpc import Call
from onsettle.chain.rpc import Pool
from onsettle.local.bench.usage import Usage
from onsettle.store.database import Database

Row = Mapping[str, Any]
_GAS_SAMPLE = 100

# When the commits were that a status came with; acceptance counts from before its commit.
COMMITTED = """
select payment_id,
    max(pg_xact_commit_timestamp(xmin)) filter (where to_status = 'sent') as sent_at,
    max(pg_xact_commit_timestamp(xmin)) filter (where to_status = 'completed') as completed_at
from payment_events
"""
_PAYMENTS = f"""
select p.id, p.status, p.created_at, c.sent_at, c.completed_at, p.block_number, p.tx_hash,
    cardinality(t.payment_ids) as packed
from payment_queue p
left join transactions t on t.id = p.transaction_id
left join ({COMMITTED} where at >= $1 group by payment_id) as c on c.payment_id = p.id
where p.created_at >= $1
"""
_LAST_MINT = """
select count(*) as count, max(pg_xact_commit_timestamp(xmin)) as last from mint_queue
where status = 'completed' and created_at >= $1
"""


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """p50, p95 and p99 in seconds; None without a value."""
    if not values:
        return None
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)], 6)

    return {"p50": at(0.50), "p95": at(0.95), "p99": at(0.99)}


async def timings(
    db: Database, since: datetime, seen: Mapping[int, float], *, from_sent: bool = False
) -> dict[str, Any]:
    """Throughput from the first acceptance (or broadcast), and how long each step took.

    Of what was accepted `since` then.
    """
    rows = await db.pool.fetch(_PAYMENTS, since)
    done = [row for row in rows if row["status"] == "completed"]
    start = "sent_at" if from_sent else "created_at"
    first = min(row[start] for row in rows if row[start])
    seconds = _seconds(first, max((row["completed_at"] for row in done), default=None))
    mints = await db.pool.fetchrow(_LAST_MINT, since)
    minted, last_mint = (mints["count"], mints["last"]) if mints else (0, None)
    with_mints = _seconds(first, last_mint)
    return {
        "completed": len(done),
        "mints": minted,
        "payments_per_second": _rate(len(done), seconds),
        "with_mints_per_second": _rate(minted, with_mints) if minted else None,
        "seconds": round(seconds, 2),
        "accept_to_sent_s": percentiles(
            [_seconds(r["created_at"], r["sent_at"]) for r in done if r["sent_at"]]
        ),
        "mined_to_completed_s": percentiles(
            [
                max(0.0, row["completed_at"].timestamp() - seen[row["block_number"]])
                for row in done
                if row["block_number"] in seen
            ]
        ),
    }


async def gas_per_payment(db: Database, since: datetime, rpc: Pool) -> int:
    """Gas of a sample of transactions that landed, by the payments in them."""
    carried: dict[str, int] = {}
    for row in await db.pool.fetch(_PAYMENTS, since):
        if row["status"] == "completed" and row["packed"]:
            carried[row["tx_hash"]] = row["packed"]
    sample = sorted(carried)[:_GAS_SAMPLE]
    answers = await rpc.batch([Call("eth_getTransactionReceipt", (each,)) for each in sample])
    used = sum(int(cast("dict[str, str]", answer)["gasUsed"], 16) for answer in answers)
    return used // max(1, sum(carried[each] for each in sample))


def costs(spent: Usage, engine: Mapping[str, float], payments: int) -> dict[str, Any]:
    """Per payment; `engine` holds the counters' increase, and the peak memory as it is."""
    return {
        "rpc_calls_per_payment": round(engine["rpc_calls"] / payments, 6),
        "commits_per_payment": round(spent.commits / payments, 3),
        "wal_bytes_per_payment": round(spent.wal_bytes / payments),
        "cpu_seconds": {
            "engine": round(engine["cpu_seconds"], 2),
            "intake": round(spent.load_cpu, 2),
            "database": round(spent.database_cpu, 2),
            "node": round(spent.node_cpu, 2),
        },
        "engine_us_per_payment": round(engine["cpu_seconds"] / payments * 1e6),
        "peak_memory_mb": engine["peak_memory_mb"],
    }


def median_run(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The run in the middle by its rate, as a whole, with the rates of all of them."""
    ordered = sorted(runs, key=lambda run: run["payments_per_second"])
    rates = [run["payments_per_second"] for run in runs]
    return ordered[len(ordered) // 2] | {"runs": rates}


def number(value: float | None) -> str:
    """As people read it: no more digits than say something."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _seconds(start: datetime, end: datetime | None) -> float:
    return math.inf if end is None else (end - start).total_seconds()


def _rate(count: int, seconds: float) -> float:
    return round(count / max(seconds, 0.001), 1)
