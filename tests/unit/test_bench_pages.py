"""The figures in the documentation are those of the committed result."""

import json
from pathlib import Path

import pytest

from onsettle.local.bench.chart import draw
from onsettle.local.bench.pages import filled, missed, where

_ROOT = Path(__file__).parents[2]
_RESULTS = _ROOT / "bench" / "results"
_RESULT = json.loads((_RESULTS / "latest.json").read_text("utf-8"))


@pytest.mark.parametrize("page", ["README.md", "docs/performance.md"])
def test_the_tables_of_a_page_are_those_of_the_result(page: str) -> None:
    """No figure between the marks was written by hand, and none is older than the result."""
    text = (_ROOT / page).read_text("utf-8")
    assert text.count("<!-- bench:") == text.count("<!-- /bench -->") > 0
    assert filled(text, _RESULT) == text


def test_the_chart_is_that_of_the_result() -> None:
    """The picture was drawn from the figures beside it."""
    assert (_RESULTS / "chart.svg").read_text("utf-8") == draw(_RESULT)


def test_the_result_says_where_it_comes_from() -> None:
    """Date, machine and commit are known, and no part of the run failed."""
    assert all(_RESULT["environment"][name] for name in ("date", "machine", "commit"))
    assert any(each["holds"] is not None for each in _RESULT["targets"])
    assert _RESULT["failures"] == {}


def a_target(name: str, holds: bool | None, why: str = "") -> dict[str, object]:
    told = {"name": name, "target": "≥ 2", "measured": 1.0, "holds": holds}
    return told | ({"off": 0.5, "why": why} if holds is False else {})


def test_a_page_lists_what_is_missed_and_why() -> None:
    """By how much, with a reason that is given once; nothing at all when every target holds."""
    targets = [a_target("one", True), a_target("two", False, "Slow."), a_target("three", False)]
    targets += [a_target("four", False, "Slow."), a_target("five", None)]
    assert list(missed({"targets": targets})) == [
        "What is missed, and why:",
        "",
        "- two: 1 (target ≥ 2, 50.0% off). Slow.",
        "- three: 1 (target ≥ 2, 50.0% off).",
        "- four: 1 (target ≥ 2, 50.0% off). The reason is that of: two.",
        "- five: not measured in this run.",
    ]
    assert list(missed({"targets": [a_target("one", True)]})) == []


def test_a_page_says_where_the_microseconds_go() -> None:
    """Processor time by process, then the longest queries, and the others in one line."""
    queries = [
        {"query": f"query_{at}", "ms": 10.0, "calls": 2, "us_per_payment": 20.0 - at}
        for at in range(14)
    ]
    logged = {
        "payments": 1000,
        "cpu_seconds": {"engine": 0.2, "database": 0.3},
        "statements": queries,
    }
    lines = list(where({"statements": logged}))
    assert lines[2:5] == ["| engine | 200 |", "| database | 300 |", "| all | 500 |"]
    assert "| `query_0` | 20 | 2 |" in lines
    assert lines[-1] == "| 2 others | 15 | |"
    assert list(where({})) == []
