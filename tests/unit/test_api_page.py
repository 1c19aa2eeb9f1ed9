"""The page about the HTTP API names every code that there is, and no other."""

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_CODE = re.compile(r"(?:Refused|TokenError)\(\s*\"([a-z0-9_]+)\"")
# Of assets: until one can be read its payments get asset_unavailable, and these words.
_TOLD_IN_WORDS = {"asset_not_a_contract", "asset_unreadable", "asset_domain_mismatch"}


def _codes() -> set[str]:
    found = {"method_not_allowed", "internal_error"}
    for path in (_ROOT / "src/onsettle").rglob("*.py"):
        found.update(_CODE.findall(path.read_text("utf-8")))
    return found


def test_the_table_of_codes_is_that_of_the_source() -> None:
    """A client can rely on the table: it lists each stable code once."""
    page = (_ROOT / "docs/api.md").read_text("utf-8")
    listed = re.findall(r"^\| \d{3} \| `([a-z0-9_]+)` \|", page, flags=re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == _codes() - _TOLD_IN_WORDS
