"""docs/reliability.md says what the records and the tests say."""

import re
from dataclasses import fields

from tests.mutants.catalog import MUTANTS
from tests.mutants.pages import record
from tests.torture.pages import PAGE, ROOT, page, records
from tests.torture.run import Outcome


def test_the_tables_are_those_of_the_records_and_the_mutants() -> None:
    """The page is generated from what was run: `python -m tests.torture.pages` writes it."""
    text = PAGE.read_text("utf-8")
    assert page(text) == text


def test_every_seed_has_ended_clean() -> None:
    """Twelve records or more, each of a run of two minutes or more in which nothing was lost and
    nothing was doubled, with all that a run tells today: an older one shows less."""
    found = records()
    told = {field.name for field in fields(Outcome)} | {"commit"}
    assert len(found) >= 12
    for each in found:
        assert set(each) == told, each["seed"]
        assert each["seconds"] >= 120, each["seed"]
        assert not any(each[name] for name in ("lost", "doubled", "problems")), each["seed"]


def test_no_mutant_survived_the_last_whole_run() -> None:
    """Every mutant of the catalogue was in the recorded run of `make mutants`, and was seen."""
    run = record()
    assert run is not None
    assert run["mutants"] == len(MUTANTS)
    assert run["survivors"] == []


def test_every_test_that_is_named_exists() -> None:
    """A promise is shown by tests that are there."""
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_[a-z_0-9]+)`", PAGE.read_text("utf-8")))
    assert len(named) > 40
    assert not {name for name in named if f"def {name}(" not in sources}
