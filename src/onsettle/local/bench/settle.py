"""One profile, measured: sign, start the engine, accept, wait, read the figures."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from onsettle.config import load
from onsettle.engine.network import Network
from onsettle.local.bench import figures
from onsettle.local.bench import statements as statement_log
from onsettle.local.bench.ground import Ground, Site
from onsettle.local.bench.heads import Heads
from onsettle.local.bench.load import Body, sign, submit
from onsettle.local.bench.plan import Profile
from onsettle.local.bench.usage import usage
from onsettle.local.bench.workers import Workers
from onsettle.runtime import Engine
from onsettle.store.database import Database

# Without any progress for so long, the run is over.
_STALLED_S = 60.0
_POLL_S = 0.25
_OPEN = """
select exists (select from payment_queue where status in ('pending', 'processing', 'sent'))
    or exists (select from mint_queue where status in ('pending', 'processing'))
"""
# Counting is not free: it is done when something may be wrong.
_COUNTS = """
select (select count(*) from payment_queue where status in ('pending', 'processing', 'sent'))
    as payments,
    (select count(*) from mint_queue where status in ('pending', 'processing')) as mints
"""


class Stalled(Exception):
    """Nothing moved for a minute; the text says where it stood."""


async def measure(
    ground: Ground,
    profile: Profile,
    *,
    prepare: Callable[[Database, int], Awaitable[None]] | None = None,
    queued: bool = False,
    statements: bool = False,
) -> dict[str, Any]:
    """Run one profile on a database of its own and return its settings and figures.

    `prepare` fills the database of that chain before the clock starts; `queued` lets the engine
    start only when everything has been accepted, and then counts from its first broadcast.
    `statements` adds what each query of the database took.
    """
    site = await ground.site(
        wallets=profile.wallets,
        payers=profile.payers,
        name=profile.name,
        block_time=profile.block_time,
    )
    if statements:
        await statement_log.log_all(site.dsn)
    engine = await Engine.open(load(site.environment, ground.folder), wait_s=30)
    try:
        for key, value in profile.settings.items():
            await engine.db.execute("setting_write", key, str(value).lower())
        [network] = engine.networks.values()
        bodies = sign(
            site.payers,
            _domain(network),
            profile.payments,
            mint_token=network.config.mint_tokens[0].address if profile.mints else None,
        )
        if prepare is not None:
            await prepare(engine.db, network.chain_id)
        since = await engine.db.pool.fetchval("select now()")
        if queued:
            await submit(engine.intake, bodies)
            bodies = []
        found = await _timed(ground, site, profile, engine, bodies, since)
        if statements:
            found["statements"] = statement_log.read(ground.postgres.log_dir, profile.payments)
        found["gas_per_payment"] = await figures.gas_per_payment(engine.db, since, ground.rpc)
    finally:
        await engine.close()
    return {"about": profile.about, **conditions(profile), **found}


def conditions(profile: Profile) -> dict[str, Any]:
    """Under which settings and load a figure was found."""
    return {
        "payments": profile.payments,
        "settings": dict(profile.settings),
        "wallets": profile.wallets,
        "workers": profile.workers,
        "payers": profile.payers,
        "block_time_s": profile.block_time,
    }


def _domain(network: Network) -> Any:
    return network.domains[network.config.assets[0]]


async def _timed(
    ground: Ground,
    site: Site,
    profile: Profile,
    engine: Engine,
    bodies: list[Body],
    since: datetime,
) -> dict[str, Any]:
    async with Workers(site, profile.workers, Path(ground.folder)) as workers:
        await workers.ready(engine.db)
        with Heads(ground.chain.rpc_url) as heads:
            before, counted = await usage(ground, site.dsn), await workers.counters()
            accepting = await submit(engine.intake, bodies)
            await _finished(engine, workers, profile)
            spent = (await usage(ground, site.dsn)).since(before)
            counters = await workers.counters()
            found = await figures.timings(engine.db, since, heads.seen, from_sent=not bodies)
    peak = {"peak_memory_mb": counters["peak_memory_mb"]}
    increase = {name: counters[name] - counted[name] for name in counters} | peak
    if bodies:
        found["accepted_per_second"] = round(len(bodies) / accepting, 1)
    return {**found, **figures.costs(spent, increase, profile.payments)}


async def _finished(engine: Engine, workers: Workers, profile: Profile) -> None:
    """Wait until no payment and no mint is open; raises Stalled."""
    last, counted_at = (-1, -1), time.monotonic()
    while await engine.db.pool.fetchval(_OPEN):
        workers.check()
        if time.monotonic() - counted_at > _STALLED_S:
            row = await engine.db.pool.fetchrow(_COUNTS)
            now = (row["payments"], row["mints"]) if row else (-1, -1)
            if now == last:
                raise Stalled(f"{profile.name}: {now[0]} payments and {now[1]} mints do not move")
            last, counted_at = now, time.monotonic()
        await asyncio.sleep(_POLL_S)
