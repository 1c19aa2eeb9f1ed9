"""docs/guide.md: no row without a command that exists and a test that exists."""

import re
import shlex
from pathlib import Path

from onsettle.cli import COMMANDS
from tests.acceptance import guide

_ROOT = Path(__file__).parents[2]


def rows() -> list[list[str]]:
    """(there, here, command, test) of each row."""
    text = (_ROOT / "docs" / "guide.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in lines
        if not line.startswith("| there")
    ]


def test_each_row_has_a_command_and_a_test_that_exist() -> None:
    """Whoever comes from the guide finds what to type, and what proves it."""
    tests = set()
    for path in (_ROOT / "tests").rglob("test_*.py"):
        tests |= set(
            re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
        )
    assert len(rows()) > 35
    for row in rows():
        assert len(row) == 4, row
        assert all(row), row
        words = shlex.split(row[2].strip("`"))
        assert words[0] == "make" or (words[0] == "onsettle" and words[1] in COMMANDS), row
        assert row[3].strip("`") in tests, row


def test_each_statement_of_the_guide_is_run_by_a_test() -> None:
    """None is kept here for show."""
    source = Path(__file__).with_name("test_guide.py").read_text("utf-8")
    names = [name for name in vars(guide) if name.isupper()]
    assert [name for name in names if f"guide.{name}" not in source] == []
