"""What a run costs: processor seconds by process, commits and WAL of the database."""

import time
from dataclasses import dataclass

import asyncpg
import psutil

from onsettle.local.bench.ground import Ground


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Totals since the start of everything, in seconds, bytes and transactions."""

    at: float
    database_cpu: float
    node_cpu: float
    load_cpu: float
    commits: int
    wal_bytes: int

    def since(self, before: "Usage") -> "Usage":
        return Usage(
            at=self.at - before.at,
            database_cpu=self.database_cpu - before.database_cpu,
            node_cpu=self.node_cpu - before.node_cpu,
            load_cpu=self.load_cpu - before.load_cpu,
            commits=self.commits - before.commits,
            wal_bytes=self.wal_bytes - before.wal_bytes,
        )


async def usage(ground: Ground, dsn: str) -> Usage:
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        await connection.execute("select pg_stat_force_next_flush()")
        row = await connection.fetchrow(
            "select xact_commit, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint as wal"
            " from pg_stat_database where datname = current_database()"
        )
    finally:
        await connection.close()
    commits, wal = (row["xact_commit"], row["wal"]) if row else (0, 0)
    return Usage(
        at=time.time(),
        database_cpu=_tree_cpu(ground.postgres.pid),
        node_cpu=_tree_cpu(ground.chain.pid),
        load_cpu=time.process_time(),
        commits=commits,
        wal_bytes=wal,
    )


def _tree_cpu(pid: int | None) -> float:
    """Processor seconds of a process, of its live children and of those that ended."""
    if pid is None:
        return 0.0
    total = 0.0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
        total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return total
