"""The figures in the documentation are those of the committed result."""

import json
from pathlib import Path

import pytest

from onsettle.local.bench.chart import draw
from onsettle.local.bench.pages import filled

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
