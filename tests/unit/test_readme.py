"""README and docs say what the code does."""

import re
from pathlib import Path

from onsettle.cli import COMMANDS
from onsettle.config.loading import NETWORK_NAMES, SERVICE_NAMES
from onsettle.domain.payment import TRANSITIONS
from onsettle.domain.settings import DEFAULTS, SPECS, render

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_diagram_is_the_transition_table() -> None:
    """Every move is drawn once, and none that does not exist."""
    [diagram] = blocks("mermaid")
    drawn = re.findall(r"^ +(\S+) --> (\w+)", diagram, re.MULTILINE)
    moves = [("[*]", "pending"), *((old.value, new.value) for old, new in TRANSITIONS)]
    assert sorted(drawn) == sorted(moves)


def test_the_example_is_shown_as_it_is() -> None:
    """Whoever copies from the README gets what the tests run."""
    assert (ROOT / "examples" / "pay.sh").read_text(encoding="utf-8") in blocks("bash")
    [python] = blocks("python")
    assert (ROOT / "examples" / "sell.py").read_text(encoding="utf-8").endswith(python)


def test_every_command_that_is_named_exists() -> None:
    """No command of the README is a wish."""
    named = set(re.findall(r"(?:`|bin/)onsettle ([a-z-]+)", README))
    assert named
    assert named <= set(COMMANDS)


def test_every_linked_file_exists() -> None:
    """No link of the README leads nowhere."""
    links = [it for it in re.findall(r"\]\(([^)#]+)", README) if "://" not in it]
    assert [link for link in links if not (ROOT / link).exists()] == []


class TestDocs:
    def test_no_link_of_a_page_leads_nowhere(self) -> None:
        """Every page links only to files that exist."""
        for page in (ROOT / "docs").rglob("*.md"):
            links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
            dead = [it for it in links if "://" not in it and not (page.parent / it).exists()]
            assert dead == [], page

    def test_every_variable_is_in_the_reference(self) -> None:
        """Nothing can be configured that the page does not name, and it names nothing else."""
        page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
        table = page.partition("## While it runs")[0]
        named = set(re.findall(r"`((?:ONSETTLE|DATABASE)_[A-Z_]+)`", table))
        known = {name.upper() for name in SERVICE_NAMES | NETWORK_NAMES}
        assert named == known | {"ONSETTLE_CONFIG"}

    def test_every_setting_is_in_the_reference_with_its_default_and_range(self) -> None:
        """The table is the registry."""
        page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (.+?) \| .+ \|$", page, re.MULTILINE)
        assert {name: (default, allowed) for name, default, allowed in rows} == {
            name: (render(getattr(DEFAULTS, name)), spec.allowed()) for name, spec in SPECS.items()
        }

    def test_every_command_is_on_the_page(self) -> None:
        """No command is hidden, and none is promised."""
        page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
        cells = re.findall(r"^\| (`.+?) \|", page, re.MULTILINE)
        assert {name for cell in cells for name in re.findall(r"`([a-z-]+)`", cell)} == set(
            COMMANDS
        )

    def test_every_file_that_is_named_exists(self) -> None:
        """The way of a payment can be followed file by file."""
        page = (ROOT / "docs" / "how-it-settles.md").read_text(encoding="utf-8")
        files = re.findall(r"`(\w+/\w+\.py)`", page)
        assert [it for it in files if not (ROOT / "src" / "onsettle" / it).exists()] == []
