"""One run: load and faults, then calm, then the judges."""

import asyncio
import time
from dataclasses import dataclass
from dataclasses import field as default
from pathlib import Path
from random import Random
from typing import Any

from onsettle.engine.verify import verify
from tests.harness.stack import PAYEE, PRICE
from tests.torture.field import Field, Job, field
from tests.torture.storm import Storm

_PER_SECOND = 5
#: When faults have stopped, every payment reaches a final state within this time.
BOUND_S = 180.0


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
            *self.problems,
            "clean" if self.clean else f"NOT CLEAN: {self.lost} lost, {self.doubled} doubled",
        ]
        return "\n".join(lines)


async def torture(folder: Path, *, seed: int, seconds: float) -> Outcome:
    random = Random(seed)
    async with field(folder, random) as whole:
        storm = Storm(whole)
        print("faults of this seed: " + ", ".join(sorted(storm.chosen)), flush=True)
        loading = asyncio.create_task(_load(whole, seconds))
        await storm.blow(seconds)
        await loading
        await storm.stop()
        stopped = time.monotonic()
        problems = await _calm(whole)
        calm_after_s = time.monotonic() - stopped
        return await _judge(whole, seed, seconds, calm_after_s, problems)


async def _load(whole: Field, seconds: float) -> None:
    """A steady stream of clients; some ask again for what they have asked for before."""
    clients: set[asyncio.Task[bool]] = set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(1 / _PER_SECOND)
        again = whole.jobs and whole.random.random() < 0.1
        job = whole.random.choice(whole.jobs) if again else whole.new_job()
        client = asyncio.create_task(whole.submit(job))
        clients.add(client)
        client.add_done_callback(clients.discard)
    await asyncio.gather(*clients)


async def _calm(whole: Field) -> list[str]:
    """Clients that had no answer ask again; then all is final within the bound."""
    deadline = time.monotonic() + BOUND_S
    for job in whole.jobs:
        while job.id is None and time.monotonic() < deadline:
            if not await whole.submit(job):
                await asyncio.sleep(0.3)
    row: Any = None
    while time.monotonic() < deadline:
        row = await whole.row(_OPEN)
        if row is not None and not any(row.values()):
            return []
        await asyncio.sleep(0.3)
    left = {name: count for name, count in dict(row or {}).items() if count}
    shown = await whole.row(_SHOWN)
    return [f"not over within {BOUND_S:.0f} s: {left}; {dict(shown) if shown else ''}"]


_OPEN = """
select (select count(*) from payment_queue where not final) as payments_not_final,
    (select count(*) from mint_queue where status <> 'completed') as mints_open,
    (select count(*) from transactions where state = 'live') as transactions_live
"""
_SHOWN = """
select (select array_agg(distinct format('%s %s %s', status, reason, error))
        from payment_queue where not final) as payments,
    (select array_agg(distinct format('%s %s', status, error_message))
        from mint_queue where status <> 'completed') as mints
"""


async def _judge(
    whole: Field, seed: int, seconds: float, calm_after_s: float, problems: list[str]
) -> Outcome:
    """Two judges: the audit, and sums that know nothing of the product's tables."""
    for worker in whole.workers:
        await worker.stop()
    stack = whole.stack
    async with stack.engine(start=False) as engine:
        report = await verify(engine.db, engine.networks)
    problems += report.differences + report.not_checked
    problems += await _missing(whole.jobs, whole)
    charged = await stack.token_balance(PAYEE) // PRICE
    wanted = sum(job.quantity for job in whole.jobs)
    supply = {"to": stack.mint_token, "data": "0x18160ddd"}
    minted = int(str(await stack.rpc.call("eth_call", supply, "latest")), 16)
    spare = (charged - len(whole.jobs), minted - wanted)
    return Outcome(
        seed=seed,
        seconds=seconds,
        payments=len(whole.jobs),
        mints=wanted,
        lost=sum(max(0, -n) for n in spare),
        doubled=sum(max(0, n) for n in spare),
        calm_after_s=round(calm_after_s, 1),
        faults=dict(whole.injected),
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
