"""Tables of one result for the documentation, between two marks in a page.

`python -m onsettle.local.bench.pages RESULT PAGE...` writes them anew.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from onsettle.local.bench.chart import ROWS
from onsettle.local.bench.report import number
from onsettle.local.bench.targets import at

Result = Mapping[str, Any]


def throughput(result: Result) -> Iterator[str]:
    """What is settled per second, by whom."""
    yield "| | payments/s | with mints/s | gas per payment |"
    yield "|---|---:|---:|---:|"
    for path, label, _ in ROWS:
        figures = [
            number(at(*path, name)(result))
            for name in ("payments_per_second", "with_mints_per_second", "gas_per_payment")
        ]
        if figures[0] != "-":
            yield f"| {label} | {' | '.join(figures)} |"


def targets(result: Result) -> Iterator[str]:
    """Each target with what was measured."""
    words = {True: "yes", False: "**no**", None: "not measured"}
    yield "| | target | measured | holds |"
    yield "|---|---:|---:|---|"
    for each in result["targets"]:
        yield (
            f"| {each['name']} | {each['target']} | {number(each['measured'])}"
            f" | {words[each['holds']]} |"
        )


def costs(result: Result) -> Iterator[str]:
    """What one payment takes, by profile."""
    yield (
        "| profile | RPC calls | commits | WAL bytes | gas | intake µs | engine µs | database µs"
        " | node µs | peak MB |"
    )
    yield "|---|" + "---:|" * 9
    for name, found in result["profiles"].items():
        if "rpc_calls_per_payment" not in found:
            continue
        cpu = found["cpu_seconds"]
        parts = ("intake", "engine", "database", "node")
        times = [number(round(cpu[part] / found["payments"] * 1e6)) for part in parts]
        counts = [
            number(found[f"{key}_per_payment"])
            for key in ("rpc_calls", "commits", "wal_bytes", "gas")
        ]
        cells = [*counts, *times, number(found["peak_memory_mb"])]
        yield f"| {name} | {' | '.join(cells)} |"


def load(result: Result) -> Iterator[str]:
    """Latency by offered rate."""
    yield "| offered/s | accepted/s | answered, s | accept to sent, s | accept to completed, s |"
    yield "|---:|---:|---:|---:|---:|"
    for found in result.get("load", {}).get("rates", {}).values():
        spans = [
            " / ".join(number(found[key][p]) for p in ("p50", "p95", "p99"))
            for key in ("acknowledged_s", "accept_to_sent_s", "accept_to_completed_s")
        ]
        yield (
            f"| {found['offered_per_second']} | {number(found['accepted_per_second'])}"
            f" | {' | '.join(spans)} |"
        )


def measured(result: Result) -> Iterator[str]:
    """Where and when."""
    where = result["environment"]
    yield f"Measured {where['date']} on {where['machine']}; commit `{where['commit']}`."
    if where["quick"]:
        yield "A quick look at a tenth of the payments, not a measurement."
    if where["load_average_before"] > 1:
        yield (
            f"The machine was busy with other work: load average {where['load_average_before']}"
            " before the run."
        )


TABLES: Mapping[str, Callable[[Result], Iterator[str]]] = {
    table.__name__: table for table in (throughput, targets, costs, load, measured)
}
_MARK = re.compile(r"<!-- bench:(\w+) -->\n.*?<!-- /bench -->", re.DOTALL)


def filled(page: str, result: Result) -> str:
    """The page with the tables of this result between its marks."""

    def table(found: re.Match[str]) -> str:
        lines = "\n".join(TABLES[found[1]](result))
        return f"<!-- bench:{found[1]} -->\n{lines}\n<!-- /bench -->"

    return _MARK.sub(table, page)


def main(result: str, *pages: str) -> None:
    """Write the tables of the result in file `result` into each page."""
    content = json.loads(Path(result).read_text("utf-8"))
    for page in map(Path, pages):
        page.write_text(filled(page.read_text("utf-8"), content), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
