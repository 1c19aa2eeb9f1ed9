"""docs/reliability.md says what the records and the tests say."""

import re

from tests.mutants.pages import record
from tests.torture.pages import PAGE, ROOT, page, records


def test_the_tables_are_those_of_the_records_and_the_mutants() -> None:
    """The page is generated from what was run: `python -m tests.torture.pages` writes it."""
    text = PAGE.read_text("utf-8")
    assert page(text) == text


def test_every_seed_has_ended_clean() -> None:
    """Every record is of a run in which nothing was lost and nothing was doubled."""
    found = records()
    assert len(found) >= 12
    assert not any(r["lost"] or r["doubled"] or r["problems"] for r in found)


def test_no_mutant_survived_the_last_whole_run() -> None:
    """What is recorded of `make mutants` is that each break was seen."""
    run = record()
    assert run is None or (run["mutants"] >= 27 and not run["survivors"])


def test_every_test_that_is_named_exists() -> None:
    """A promise is shown by tests that are there."""
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_[a-z_0-9]+)`", PAGE.read_text("utf-8")))
    assert len(named) > 40
    assert not {name for name in named if f"def {name}(" not in sources}
