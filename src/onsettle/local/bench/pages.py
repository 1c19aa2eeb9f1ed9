"""Tables of one result for the documentation, between two marks in a page.

`python -m onsettle.local.bench.pages RESULT PAGE...` writes them anew.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from onsettle.local.bench import durability
from onsettle.local.bench.chart import ROWS
from onsettle.local.bench.figures import number
from onsettle.local.bench.reasons import Result, us_per_payment
from onsettle.local.bench.targets import at

_STATEMENTS = 12
_FUNCTIONS = 12
#: From the defaults to the fastest, one thing after the other.
_STEPS = (
    ("default", "the defaults, with one wallet"),
    ("guide_values", "the guide's two values"),
    ("one_wallet", "`wallet_max_in_flight` 2000 and `payment_batch_size` 250"),
    ("single", "the same with four wallets"),
    ("small_batches", "two wallets, `payment_pack_size` 100 and `payment_batch_size` 100"),
    ("packed", "the same with `payment_batch_size` 1000"),
)
_ROOM = 60_000_000


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


def tuning(result: Result) -> Iterator[str]:
    """What each step of the advice brings."""
    yield "| settings, `payment_batch_interval_ms` 1000 in all but the first | payments/s |"
    yield "|---|---:|"
    for name, words in _STEPS:
        if (rate := at("profiles", name, "payments_per_second")(result)) is not None:
            yield f"| {words} | {number(rate)} |"


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
    if "database" in where:
        yield durability.told(where["database"]) + "."
    if where["quick"]:
        yield "A quick look at a part of the payments, not a measurement."
    if where["load_average_before"] > 1:
        yield (
            f"The machine was busy with other work: load average {where['load_average_before']}"
            " before the run."
        )


def missed(result: Result) -> Iterator[str]:
    """The targets that do not hold, by how much, and why; nothing when all of them do."""
    first: dict[str, str] = {}
    lines = []
    for each in result["targets"]:
        if each["holds"] is None:
            lines.append(f"- {each['name']}: not measured in this run.")
        elif not each["holds"]:
            why = each.get("why") or ""
            before = first.setdefault(why, each["name"])
            reason = why if before == each["name"] else f"The reason is that of: {before}."
            off = f", {each['off']:.1%} off" if "off" in each else ""
            figures = f"{number(each['measured'])} (target {each['target']}{off})"
            lines.append(f"- {each['name']}: {figures}. {reason}".rstrip())
    if lines:
        yield "What is missed, and why:"
        yield ""
        yield from lines


def where(result: Result) -> Iterator[str]:
    """What a payment takes of the processors, and what its queries take of the database."""
    if (logged := result.get("statements")) is None:
        return
    took = us_per_payment(logged)
    yield "| process | µs of processor per payment |"
    yield "|---|---:|"
    for name, us in took.items():
        yield f"| {name} | {number(us)} |"
    yield f"| all | {number(sum(took.values()))} |"
    yield ""
    yield "| query | µs in the server per payment | calls per 1,000 payments |"
    yield "|---|---:|---:|"
    for each in logged["statements"][:_STATEMENTS]:
        calls = each["calls"] * 1000 / logged["payments"]
        yield f"| `{each['query']}` | {number(each['us_per_payment'])} | {number(calls)} |"
    rest = sum(each["us_per_payment"] for each in logged["statements"][_STATEMENTS:])
    yield f"| {len(logged['statements'][_STATEMENTS:])} others | {number(rest)} | |"


def python(result: Result) -> Iterator[str]:
    """What a payment takes of our own code, by function."""
    if (logged := result.get("statements")) is None or "python" not in logged:
        return
    yield "| | function, with the libraries that it calls | µs per payment |"
    yield "|---|---|---:|"
    for process, found in logged["python"].items():
        for each in found[:_FUNCTIONS]:
            yield f"| {process} | `{each['function']}` | {number(each['us_per_payment'])} |"
        rest = sum(each["us_per_payment"] for each in found[_FUNCTIONS:])
        yield f"| {process} | {len(found[_FUNCTIONS:])} others | {number(rest)} |"


def idle(result: Result) -> Iterator[str]:
    """What one payment waits for while nothing else is on."""
    if (found := result.get("idle")) is None:
        return
    sent, done = found["accept_to_broadcast_s"], found["visible_to_completed_s"]
    yield (
        f"Measured on {found['payments']} payments: a node has one {number(sent['p50'])} s after"
        f" its acceptance at the median (p99 {number(sent['p99'])} s), and it is completed"
        f" {number(done['p50'])} s after its block is visible (p99 {number(done['p99'])} s)."
    )


def room(result: Result) -> Iterator[str]:
    """What a chain's gas limit lets through."""
    found = [at("profiles", name, "gas_per_payment")(result) for name in ("packed", "single")]
    packed, single = (round(_ROOM / gas / 2) if gas else None for gas in found)
    if packed and single:
        yield (
            f"With 2-second blocks and {_ROOM // 1_000_000} million gas of room in each, a chain"
            f" takes {packed} packed or {single} single payments a second from everybody together."
        )


TABLES: Mapping[str, Callable[[Result], Iterator[str]]] = {
    table.__name__: table
    for table in (
        throughput,
        tuning,
        targets,
        missed,
        costs,
        room,
        where,
        python,
        idle,
        load,
        measured,
    )
}
_MARK = re.compile(r"<!-- bench:(\w+) -->\n.*?<!-- /bench -->", re.DOTALL)


def filled(page: str, result: Result) -> str:
    """The page with the tables of this result between its marks."""

    def table(found: re.Match[str]) -> str:
        lines = "".join(f"{line}\n" for line in TABLES[found[1]](result))
        return f"<!-- bench:{found[1]} -->\n{lines}<!-- /bench -->"

    return _MARK.sub(table, page)


def main(result: str, *pages: str) -> None:
    """Write the tables of the result in file `result` into each page."""
    content = json.loads(Path(result).read_text("utf-8"))
    for page in map(Path, pages):
        page.write_text(filled(page.read_text("utf-8"), content), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
