"""One run: load and faults, then calm, then the judges."""

import asyncio
import time
from dataclasses import dataclass
from dataclasses import field as default
from pathlib import Path
from random import Random

from onsettle.engine.verify import verify
from tests.torture.count import count
from tests.torture.field import Field, Job, field
from tests.torture.plan import dice, strikes
from tests.torture.storm import Storm

_PER_SECOND = 5
#: When faults have stopped, every payment reaches a final state within this time.
BOUND_S = 180.0
_TELL_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one seed did; `lost` and `doubled` count payments and mints."""

    seed: int
    seconds: float
    payments: int
    mints: int
    lost: int
    doubled: int
    calm_after_s: float
    faults: dict[str, int]
    seen: dict[str, int]
    answers: dict[str, int]
    problems: list[str] = default(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.problems)

    def summary(self) -> str:
        """The last line says `clean`, or what was lost or doubled."""
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        lines = [
            (
                f"seed {self.seed}: {self.payments} payments, {self.mints} mints,"
                f" all final {self.calm_after_s:.0f} s after the last fault"
            ),
            f"faults: {faults}",
            "seen: " + (", ".join(f"{n} {name}" for name, n in sorted(self.seen.items())) or "-"),
            *self.problems,
            "clean" if self.clean else f"NOT CLEAN: {self.lost} lost, {self.doubled} doubled",
        ]
        return "\n".join(lines)


async def torture(folder: Path, *, seed: int, seconds: float) -> Outcome:
    drawn = strikes(seed, seconds)
    kinds = sorted({strike.kind for strike in drawn})
    print("faults of this seed: " + ", ".join(kinds), flush=True)
    async with field(folder, seed) as whole:
        storm = Storm(whole, drawn)
        loading = asyncio.create_task(_load(whole, dice(seed, "clients"), seconds))
        await storm.blow()
        await loading
        await storm.stop()
        stopped = time.monotonic()
        problems = await _calm(whole)
        calm_after_s = time.monotonic() - stopped
        if "SIGSTOP past the lease" in kinds:
            await _leases(whole)
        problems += _unheard(whole)
        return await _judge(whole, seed, seconds, calm_after_s, problems)


async def _load(whole: Field, random: Random, seconds: float) -> None:
    """A steady stream of clients; some ask again for what they have asked for before."""
    clients: set[asyncio.Task[bool]] = set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(1 / _PER_SECOND)
        again = whole.jobs and random.random() < 0.1
        job = random.choice(whole.jobs) if again else whole.new_job(random)
        client = asyncio.create_task(whole.submit(job))
        clients.add(client)
        client.add_done_callback(clients.discard)
    await asyncio.gather(*clients)


async def _leases(whole: Field) -> None:
    """Who wakes up between two commits learns from its clock that it holds nothing, and asks for a
    new term; only who wakes up inside one is refused."""
    row = await whole.row(_TERMS)
    whole.seen["terms of leases"] = row["terms"] if row else 0
    whole.seen["commits of old holders refused"] = whole.refused()


def _unheard(whole: Field) -> list[str]:
    """Wallets ran dry, and no worker ever said so."""
    dry, said = whole.seen["wallets dry"], whole.seen["wallets that said so"]
    return [f"{dry} wallets ran dry and no worker said so"] if dry and not said else []


async def _calm(whole: Field) -> list[str]:
    """Clients that had no answer ask again; then all is final within the bound."""
    deadline = time.monotonic() + BOUND_S
    for job in whole.jobs:
        while job.id is None and time.monotonic() < deadline:
            if not await whole.submit(job):
                await asyncio.sleep(0.3)
    told = time.monotonic() + _TELL_S
    while time.monotonic() < deadline:
        row = await whole.row(_OPEN)
        if row is not None and not any(row.values()):
            return []
        if time.monotonic() > told:
            print(f"open: {await _open(whole)}", flush=True)
            told += _TELL_S
        await asyncio.sleep(0.3)
    return [f"not over within {BOUND_S:.0f} s: {await _open(whole)}"]


async def _open(whole: Field) -> str:
    """What is not over, and what it says of itself."""
    rows = [await whole.row(_OPEN), await whole.row(_SHOWN)]
    return str({name: value for row in rows for name, value in dict(row or {}).items() if value})


_OPEN = """
select (select count(*) from payment_queue where not final) as payments_not_final,
    (select count(*) from mint_queue where status <> 'completed') as mints_open,
    (select count(*) from transactions where state = 'live') as transactions_live
"""
_TERMS = """
select ((select sum(lease_term) from wallets)
    + (select sum(lease_term) from networks))::int as terms
"""
_SHOWN = """
select (select array_agg(distinct format('%s %s %s', status, reason, error))
        from payment_queue where not final) as payments,
    (select array_agg(distinct format('%s, %s tries, held %s s: %s', status, retry_count,
            extract(epoch from hold_until - now())::int, error_message))
        from mint_queue where status <> 'completed') as mints
"""


async def _judge(
    whole: Field, seed: int, seconds: float, calm_after_s: float, problems: list[str]
) -> Outcome:
    """Two judges: the audit, and the chain's logs counted one by one."""
    for worker in whole.workers:
        await worker.stop()
    stack = whole.stack
    async with stack.engine(start=False) as engine:
        report = await verify(engine.db, engine.networks)
    problems += report.differences + report.not_checked
    problems += await _missing(whole.jobs, whole)
    found = await count(stack, whole.jobs)
    return Outcome(
        seed=seed,
        seconds=seconds,
        payments=len(whole.jobs),
        mints=sum(job.quantity for job in whole.jobs),
        lost=found.lost,
        doubled=found.doubled,
        calm_after_s=round(calm_after_s, 1),
        faults=dict(whole.injected),
        seen=dict(whole.seen),
        answers={str(status): count for status, count in sorted(whole.answers.items())},
        problems=problems,
    )


async def _missing(jobs: list[Job], whole: Field) -> list[str]:
    """Acknowledged means committed: each id that a client was given is a row."""
    ids = [job.id for job in jobs if job.id is not None]
    found = await whole.row("select count(*) as n from payment_queue where id = any($1)", ids)
    problems = [] if found and found["n"] == len(set(ids)) else [f"{found} of {len(ids)} rows"]
    if unanswered := len(jobs) - len(ids):
        problems.append(f"{unanswered} payments were never acknowledged")
    return problems
