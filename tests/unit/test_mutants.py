"""The mutants still fit the code, and each promise has one."""

import re
from pathlib import Path

import pytest

from tests.mutants.catalog import MUTANTS, Mutant

_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_one_place_and_names_a_test_that_exists(mutant: Mutant) -> None:
    """What is searched stands once in its file; the test that must turn red is there."""
    text = (_ROOT / "src" / "onsettle" / mutant.file).read_text("utf-8")
    assert text.count(mutant.find) == 1
    assert mutant.find != mutant.put
    path, _, name = mutant.test.partition("::")
    tests = (_ROOT / path).read_text("utf-8")
    assert not name or re.search(rf"def {re.escape(name)}\(", tests)


def test_every_promise_has_a_mutant() -> None:
    """Each of the ten promises is broken by at least one of them."""
    assert {mutant.promise for mutant in MUTANTS} == set(range(1, 11))
