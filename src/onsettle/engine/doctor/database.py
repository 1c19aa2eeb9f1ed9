"""PostgreSQL: version, durability, migrations, old locks, clock, settings, alarms, workers."""

import time
from collections.abc import Mapping
from typing import Any

from onsettle.domain.settings import DEFAULTS, read
from onsettle.engine.doctor.findings import Findings
from onsettle.store.database import Database
from onsettle.store.migrate import MigrationError, migrate

_OLDEST_TRANSACTION_S = 60
_SKEW_S = 2.0
_BUSY = 0.8


async def check_server(found: Findings, db: Database) -> None:
    """What does not need our tables."""
    row = await db.fetchrow("doctor_server")
    if row is None:
        raise RuntimeError("a query without a row")
    judge_server(found, dict(row), time.time())


def judge_server(found: Findings, row: Mapping[str, Any], now: float) -> None:
    """What a server says of itself; `now` is this machine's clock when it was asked."""
    if row["version_num"] < 150_000:
        found.fail("database version", row["version"], "use PostgreSQL 15 or newer")
    else:
        found.ok("database version", row["version"])
    wanted = {"fsync": "on", "full_page_writes": "on"}
    off = [name for name, value in wanted.items() if row[name] != value]
    if row["synchronous_commit"] == "off":
        off.append("synchronous_commit")
    if off:
        remedy = f"set {', '.join(off)} to on: what was acknowledged could be lost"
        found.fail("durable settings", f"off: {', '.join(off)}", remedy)
    else:
        found.ok("durable settings", "fsync, full_page_writes and synchronous_commit are on")
    skew = abs(row["epoch"] - now)
    if skew > _SKEW_S:
        found.warn(
            "database clock", f"{skew:.1f} s from this machine's", "run NTP on both machines"
        )
    else:
        found.ok("database clock", "agrees with this machine's")
    if row["connections"] > _BUSY * row["max_connections"]:
        found.warn(
            "connections",
            f"{row['connections']} of {row['max_connections']} are taken",
            "raise max_connections, or run fewer processes",
        )
    else:
        found.ok("connections", f"{row['connections']} of {row['max_connections']} are taken")


async def check_locks(
    found: Findings, db: Database, *, older_than_s: float = _OLDEST_TRANSACTION_S
) -> None:
    """Transactions that have been open for long, and what waits for them."""
    rows = await db.fetch("doctor_locks", older_than_s)
    for row in rows:
        found.warn(
            "old locks",
            f"open for {row['seconds']} s ({row['state']}), {row['waiting']} wait for it:"
            f" {row['query']}",
            f"end it: onsettle psql -c 'select pg_terminate_backend({row['pid']})'",
            f"{row['application_name'] or 'process'} {row['pid']}",
        )
    if not rows:
        found.ok("old locks", f"no transaction is older than {older_than_s:g} s")


async def check_migrations(found: Findings, dsn: str) -> bool:
    """Whether our tables are there, in this version."""
    try:
        missing = await migrate(dsn, dry_run=True)
    except MigrationError as error:
        found.fail("migrations", str(error), "run the version of onsettle that made this database")
        return False
    if missing:
        found.fail("migrations", f"missing: {', '.join(missing)}", "onsettle migrate")
        return False
    found.ok("migrations", "all are applied")
    return True


async def check_state(found: Findings, db: Database) -> None:
    """What the tables say: settings, workers, followers, alarms."""
    rows = {row["key"]: row["value"] for row in await db.fetch("settings_read")}
    settings, refused = read(rows, DEFAULTS)
    for sentence in refused:
        name = sentence.split(" ", 1)[0]
        found.warn("settings", sentence, f"onsettle settings {name} VALUE", name)
    if not refused:
        found.ok("settings", "all are in their ranges")
    if settings.payments_paused:
        found.warn("paused", "payments are not sent", "onsettle resume")
    workers = await db.fetch("workers_live")
    if workers:
        found.ok("workers", f"{len(workers)} running")
    else:
        found.fail("workers", "none is running", "start `onsettle serve` or `onsettle worker`")
    for row in await db.fetch("networks_all"):
        if workers and row["following_since"] is None:
            found.warn(
                "following",
                f"block {row['cursor_number']}, not at the head",
                "wait for it to catch up; if it does not, look at the endpoints below",
                row["name"],
            )
    alarms = await db.fetch("alarms_open")
    for alarm in alarms:
        found.fail(
            "alarms", alarm["message"], "onsettle stuck", f"{alarm['kind']} {alarm['subject']}"
        )
    if not alarms:
        found.ok("alarms", "none")
    if dead := await db.fetch("stuck_outbox", 1):
        count = dead[0]["total"]
        found.warn("messages", f"{count} were given up", "onsettle webhooks replay --dead")
    else:
        found.ok("messages", "none was given up")
