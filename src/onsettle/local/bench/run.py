"""One run of the benchmark: every part that was asked for, then the ratios between them."""

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from onsettle.local.bench.floor import floor
from onsettle.local.bench.ground import Ground
from onsettle.local.bench.growth import growth
from onsettle.local.bench.intake import measure_intake
from onsettle.local.bench.latency import at_load, idle
from onsettle.local.bench.machine import environment
from onsettle.local.bench.others import GUIDE, PEERS, compare
from onsettle.local.bench.plan import PROFILES, Profile
from onsettle.local.bench.settle import measure
from onsettle.local.bench.targets import judged, ratios

Say = Callable[[str], None]
FLOORS = {"single": 1, "packed": 100}
BLOCK_TIMES = {"instant_blocks": 0, "two_second_blocks": 2}
#: What `--profiles` may name: the profiles, and the parts that are measured otherwise.
PARTS = (
    *(profile.name for profile in PROFILES),
    *("guide", "floor", "peers", "idle", "load", "intake", "growth"),
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
            "environment": environment(quick=quick),
            "profiles": {},
            "floor": {},
            "peer": {},
            "failures": {},
        }

    async def all(self) -> None:
        """Fill `result`, which is one JSON object."""
        with tempfile.TemporaryDirectory(prefix="onsettle-bench-") as folder:
            async with Ground(Path(folder)) as ground:
                for name in PARTS:
                    if name in self._names:
                        await self._part(ground, name)
        self.result["ratios"] = ratios(self.result)
        self.result["targets"] = list(judged(self.result))

    async def _part(self, ground: Ground, name: str) -> None:
        try:
            match name:
                case "floor":
                    await self._floor(ground)
                case "peers":
                    await self._peers(ground)
                case "idle":
                    self._say("idle engine: one payment at a time ...")
                    self.result["idle"] = await idle(ground, payments=self._count(50, 10))
                case "load":
                    self._say("latency at load ...")
                    seconds = 3 if self._quick else 10
                    self.result["load"] = await at_load(ground, seconds=seconds)
                case "intake":
                    self._say("intake over HTTP, on one core ...")
                    self.result["intake"] = await measure_intake(
                        ground, singles=self._count(5000), batched=self._count(20_000, 1000)
                    )
                case "growth":
                    self._say("growth: finished rows behind, queued rows ahead ...")
                    grown = next(p for p in PROFILES if p.name == "packed")
                    grown = dataclasses.replace(grown, payments=self._count(20_000), block_time=1)
                    part = self.result["growth"] = {}
                    await growth(ground, grown, part, quick=self._quick, say=self._say)
                case "guide":
                    self._say(f"guide: {GUIDE.about} ...")
                    count = self._count(300)
                    found = await compare(ground, GUIDE, payments=count, block_time=2)
                    self.result["profiles"]["guide"] = found
                    self._say(f"  {found['payments_per_second']} payments/s")
                case _:
                    await self._profile(ground, next(p for p in PROFILES if p.name == name))
        except Exception as failure:  # one part, whatever is wrong with it, does not end the run
            self.result["failures"][name] = f"{type(failure).__name__}: {failure}"
            self._say(f"  FAILED: {failure}")

    async def _profile(self, ground: Ground, profile: Profile) -> None:
        profile = dataclasses.replace(profile, payments=self._count(profile.payments))
        self._say(f"{profile.name}: {profile.payments} payments ({profile.about}) ...")
        runs = []
        for _ in range(1 if self._quick else profile.repeats):
            found = await measure(ground, profile, statements=self._statements)
            runs.append(found)
            self._say(
                f"  {found['payments_per_second']} payments/s,"
                f" {found['with_mints_per_second']} with mints"
            )
        self.result["profiles"][profile.name] = median_run(runs)

    async def _floor(self, ground: Ground) -> None:
        for kind, pack in FLOORS.items():
            count = self._count(20_000)
            self._say(f"floor, {kind}: {count} payments ...")
            found = await floor(ground, payments=count, pack=pack, block_time=2)
            self.result["floor"][kind] = found
            self._say(f"  {found['payments_per_second']} payments/s")

    async def _peers(self, ground: Ground) -> None:
        for peer in PEERS:
            found = self.result["peer"].setdefault(peer.name, {})
            for blocks, seconds in BLOCK_TIMES.items():
                self._say(f"{peer.name}, {blocks.replace('_', ' ')} ...")
                count = self._count(300)
                found[blocks] = await compare(ground, peer, payments=count, block_time=seconds)
                self._say(f"  {found[blocks]['payments_per_second']} payments/s")

    def _count(self, usual: int, least: int = 100) -> int:
        if self._payments is not None:
            return self._payments
        return max(least, usual // 10) if self._quick else usual


def median_run(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The run in the middle by its rate, as a whole, with the rates of all of them."""
    ordered = sorted(runs, key=lambda run: run["payments_per_second"])
    rates = [run["payments_per_second"] for run in runs]
    return ordered[len(ordered) // 2] | {"runs": rates}
