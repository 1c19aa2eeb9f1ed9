"""One profile, measured: sign, start the engine, accept, wait, read the figures."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from onsettle.config import load
from onsettle.engine.network import Network
from onsettle.engine.verify import verify
from onsettle.local.bench import figures
from onsettle.local.bench.conditions import conditions, in_force
from onsettle.local.bench.ground import Ground, Site
from onsettle.local.bench.heads import Heads
from onsettle.local.bench.load import Body, sign, submit
from onsettle.local.bench.plan import Profile
from onsettle.local.bench.sampling import Sampler, shares
from onsettle.local.bench.statements import StatementLog
from onsettle.local.bench.usage import usage
from onsettle.local.bench.workers import Workers
from onsettle.runtime import Engine

# Without any progress for so long, the run is over.
_STALLED_S = 60.0
_POLL_S = 0.25
_OPEN = """
select exists (select from payment_queue where status = 'sent')
    or exists (select from payment_queue where status = 'pending')
    or exists (select from payment_queue where status = 'processing')
    or exists (select from mint_queue where status = 'processing')
    or exists (select from mint_queue where status = 'pending')
"""
# Counting is not free: it is done when something may be wrong.
_COUNTS = """
select (select count(*) from payment_queue where status in ('pending', 'processing', 'sent'))
    as payments,
    (select count(*) from mint_queue where status in ('pending', 'processing')) as mints
"""


class Stalled(Exception):
    """Nothing moved for a minute; the text says where it stood."""


class Wrong(Exception):
    """The run ended, but not as it should have; the text says what is missing or differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where one profile runs, once or several times: a chain, a database, an intake."""

    ground: Ground
    profile: Profile
    site: Site
    engine: Engine
    log: StatementLog | None

    @property
    def network(self) -> Network:
        [network] = self.engine.networks.values()
        return network


@asynccontextmanager
async def staged(
    ground: Ground, profile: Profile, *, statements: bool = False
) -> AsyncIterator[Stage]:
    """A stage with the profile's settings; `statements` has the database log what it runs."""
    site = await ground.site(
        wallets=profile.wallets,
        payers=profile.payers,
        name=profile.name,
        block_time=profile.block_time,
    )
    log = await StatementLog.of(site.dsn, ground.postgres.log_dir) if statements else None
    engine = await Engine.open(load(site.environment, ground.folder), wait_s=30)
    try:
        for key, value in profile.settings.items():
            await engine.db.execute("setting_write", key, str(value).lower())
        yield Stage(ground=ground, profile=profile, site=site, engine=engine, log=log)
    finally:
        await engine.close()


async def measure(
    ground: Ground,
    profile: Profile,
    *,
    queued: bool = False,
    audit: bool = False,
    statements: bool = False,
) -> dict[str, Any]:
    """Run one profile on a stage of its own; as `run`, with what each query of the database took.

    `audit` compares the books with the chain afterwards.
    """
    async with staged(ground, profile, statements=statements) as stage:
        found = await run(stage, queued=queued)
        if audit:
            found["verify_ok"] = await _audited(stage.engine)
        return found


async def run(stage: Stage, *, queued: bool = False) -> dict[str, Any]:
    """The conditions and figures of one load of the profile's payments.

    `queued` lets the engine start only when everything has been accepted, and then counts from its
    first broadcast. Raises Wrong unless every payment was completed, and minted.
    """
    profile, engine, network = stage.profile, stage.engine, stage.network
    bodies = sign(
        stage.site.payers,
        network.domains[network.config.assets[0]],
        profile.payments,
        mint_token=network.config.mint_tokens[0].address if profile.mints else None,
    )
    since = await engine.db.pool.fetchval("select now()")
    if queued:
        await submit(engine.intake, bodies)
        bodies = []
    found = await _timed(stage, bodies, since)
    check(found, profile)
    found["gas_per_payment"] = await figures.gas_per_payment(engine.db, since, stage.ground.rpc)
    told = await conditions(
        stage.ground,
        stage.site,
        payments=profile.payments,
        settings=await in_force(stage.site.dsn),
        workers=profile.workers,
    )
    return {"about": profile.about, **told, **found}


def check(found: Mapping[str, Any], profile: Profile) -> None:
    """Raises Wrong unless all were completed, and minted: payments that failed take no time."""
    expected = (profile.payments, profile.payments if profile.mints else 0)
    if (found["completed"], found["mints"]) != expected:
        raise Wrong(
            f"{profile.name}: of {profile.payments} payments {found['completed']} were completed"
            f" and {found['mints']} minted"
        )


async def _audited(engine: Engine) -> bool:
    report = await verify(engine.db, engine.networks)
    if report.differences:
        raise Wrong("the books differ from the chain: " + "; ".join(report.differences[:3]))
    return report.ok


async def _timed(stage: Stage, bodies: list[Body], since: datetime) -> dict[str, Any]:
    ground, site, profile, engine = stage.ground, stage.site, stage.profile, stage.engine
    async with Workers(site, profile.workers, Path(ground.folder)) as workers:
        await workers.ready(engine.db)
        with Heads(ground.chain.rpc_url) as heads:
            before, counted = await usage(ground, site.dsn), await workers.counters()
            intake = Sampler()
            if stage.log is not None:
                await stage.log.begin()
                workers.sample()
                intake.start()
            accepting = await submit(engine.intake, bodies)
            intake.stop()
            await _finished(engine, workers, profile)
            if stage.log is not None:
                await stage.log.end()
            spent = (await usage(ground, site.dsn)).since(before)
            counters, samples = await workers.counters(), await workers.samples()
            found = await figures.timings(engine.db, since, heads.seen, from_sent=not bodies)
    peak = {"peak_memory_mb": counters["peak_memory_mb"]}
    increase = {name: counters[name] - counted[name] for name in counters} | peak
    if bodies:
        found["accepted_per_second"] = round(len(bodies) / accepting, 1)
    costs = figures.costs(spent, increase, profile.payments)
    if stage.log is not None:
        found["statements"] = stage.log.spent(profile.payments)
        found["python"] = {
            name: shares(seen, costs["cpu_seconds"][name], profile.payments)
            for name, seen in (("intake", intake.seen), ("engine", samples))
        }
    return {**found, **costs}


async def _finished(engine: Engine, workers: Workers, profile: Profile) -> None:
    """Wait until no payment and no mint is open; raises Stalled."""
    last, counted_at = (-1, -1), time.monotonic()
    while await _open(engine):
        workers.check()
        if time.monotonic() - counted_at > _STALLED_S:
            row = await engine.db.pool.fetchrow(_COUNTS)
            now = (row["payments"], row["mints"]) if row else (-1, -1)
            if now == last:
                raise Stalled(f"{profile.name}: {now[0]} payments and {now[1]} mints do not move")
            last, counted_at = now, time.monotonic()
        await asyncio.sleep(_POLL_S)


async def _open(engine: Engine) -> bool:
    """Whether a payment or a mint is open, told by the indexes of what is.

    To the planner, reading a table with a million finished rows looks as good a way to any row.
    """
    async with engine.db.pool.acquire() as connection, connection.transaction():
        await connection.execute("set local enable_seqscan = off")
        found: bool = await connection.fetchval(_OPEN)
    return found
