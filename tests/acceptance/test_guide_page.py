"""docs/guide.md: no row without a command that exists and a test that exists."""

import re
import shlex
from pathlib import Path

import click
import pytest

from onsettle.cli import main
from tests.acceptance import guide

_ROOT = Path(__file__).parents[2]
_PAYMENT = "6f1c6a3e-52b0-5d2c-9c8b-0f5f4a3d2e10"


def rows() -> list[list[str]]:
    """(there, here, command, test) of each row."""
    text = (_ROOT / "docs" / "guide.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in lines
        if not line.startswith("| there")
    ]


def parsed(command: click.Command, words: list[str], parent: click.Context | None = None) -> None:
    """As `onsettle` reads what is typed, without running it; raises UsageError."""
    if isinstance(command, click.Group) and words and not words[0].startswith("-"):
        with click.Context(command, parent=parent, info_name=command.name) as here:
            _, inner, rest = command.resolve_command(here, words)
            assert inner is not None
            parsed(inner, rest, here)
    else:
        command.make_context(command.name, words, parent)


def targets() -> set[str]:
    text = (_ROOT / "Makefile").read_text("utf-8")
    return set(re.findall(r"^([a-z-]+):.* ## ", text, flags=re.MULTILINE))


def named_tests() -> set[str]:
    """Functions, and methods of test classes."""
    source = "\n".join(p.read_text("utf-8") for p in (_ROOT / "tests").rglob("test_*.py"))
    return set(re.findall(r"^ *(?:async )?def (test_\w+)", source, flags=re.MULTILINE))


def test_each_row_has_commands_and_tests_that_exist() -> None:
    """Whoever comes from the guide finds what to type, down to its options, and what proves it."""
    here, made = named_tests(), targets()
    assert len(rows()) > 35
    for row in rows():
        assert len(row) == 4, row
        assert all(row), row
        words = shlex.split(row[2].strip("`").replace("<payment>", _PAYMENT))
        if words[0] == "make":
            assert len(words) == 2, row
            assert words[1] in made, row
        else:
            assert words[0] == "onsettle", row
            parsed(main, words[1:])
        named = re.findall(r"`(\w+)`", row[3])
        assert row[3] == ", ".join(f"`{name}`" for name in named), row
        assert [name for name in named if name not in here] == [], row


@pytest.mark.parametrize(
    "typed", ["nothing", "logs --fellow", "mints lost", "mints list --states pending", "retry x y"]
)
def test_what_the_command_line_does_not_know_is_seen(typed: str) -> None:
    """The check of the rows reads commands, their own commands, options and arguments."""
    with pytest.raises(click.UsageError):
        parsed(main, typed.split())


def test_each_statement_of_the_guide_is_run_by_a_test() -> None:
    """None is kept here for show."""
    source = Path(__file__).with_name("test_guide.py").read_text("utf-8")
    names = [name for name in vars(guide) if name.isupper()]
    assert [name for name in names if f"guide.{name}" not in source] == []
