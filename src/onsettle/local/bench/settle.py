"""One profile, measured: sign, start the engine, accept, wait, read the figures."""

import asyncio
import time
from pathlib import Path
from typing import Any

from onsettle.config import load
from onsettle.engine.network import Network
from onsettle.local.bench import figures
from onsettle.local.bench.ground import Ground, Site
from onsettle.local.bench.heads import Heads
from onsettle.local.bench.load import Body, sign, submit
from onsettle.local.bench.plan import Profile
from onsettle.local.bench.usage import usage
from onsettle.local.bench.workers import Workers
from onsettle.runtime import Engine

# Without any progress for so long, the run is over.
_STALLED_S = 120.0
_POLL_S = 0.25
_OPEN = """
select (select count(*) from payment_queue where status in ('pending', 'processing', 'sent'))
    as payments,
    (select count(*) from mint_queue where status in ('pending', 'processing')) as mints
"""


class Stalled(Exception):
    """Nothing moved for two minutes; the text says where it stood."""


async def measure(ground: Ground, profile: Profile) -> dict[str, Any]:
    """Run one profile from an empty database and return its settings and figures."""
    await ground.block_time(profile.block_time)
    site = await ground.site(wallets=profile.wallets, payers=profile.payers, name=profile.name)
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
        found = await _timed(ground, site, profile, engine, bodies)
        found["gas_per_payment"] = await figures.gas_per_payment(engine.db, ground.rpc)
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
    ground: Ground, site: Site, profile: Profile, engine: Engine, bodies: list[Body]
) -> dict[str, Any]:
    async with Workers(site, profile.workers, Path(ground.folder)) as workers:
        await workers.ready(engine.db)
        with Heads(ground.chain.rpc_url) as heads:
            before, counted = await usage(ground, site.dsn), await workers.counters()
            accepting = await submit(engine.intake, bodies)
            await _finished(engine, workers, profile)
            spent = (await usage(ground, site.dsn)).since(before)
            counters = await workers.counters()
            found = await figures.timings(engine.db, heads.seen)
    peak = {"peak_memory_mb": counters["peak_memory_mb"]}
    increase = {name: counters[name] - counted[name] for name in counters} | peak
    found["accepted_per_second"] = round(len(bodies) / accepting, 1)
    return {**found, **figures.costs(spent, increase, profile.payments)}


async def _finished(engine: Engine, workers: Workers, profile: Profile) -> None:
    """Wait until no payment and no mint is open; raises Stalled."""
    last, moved = (-1, -1), time.monotonic()
    while True:
        row = await engine.db.pool.fetchrow(_OPEN)
        assert row is not None
        now = (row["payments"], row["mints"])
        if now == (0, 0):
            return
        workers.check()
        if now != last:
            last, moved = now, time.monotonic()
        if time.monotonic() - moved > _STALLED_S:
            raise Stalled(f"{profile.name}: {now[0]} payments and {now[1]} mints are still open")
        await asyncio.sleep(_POLL_S)
