"""`make mutants`: break each promise in a copy, and see its test turn red."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.catalog import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
_COPIED = ("src", "tests", "contracts", "docs", "pyproject.toml", "README.md", "Makefile")
_LONGEST_S = 300
#: pytest's own words for "some tests failed"; anything else means that they did not run.
_RED = 1


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants whose name contains one of these")
    parser.add_argument("--trust", action="store_true", help="do not run the tests unbroken first")
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if not options.words or any(w in m.name for w in options.words)]
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="onsettle-mutants-") as at:
        copy = Path(at)
        _copy(copy)
        for test in sorted({mutant.test for mutant in chosen if not options.trust}):
            if _run(copy, test) != 0:
                problems.append(f"not green without any mutant: {test}")
                print(problems[-1], flush=True)
        for mutant in chosen:
            began = time.monotonic()
            verdict = _verdict(copy, mutant)
            took_s = time.monotonic() - began
            print(f"{verdict:9} {took_s:5.0f} s  {mutant.name}", flush=True)
            if verdict != "killed":
                problems.append(f"{verdict}: {mutant.name} ({mutant.test})")
    print("\n".join([*problems, f"{len(chosen)} mutants, {len(problems)} problems"]))
    if problems:
        sys.exit(1)


def _copy(to: Path) -> None:
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
        code = _run(copy, mutant.test)
    finally:
        file.write_text(whole, "utf-8")
    return {0: "SURVIVED", _RED: "killed"}.get(code, f"pytest: {code}")


def _run(copy: Path, test: str) -> int:
    """pytest's exit code. The copy's own source comes first on the path."""
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    environment = dict(os.environ, PYTHONPATH=f"{copy / 'src'}:{copy}", PYTHONDONTWRITEBYTECODE="1")
    try:
        done = subprocess.run(
            words, cwd=copy, env=environment, capture_output=True, timeout=_LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return _RED
    return done.returncode


if __name__ == "__main__":
    main()
