"""The generated parts of docs/reliability.md; `python -m tests.torture.pages` writes them anew."""

import json
from pathlib import Path
from typing import Any

from tests.mutants.catalog import MUTANTS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
RECORDS = Path(__file__).parent / "records"


def records() -> list[dict[str, Any]]:
    found = [json.loads(path.read_text("utf-8")) for path in RECORDS.glob("seed-*.json")]
    return sorted(found, key=lambda record: record["seed"])


def seeds_table() -> str:
    head = ["seed", "commit", "faults", "payments", "mints", "final after", "lost", "doubled"]
    rows = [
        [
            str(r["seed"]),
            f"`{r['commit']}`",
            f"{sum(r['faults'].values())} of {len(r['faults'])} kinds",
            str(r["payments"]),
            str(r["mints"]),
            f"{r['calm_after_s']:.0f} s",
            str(r["lost"]),
            str(r["doubled"]),
        ]
        for r in records()
    ]
    return _table(head, rows)


def mutants_table() -> str:
    rows = [
        [str(m.promise), m.name, f"`{m.test.rpartition('::')[2].rpartition('/')[2]}`"]
        for m in sorted(MUTANTS, key=lambda mutant: mutant.promise)
    ]
    return _table(["promise", "what is broken", "what turns red"], rows)


def page(text: str) -> str:
    """`text` with its generated parts as they should be."""
    for name, table in (("seeds", seeds_table()), ("mutants", mutants_table())):
        begin, end = f"<!-- {name}: generated -->\n", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        text = before + begin + table + end + rest.split(end)[1]
    return text


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
