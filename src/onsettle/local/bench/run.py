"""One run of the benchmark: every part that was asked for, then the ratios between them."""

import dataclasses
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from onsettle.local.bench.durability import told
from onsettle.local.bench.figures import median_run
from onsettle.local.bench.floor import floor
from onsettle.local.bench.ground import Ground
from onsettle.local.bench.growth import growth
from onsettle.local.bench.intake import measure_intake
from onsettle.local.bench.latency import RATES, at_load, idle
from onsettle.local.bench.machine import environment
from onsettle.local.bench.others import GUIDE, PEERS, compare
from onsettle.local.bench.plan import PROFILES, profile
from onsettle.local.bench.settle import measure
from onsettle.local.bench.targets import judged, ratios

Say = Callable[[str], None]
#: The payments in one transaction, by the profile that is compared with it.
FLOORS = {"single": 1, "packed": 100}
BLOCK_TIMES = {"instant_blocks": 0, "two_second_blocks": 2}
_LOAD_S = 10.0
_GROWN = 10_000
#: What `--profiles` may name: the profiles, and the parts that are measured otherwise. The log of
#: statements comes last: it slows what is measured beside it.
PARTS = (
    *(each.name for each in PROFILES),
    *("guide", "floor", "peers", "idle", "load", "intake", "growth", "statements"),
)


class Run:
    """Measures part after part on one ground; a part that fails does not take the rest along."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        payments: int | None,
        quick: bool,
        say: Say,
        statements: bool = False,
    ) -> None:
        self._names = names
        self._statements = statements
        self._payments = payments
        self._quick = quick
        self._say = say
        self.result: dict[str, Any] = {
            "environment": environment(quick=quick or payments is not None),
            "profiles": {},
            "floor": {},
            "peer": {},
            "failures": {},
            "part_seconds": {},
        }

    async def all(self) -> dict[str, Any]:
        """Fill `result`, which is one JSON object."""
        self._say(f"load average before: {self.result['environment']['load_average_before']}")
        with tempfile.TemporaryDirectory(prefix="onsettle-bench-") as folder:
            async with Ground(Path(folder)) as ground:
                database = self.result["environment"]["database"] = await ground.durability()
                self._say(told(database))
                for name in PARTS:
                    if name in self._names:
                        await self._part(ground, name)
        self.result["ratios"] = ratios(self.result)
        self.result["targets"] = list(judged(self.result))
        return self.result

    async def _part(self, ground: Ground, name: str) -> None:
        started = time.monotonic()
        try:
            await self._measures().get(name, self._profile)(ground, name)
        except Exception as failure:  # one part, whatever is wrong with it, does not end the run
            self.result["failures"][name] = f"{type(failure).__name__}: {failure}"
            self._say(f"  FAILED: {type(failure).__name__}: {failure}")
        self.result["part_seconds"][name] = round(time.monotonic() - started, 1)

    def _measures(self) -> dict[str, Callable[[Ground, str], Awaitable[None]]]:
        return {
            "guide": self._guide,
            "floor": self._floor,
            "peers": self._peers,
            "idle": self._idle,
            "load": self._load,
            "intake": self._intake,
            "growth": self._growth,
            "statements": self._logged,
        }

    async def _profile(self, ground: Ground, name: str) -> None:
        it = profile(name)
        it = dataclasses.replace(it, payments=self._count(it.payments))
        self._say(f"{name}: {it.payments} payments ({it.about}) ...")
        runs = []
        for left in reversed(range(self._repeats(it.repeats))):
            audit = it.audited and left == 0
            found = await measure(ground, it, audit=audit, statements=self._statements)
            runs.append(found)
            minted = f", {found['with_mints_per_second']} with mints" if it.mints else ""
            self._say(f"  {found['payments_per_second']} payments/s{minted}")
        audited = {"verify_ok": runs[-1]["verify_ok"]} if it.audited else {}
        self.result["profiles"][name] = median_run(runs) | audited

    async def _floor(self, ground: Ground, _: str) -> None:
        for kind, pack in FLOORS.items():
            usual = profile(kind)
            count = self._count(usual.payments)
            self._say(f"floor, {kind}: {count} payments ...")
            runs = []
            for _run in range(self._repeats(usual.repeats)):
                runs.append(
                    await floor(ground, payments=count, pack=pack, block_time=usual.block_time)
                )
                self._say(f"  {runs[-1]['payments_per_second']} payments/s")
            self.result["floor"][kind] = median_run(runs)

    async def _guide(self, ground: Ground, _: str) -> None:
        self._say(f"guide: {GUIDE.about} ...")
        found = await compare(ground, GUIDE, payments=self._count(300), block_time=2)
        self.result["profiles"]["guide"] = found
        self._say(f"  {found['payments_per_second']} payments/s")

    async def _peers(self, ground: Ground, _: str) -> None:
        for peer in PEERS:
            found = self.result["peer"].setdefault(peer.name, {})
            for blocks, seconds in BLOCK_TIMES.items():
                self._say(f"{peer.name}, {blocks.replace('_', ' ')} ...")
                count = self._count(300)
                found[blocks] = await compare(ground, peer, payments=count, block_time=seconds)
                self._say(f"  {found[blocks]['payments_per_second']} payments/s")

    async def _idle(self, ground: Ground, _: str) -> None:
        self._say("idle engine: one payment at a time ...")
        self.result["idle"] = await idle(ground, payments=self._count(50, 10))

    async def _load(self, ground: Ground, _: str) -> None:
        self._say("latency at load ...")
        seconds = self._count(round(_LOAD_S * RATES[-1])) / RATES[-1]
        self.result["load"] = await at_load(ground, seconds=seconds)

    async def _intake(self, ground: Ground, _: str) -> None:
        self._say("intake over HTTP, on one core ...")
        self.result["intake"] = await measure_intake(
            ground, singles=self._count(5000), batched=self._count(20_000, 1000)
        )

    async def _growth(self, ground: Ground, _: str) -> None:
        self._say("growth: finished rows behind, queued rows ahead ...")
        count = self._count(_GROWN)
        grown = dataclasses.replace(profile("packed"), payments=count, block_time=1)
        part = self.result["growth"] = {}
        await growth(ground, grown, part, scale=count / _GROWN, say=self._say)

    async def _logged(self, ground: Ground, _: str) -> None:
        count = self._count(_GROWN)
        self._say(f"statements: the packed profile with {count} payments, logged ...")
        logged = dataclasses.replace(profile("packed"), payments=count)
        self.result["statements"] = await measure(ground, logged, statements=True)

    def _count(self, usual: int, least: int = 100) -> int:
        if self._payments is not None:
            return self._payments
        return max(least, usual // 10) if self._quick else usual

    def _repeats(self, usual: int) -> int:
        return 1 if self._quick else usual
