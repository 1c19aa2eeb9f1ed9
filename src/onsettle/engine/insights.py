"""How the service is doing: one reading for the API, the page, the metrics and the commands."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from onsettle.domain.payment import PaymentStatus
from onsettle.domain.settings import DEFAULTS, RuntimeSettings, read
from onsettle.domain.verdict import Signs, judge
from onsettle.engine.network import Network
from onsettle.store.database import Database, Record

_PERCENTILES = ("p50", "p95", "p99")
_LATENCIES = ("accept_to_sent", "accept_to_completed", "mined_to_completed")
_WALLET = (
    "chain_id", "address", "role", "paused", "live", "next_nonce", "mined_nonce", "balance",
    "needs_balance", "note", "keyed", "lease_holder",
)  # fmt: skip
# However many look, the database is asked this often at most, and for a tenth of the time.
_FRESH_S = 0.5
_LONGEST_S = 10.0
_SHARE = 10


class Insights:
    """Reads at most twice a second, however many pages are open. `networks` adds RPC endpoints."""

    def __init__(self, db: Database, networks: Mapping[int, Network] | None = None) -> None:
        self._db = db
        self._networks = networks or {}
        self._lock = asyncio.Lock()
        self._read: dict[str, Any] = {}
        self._stale_at = float("-inf")

    async def read(self) -> dict[str, Any]:
        """The state now, in plain values; amounts are integers of wei."""
        async with self._lock:
            if time.monotonic() >= self._stale_at:
                started = time.monotonic()
                self._read = await self._fetch()
                spent = time.monotonic() - started
                self._stale_at = time.monotonic() + max(_FRESH_S, min(_LONGEST_S, _SHARE * spent))
            return self._read

    async def _fetch(self) -> dict[str, Any]:
        db, now = self._db, datetime.now(UTC)
        rows = {row["key"]: row["value"] for row in await db.fetch("settings_read")}
        settings, refused = read(rows, DEFAULTS)
        found: dict[str, Any] = {
            "at": now,
            "payments": _counts(await db.fetch("stats_counts"), now),
            "mints": {row["status"]: row["count"] for row in await db.fetch("stats_mints")},
            "outbox": _outbox(await db.fetchrow("stats_outbox"), now),
            "rates": _rates(await db.fetchrow("stats_rates")),
            "latency_s": _latencies(await db.fetchrow("stats_latency")),
            "wallets": [_wallet(row) for row in await db.fetch("wallets_keyed")],
            "networks": [self._network(row, now) for row in await db.fetch("networks_all")],
            "workers": [row["id"] for row in await db.fetch("workers_live")],
            "alarms": [dict(row) for row in await db.fetch("alarms_open")],
            "settings": {
                "payment_mode": settings.payment_mode,
                "payments_paused": settings.payments_paused,
                "refused": list(refused),
            },
        }
        health, reasons = judge(_signs(found, settings))
        return {"health": health.value, "reasons": reasons, **found}

    def _network(self, row: Record, now: datetime) -> dict[str, Any]:
        network = self._networks.get(row["chain_id"])
        looked: datetime | None = row["looked_at"]
        return {
            "network": f"eip155:{row['chain_id']}",
            "name": row["name"],
            "block_number": row["cursor_number"],
            "looked_ago_s": None
            if looked is None
            else round(max(0.0, (now - looked).total_seconds()), 1),
            "following": row["following_since"] is not None,
            "finalized_number": row["finalized_number"],
            "base_fee": row["base_fee"],
            "rpc": [] if network is None else endpoints(network),
        }


def public(state: dict[str, Any]) -> dict[str, Any]:
    """Wei as decimal strings: they do not fit the numbers of JavaScript."""
    wallets = [
        {**w, "balance": _text(w["balance"]), "needs_balance": _text(w["needs_balance"])}
        for w in state["wallets"]
    ]
    networks = [{**n, "base_fee": _text(n["base_fee"])} for n in state["networks"]]
    return {**state, "wallets": wallets, "networks": networks}


def _text(amount: Any) -> str | None:
    return None if amount is None else format(amount, "d" if isinstance(amount, int) else "f")


def endpoints(network: Network) -> list[dict[str, Any]]:
    """What this process knows of its RPC endpoints; calls count the elements of batches."""
    return [
        {
            "endpoint": end.name,
            "height": end.stats.height,
            "calls": end.stats.requests,
            "errors": end.stats.errors,
            "last_error": end.stats.last_error,
            "latency_ms": end.stats.last_latency_ms,
            "answers": end.stats.consecutive_failures == 0 and end.stats.foreign is None,
            "cooldown_s": end.stats.cooldown,
        }
        for end in network.pool.endpoints
    ]


def _age(since: datetime | None, now: datetime) -> int | None:
    return None if since is None else max(0, int((now - since).total_seconds()))


def _counts(rows: list[Record], now: datetime) -> dict[str, dict[str, int | None]]:
    by_status = {row["status"]: row for row in rows}
    found: dict[str, dict[str, int | None]] = {}
    for status in PaymentStatus:
        row = by_status.get(status.value)
        found[status.value] = {
            "count": row["count"] if row else 0,
            "oldest_age_s": _age(row["oldest"], now) if row else None,
        }
    return found


def _outbox(row: Record | None, now: datetime) -> dict[str, int | None]:
    if row is None:
        return {"pending": 0, "dead": 0, "oldest_age_s": None}
    return {
        "pending": row["pending"],
        "dead": row["dead"],
        "oldest_age_s": _age(row["oldest"], now),
    }


def _rates(row: Record | None) -> dict[str, int]:
    names = ("submitted", "completed", "failed")
    return {f"{name}_per_minute": row[name] if row else 0 for name in names}


def _latencies(row: Record | None) -> dict[str, dict[str, float] | None]:
    found: dict[str, dict[str, float] | None] = {}
    for name in _LATENCIES:
        values = row[name] if row else None
        if values is None or None in values:
            found[name] = None
        else:
            found[name] = dict(zip(_PERCENTILES, map(float, values), strict=True))
    return found


def _wallet(row: Record) -> dict[str, Any]:
    wallet = {name: row[name] for name in _WALLET}
    for name in ("balance", "needs_balance"):
        wallet[name] = None if wallet[name] is None else int(wallet[name])
    return wallet


def _signs(found: dict[str, Any], settings: RuntimeSettings) -> Signs:
    wallets = found["wallets"]
    pending = found["payments"]["pending"]
    return Signs(
        workers=len(found["workers"]),
        paused=settings.payments_paused,
        waiting=pending["count"],
        oldest_waiting_s=pending["oldest_age_s"],
        networks=[(n["name"], n["looked_ago_s"]) for n in found["networks"]],
        unreachable=[
            n["name"]
            for n in found["networks"]
            if n["rpc"] and not any(end["answers"] for end in n["rpc"])
        ],
        dry=[
            (w["address"], w["needs_balance"], w["balance"])
            for w in wallets
            if w["needs_balance"] is not None
        ],
        paused_wallets=[w["address"] for w in wallets if w["paused"]],
        alarms=[f"{a['kind']} {a['subject']}: {a['message']}" for a in found["alarms"]],
        dead_deliveries=found["outbox"]["dead"] or 0,
    )
