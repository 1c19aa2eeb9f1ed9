"""`make mutants [MUTANT="its name"]`: break one thing in a copy, and see its test turn red.

A whole run writes `record.json`, from which docs/reliability.md tells what came of it.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.catalog import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
RECORD = Path(__file__).with_name("record.json")
_COPIED = ("src", "tests", "contracts", "docs", "pyproject.toml", "README.md", "Makefile")
#: The slowest test takes a minute by itself.
_LONGEST_S = 300
_ALL_LONGEST_S = 3600
#: How long a test of a copy waits for what should happen; unbroken, every one passes with it.
_PATIENCE_S = 25
#: pytest's own words for "all passed" and "some tests failed"; anything else: they did not run.
_GREEN, _RED = 0, 1
_WORDS = {_GREEN: "SURVIVED", _RED: "killed"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants whose name contains one of these")
    parser.add_argument("--trust", action="store_true", help="do not run the tests unbroken first")
    parser.add_argument("--at-once", type=int, default=2, help="copies that work side by side")
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if not options.words or any(w in m.name for w in options.words)]
    if not chosen:
        parser.error("no mutant has such a name")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="onsettle-mutants-") as at:
        copies = [Path(at, str(number)) for number in range(options.at_once)]
        for copy in copies:
            _copy(copy)
        tests = sorted({mutant.test for mutant in chosen if not options.trust})
        problems = _unbroken(copies, tests) + _broken(copies, chosen)
    print("\n".join([*problems, f"{len(chosen)} mutants, {len(problems)} problems"]))
    if not options.words:
        _write(len(chosen), problems, time.monotonic() - began)
    if problems:
        sys.exit(1)


def _unbroken(copies: Sequence[Path], tests: Sequence[str]) -> list[str]:
    """What is not green without any mutant, or does not run here. One run for each copy."""
    parts = [tests[at :: len(copies)] for at in range(len(copies))]
    with ThreadPoolExecutor(len(copies)) as pool:
        answers = list(pool.map(_run, copies, parts, [_ALL_LONGEST_S] * len(copies)))
    for code, text in answers:
        if code != _GREEN:
            print(text[-4000:], flush=True)
    return [f"unbroken: {text.splitlines()[-1]}" for code, text in answers if code != _GREEN]


def _broken(copies: Sequence[Path], chosen: Sequence[Mutant]) -> list[str]:
    free: SimpleQueue[Path] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def judge(mutant: Mutant) -> str:
        copy, began = free.get(), time.monotonic()
        try:
            verdict = _verdict(copy, mutant)
        finally:
            free.put(copy)
        print(f"{verdict:9} {time.monotonic() - began:5.0f} s  {mutant.name}", flush=True)
        return "" if verdict == "killed" else f"{verdict}: {mutant.name} ({mutant.test})"

    with ThreadPoolExecutor(len(copies)) as pool:
        return [problem for problem in pool.map(judge, chosen) if problem]


def _copy(to: Path) -> None:
    to.mkdir()
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, to / name)
    if (ROOT / "node_modules").exists():
        (to / "node_modules").symlink_to((ROOT / "node_modules").resolve())


def _verdict(copy: Path, mutant: Mutant) -> str:
    file = copy / "src" / "onsettle" / mutant.file
    whole = file.read_text("utf-8")
    if whole.count(mutant.find) != 1:
        return "rotten"
    file.write_text(whole.replace(mutant.find, mutant.put), "utf-8")
    try:
        code, _ = _run(copy, [mutant.test], _LONGEST_S)
    finally:
        file.write_text(whole, "utf-8")
    return _WORDS.get(code, f"pytest: {code}")


def _run(copy: Path, tests: Sequence[str], longest_s: float) -> tuple[int, str]:
    """pytest's exit code and what it said. The copy's own source comes first on the path."""
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = dict(
        os.environ,
        PYTHONPATH=f"{copy / 'src'}:{copy}",
        PYTHONDONTWRITEBYTECODE="1",
        ONSETTLE_TEST_PATIENCE_S=str(_PATIENCE_S),
    )
    if not tests:
        return _GREEN, ""
    try:
        done = subprocess.run(
            words, cwd=copy, env=environment, capture_output=True, text=True, timeout=longest_s,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return _RED, "it took too long"
    skipped = done.returncode == _GREEN and " skipped" in done.stdout.splitlines()[-1]
    return (-1 if skipped else done.returncode), done.stdout


def _write(number: int, problems: Sequence[str], seconds: float) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    ).stdout.strip()  # fmt: skip
    record = {
        "commit": commit,
        "mutants": number,
        "seconds": round(seconds),
        "survivors": list(problems),
    }
    RECORD.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
