"""What docs/reliability.md says of faults and mutants, made from the catalogue and the record."""

import json
from pathlib import Path
from typing import Any

from tests.mutants.catalog import MUTANTS, Mutant
from tests.mutants.faults import TESTS, Fault

_RECORD = Path(__file__).with_name("record.json")

Rows = list[list[str]]


def record() -> dict[str, Any] | None:
    """The last whole run of `make mutants`; None where there was none yet."""
    return json.loads(_RECORD.read_text("utf-8")) if _RECORD.exists() else None


def last_run() -> str:
    """One line on the last whole run."""
    run = record()
    if run is None:
        return "No whole run is recorded yet.\n"
    survivors = "; ".join(run["survivors"]) or "none"
    return (
        f"The last whole run, on commit `{run['commit']}`: {run['mutants']} mutants in"
        f" {run['seconds'] / 60:.0f} minutes. Survivors: {survivors}.\n"
    )


def mutants_rows() -> Rows:
    rows = [
        [str(m.promise), m.name, f"`{_test(m)}`"]
        for m in sorted(MUTANTS, key=lambda mutant: mutant.promise)
    ]
    return [["promise", "what is broken", "what turns red"], *rows]


def faults_rows() -> Rows:
    rows = [
        [
            fault.value,
            ", ".join(f"`{name}`" for name in TESTS[fault]),
            "; ".join(m.name for m in MUTANTS if m.fault is fault),
        ]
        for fault in Fault
    ]
    return [["fault", "what lives through it", "a service that would not"], *rows]


def _test(mutant: Mutant) -> str:
    return mutant.test.partition("[")[0].rpartition("::")[2].rpartition("/")[2]
