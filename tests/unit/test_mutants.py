"""The mutants still fit the code, and each promise has one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.catalog import MUTANTS, Mutant
from tests.mutants.faults import TESTS, Fault

_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_one_place_and_names_a_test_that_exists(mutant: Mutant) -> None:
    """What is searched stands once in its file; the test that must turn red is there."""
    text = (_ROOT / "src" / "onsettle" / mutant.file).read_text("utf-8")
    assert text.count(mutant.find) == 1
    assert mutant.find != mutant.put
    path, _, name = mutant.test.partition("[")[0].partition("::")
    tests = (_ROOT / path).read_text("utf-8")
    assert not name or re.search(rf"def {re.escape(name)}\(", tests)


def test_the_test_of_every_mutant_is_one_that_runs() -> None:
    """A test whose parameters have changed their names would turn nothing red."""
    named = {mutant.test for mutant in MUTANTS}
    files = sorted({test.partition("::")[0] for test in named})
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    # However this run was told to speak, that one is read.
    environment = {name: it for name, it in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run(
        [*words, *files],
        cwd=_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = set(done.stdout.splitlines())
    whole = {test.partition("[")[0] for test in found} | set(files)
    assert not named - found - whole


def test_every_promise_has_a_mutant() -> None:
    """Each of the ten promises is broken by at least one of them."""
    assert {mutant.promise for mutant in MUTANTS} == set(range(1, 11))


def test_every_fault_has_a_mutant_that_a_named_test_kills() -> None:
    """Each fault that has been met in the field is one that some mutant would not live through, and
    the test that kills it is one of those that the fault names."""
    assert set(TESTS) == set(Fault)
    for fault in Fault:
        killers = {
            mutant.test.partition("[")[0].rpartition("::")[2]
            for mutant in MUTANTS
            if mutant.fault is fault
        }
        assert killers & set(TESTS[fault]), fault


def test_every_test_that_a_fault_names_exists() -> None:
    """A fault is lived through by tests that are there."""
    sources = "".join(path.read_text("utf-8") for path in (_ROOT / "tests").rglob("test_*.py"))
    named = {name for names in TESTS.values() for name in names}
    assert not {name for name in named if f"def {name}(" not in sources}


def test_a_mutant_has_a_name_of_its_own() -> None:
    """`make mutants MUTANT=...` runs the one that is meant."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
