"""One run of the benchmark: every profile that was asked for, then the ratios between them."""

import dataclasses
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from onsettle.local.bench.floor import floor
from onsettle.local.bench.ground import GAS_LIMIT, Ground
from onsettle.local.bench.plan import PROFILES, Profile
from onsettle.local.bench.settle import measure

Say = Callable[[str], None]
FLOORS = {"single": 1, "packed": 100}


async def run_bench(
    *, names: Sequence[str], payments: int | None, quick: bool, say: Say
) -> dict[str, Any]:
    """The whole result as one JSON object."""
    chosen = [_sized(p, payments, quick) for p in PROFILES if p.name in names]
    result: dict[str, Any] = {"environment": environment(), "profiles": {}, "floor": {}}
    with tempfile.TemporaryDirectory(prefix="onsettle-bench-") as folder:
        async with Ground(Path(folder)) as ground:
            for profile in chosen:
                say(f"{profile.name}: {profile.payments} payments ({profile.about}) ...")
                found = await measure(ground, profile)
                result["profiles"][profile.name] = found
                say(f"  {found['payments_per_second']} payments/s")
            for kind, pack in FLOORS.items():
                if "floor" not in names:
                    break
                count = payments or (2_000 if quick else 20_000)
                say(f"floor {kind}: {count} payments ...")
                found = await floor(ground, payments=count, pack=pack, block_time=2)
                result["floor"][kind] = found
                say(f"  {found['payments_per_second']} payments/s")
    return result


def _sized(profile: Profile, payments: int | None, quick: bool) -> Profile:
    count = payments or (max(100, profile.payments // 10) if quick else profile.payments)
    return dataclasses.replace(profile, payments=count)


def environment() -> dict[str, Any]:
    """The machine and the version that were measured."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": f"{os.cpu_count()} cores, {_processor()}, "
        f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "block_gas_limit": GAS_LIMIT,
    }


def _commit() -> str | None:
    try:
        told = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return told.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
