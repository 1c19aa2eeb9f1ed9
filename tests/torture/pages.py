"""The generated parts of docs/reliability.md; `python -m tests.torture.pages` writes them anew."""

import json
from pathlib import Path
from typing import Any

from tests.mutants.pages import faults_rows, last_run, mutants_rows

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


def page(text: str) -> str:
    """`text` with its generated parts as they should be."""
    parts = {
        "seeds": seeds_table(),
        "faults": _table(faults_rows()[0], faults_rows()[1:]),
        "run of mutants": last_run(),
        "mutants": _table(mutants_rows()[0], mutants_rows()[1:]),
    }
    for name, table in parts.items():
        begin, end = f"<!-- {name}: generated -->\n", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        text = before + begin + table + end + rest.split(end)[1]
    return text


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
