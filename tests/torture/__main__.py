"""`make torture SEED=n [MINUTES=5]`: the service under a random, repeatable choice of faults."""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from onsettle.local.place import let_pass
from tests.torture.run import Outcome, torture

RECORDS = Path(__file__).parent / "records"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "1")))
    parser.add_argument("--seeds", type=_seeds, help="several, one after the other: 1-9,11")
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES", "5")))
    parser.add_argument("--record", action="store_true", help=f"write {RECORDS.name}/seed-N.json")
    options = parser.parse_args()
    seeds: list[int] = options.seeds or [options.seed]
    clean = [_run(seed, options.minutes, record=options.record) for seed in seeds]
    if not all(clean):
        sys.exit(1)


def _seeds(text: str) -> list[int]:
    ends = [part.partition("-") for part in text.split(",")]
    return [n for first, _, last in ends for n in range(int(first), int(last or first) + 1)]


def _run(seed: int, minutes: float, *, record: bool) -> bool:
    """Whether it ended clean; where not, its logs stay."""
    folder = Path(tempfile.mkdtemp(prefix="onsettle-torture-"))
    let_pass(folder)
    print(f"seed {seed}, {minutes:g} minutes, logs in {folder}", flush=True)
    outcome = asyncio.run(torture(folder, seed=seed, seconds=minutes * 60))
    print(outcome.summary(), flush=True)
    if record:
        write(outcome)
    if outcome.clean:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome.clean


def write(outcome: Outcome) -> None:
    """The record of one run, from which the table in docs/reliability.md is made."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    record = {"commit": commit, **asdict(outcome)}
    RECORDS.mkdir(exist_ok=True)
    text = json.dumps(record, indent=2, sort_keys=True) + "\n"
    RECORDS.joinpath(f"seed-{outcome.seed}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
