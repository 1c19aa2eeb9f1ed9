"""How long one payment takes: while the engine is idle, and while others are offered beside it."""

import asyncio
import math
import time
from collections.abc import Mapping
from typing import Any

from onsettle.config import load as load_config
from onsettle.local.bench import figures
from onsettle.local.bench.conditions import conditions, in_force
from onsettle.local.bench.ground import Ground, Site
from onsettle.local.bench.heads import Heads
from onsettle.local.bench.http_load import offer
from onsettle.local.bench.load import Body, sign
from onsettle.local.bench.plan import PACKED
from onsettle.local.bench.service import Service
from onsettle.local.bench.settle import Stalled
from onsettle.runtime import Engine
from onsettle.store.database import Database

RATES = (10, 50, 100, 300, 500)
_BLOCK_TIME_S = 1
_PATIENCE_S = 60.0
_TIMES = f"""
select p.id::text, p.created_at, c.sent_at, c.completed_at, p.block_number
from payment_queue p
left join ({figures.COMMITTED} where payment_id = any($1::uuid[]) group by payment_id) as c
    on c.payment_id = p.id
where p.id = any($1::uuid[])
"""


async def idle(ground: Ground, *, payments: int) -> dict[str, Any]:
    """One payment at a time, each after the one before it has completed; default settings."""
    site, engine = await _opened(ground, {}, payers=20)
    try:
        bodies = _signed(ground, site, engine, payments)
        with Heads(ground.chain.rpc_url) as heads:
            async with Service(site, ground.folder) as service:
                rows: list[Mapping[str, Any]] = []
                for at, body in enumerate(bodies):
                    offered = await offer(service.url, [body], per_second=1000)
                    rows += await _completed(engine.db, list(offered.acknowledged))
                    # Not in step with the blocks.
                    await asyncio.sleep(0.05 + 0.037 * (at % 11))
    finally:
        await engine.close()
    return {
        **await _told(ground, site, payments),
        "accept_to_broadcast_s": figures.percentiles(_spans(rows, "created_at", "sent_at")),
        "visible_to_completed_s": figures.percentiles(_visible(rows, heads.seen)),
        "accept_to_completed_s": figures.percentiles(_spans(rows, "created_at", "completed_at")),
    }


async def at_load(ground: Ground, *, seconds: float) -> dict[str, Any]:
    """Each rate for some seconds, as single POSTs to one `onsettle serve`."""
    found: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for rate in RATES:
        site, engine = await _opened(ground, PACKED, payers=500)
        try:
            bodies = _signed(ground, site, engine, math.ceil(rate * seconds))
            with Heads(ground.chain.rpc_url) as heads:
                async with Service(site, ground.folder) as service:
                    offered = await offer(service.url, bodies, per_second=rate)
                    rows = await _completed(engine.db, list(offered.acknowledged))
        finally:
            await engine.close()
        found[str(rate)] = {
            "offered_per_second": rate,
            "accepted_per_second": round(len(bodies) / offered.seconds, 1),
            "acknowledged_s": figures.percentiles(offered.waits_s),
            "accept_to_sent_s": figures.percentiles(_spans(rows, "created_at", "sent_at")),
            "mined_to_completed_s": figures.percentiles(_visible(rows, heads.seen)),
            "accept_to_completed_s": figures.percentiles(
                _spans(rows, "created_at", "completed_at")
            ),
        }
        told = await _told(ground, site, None)
    return {**told, "seconds_each": seconds, "rates": found}


async def _told(ground: Ground, site: Site, payments: int | None) -> dict[str, Any]:
    settings = await in_force(site.dsn)
    return {
        "about": "HTTP, one `onsettle serve`",
        **await conditions(ground, site, payments=payments, settings=settings),
    }


async def _opened(
    ground: Ground, settings: Mapping[str, object], *, payers: int
) -> tuple[Site, Engine]:
    site = await ground.site(wallets=1, payers=payers, name="latency", block_time=_BLOCK_TIME_S)
    engine = await Engine.open(load_config(site.environment, ground.folder), wait_s=30)
    for key, value in settings.items():
        await engine.db.execute("setting_write", key, str(value).lower())
    return site, engine


def _signed(ground: Ground, site: Site, engine: Engine, count: int) -> list[Body]:
    [network] = engine.networks.values()
    domain = network.domains[network.config.assets[0]]
    return sign(site.payers, domain, count, mint_token=ground.chain.tokens.mint_token)


async def _completed(db: Database, ids: list[str]) -> list[Mapping[str, Any]]:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        rows = await db.pool.fetch(_TIMES, ids)
        if len(rows) == len(ids) and all(row["completed_at"] for row in rows):
            return [dict(row) for row in rows]
        if time.monotonic() > deadline:
            raise Stalled(f"{sum(not row['completed_at'] for row in rows)} did not complete")
        await asyncio.sleep(0.1)


def _spans(rows: list[Mapping[str, Any]], start: str, end: str) -> list[float]:
    return [(row[end] - row[start]).total_seconds() for row in rows if row[end] and row[start]]


def _visible(rows: list[Mapping[str, Any]], seen: Mapping[int, float]) -> list[float]:
    """From the node's announcement of its block to the commit that completed it."""
    return [
        max(0.0, row["completed_at"].timestamp() - seen[row["block_number"]])
        for row in rows
        if row["block_number"] in seen
    ]
