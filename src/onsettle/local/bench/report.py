"""The result as tables on a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from onsettle.local.bench import conditions, durability
from onsettle.local.bench.figures import number
from onsettle.local.bench.pages import missed

Found = Mapping[str, Any]
_STATEMENTS = 15


def show(result: Found, console: Console) -> None:
    """Print every figure: profiles, comparisons, costs, conditions, targets."""
    where = result["environment"]
    console.print(f"{where['date']}, commit {where['commit']}, {where['machine']}")
    console.print(f"{where['system']}, load average before the run {where['load_average_before']}")
    console.print(durability.told(where["database"]))
    if result["profiles"]:
        console.print(_rates(result["profiles"]))
        console.print(_costs(result["profiles"]))
    if result["floor"] or result["peer"]:
        console.print(_comparisons(result))
    if "load" in result:
        console.print(_load(result["load"]))
    if "growth" in result:
        console.print(_growth(result["growth"]))
    if "statements" in result:
        console.print(_statements(result["statements"]))
    for line in _alone(result):
        console.print(line)
    console.print("Conditions:", style="bold")
    for name, found in each_part(result):
        console.print(f"{name}: {conditions.told(found)}", highlight=False)
        if "verify_ok" in found:
            told = "agree" if found["verify_ok"] else "could not be compared in full"
            console.print(f"  its books and its chain {told}", highlight=False)
    console.print(_targets(result["targets"]))
    for line in missed(result):
        console.print(line, highlight=False, markup=False)
    for name, failure in result["failures"].items():
        console.print(f"{name} was not measured: {failure}", style="red")


def _rates(profiles: Found) -> Table:
    table = Table(title="Payments per second, from the first acceptance to the last completion")
    for heading in ("profile", "payments", "per second", "with mints"):
        table.add_column(heading, justify="left" if heading == "profile" else "right")
    for heading in ("accept to sent, s", "mined to completed, s"):
        table.add_column(f"{heading}\np50 / p95 / p99", justify="right")
    for name, found in profiles.items():
        table.add_row(
            name,
            str(found["payments"]),
            number(found["payments_per_second"]),
            number(found.get("with_mints_per_second")),
            _spread(found.get("accept_to_sent_s")),
            _spread(found.get("mined_to_completed_s")),
        )
    return table


def _costs(profiles: Found) -> Table:
    table = Table(title="What one payment costs")
    headings = ("RPC calls", "commits", "WAL bytes", "gas", "engine µs", "intake s", "engine s")
    table.add_column("profile")
    for heading in (*headings, "database s", "node s", "peak MB"):
        table.add_column(heading, justify="right")
    for name, found in profiles.items():
        cpu = found["cpu_seconds"]
        table.add_row(
            name,
            *(
                number(found.get(key))
                for key in (
                    "rpc_calls_per_payment",
                    "commits_per_payment",
                    "wal_bytes_per_payment",
                    "gas_per_payment",
                    "engine_us_per_payment",
                )
            ),
            *(number(cpu.get(part)) for part in ("intake", "engine", "database", "node")),
            number(found.get("peak_memory_mb")),
        )
    return table


def _comparisons(result: Found) -> Table:
    table = Table("compared with", "payments/s", title="The same payments elsewhere")
    for kind, found in result["floor"].items():
        label = f"the node alone, {kind}, {found['block_time_s']} s blocks"
        table.add_row(label, number(found["payments_per_second"]))
    for name, by_blocks in result["peer"].items():
        for blocks, found in by_blocks.items():
            label = f"{name}, {blocks.replace('_', ' ')}"
            table.add_row(label, number(found["payments_per_second"]))
    return table


def _load(load: Found) -> Table:
    table = Table(title="Latency at load, s (p50 / p95 / p99)")
    headings = ("offered/s", "accepted/s", "answered", "accept to sent", "mined to completed")
    for heading in (*headings, "accept to completed"):
        table.add_column(heading, justify="right")
    for found in load["rates"].values():
        table.add_row(
            str(found["offered_per_second"]),
            number(found["accepted_per_second"]),
            *(
                _spread(found[key])
                for key in (
                    "acknowledged_s",
                    "accept_to_sent_s",
                    "mined_to_completed_s",
                    "accept_to_completed_s",
                )
            ),
        )
    return table


def _growth(growth: Found) -> Table:
    table = Table("packed profile", "payments/s", "with mints", "peak MB", title="Growth")
    for name, found in growth.items():
        if isinstance(found, Mapping):
            table.add_row(
                name.replace("_", " ", 1),
                number(found["payments_per_second"]),
                number(found["with_mints_per_second"]),
                number(found["peak_memory_mb"]),
            )
    return table


def _statements(logged: Found) -> Table:
    table = Table("query", "µs per payment", "calls", title="Where the database's time goes")
    for each in logged["statements"][:_STATEMENTS]:
        table.add_row(each["query"], number(each["us_per_payment"]), str(each["calls"]))
    return table


def _alone(result: Found) -> Iterator[str]:
    """The parts that fit a line."""
    if "idle" in result:
        found = result["idle"]
        yield (
            f"idle engine, s: accept to broadcast {_spread(found['accept_to_broadcast_s'])},"
            f" block visible to completed {_spread(found['visible_to_completed_s'])}"
        )
    if "intake" in result:
        found = result["intake"]
        yield (
            f"intake on one core: {number(found['payments_per_second'])} POSTs/s"
            f" ({found['cpu_ms_per_payment']} ms of processor each),"
            f" {number(found['batch_payments_per_second'])} payments/s in batches"
            f" ({found['batch_cpu_ms_per_payment']} ms each)"
        )
    for name, ratio in result["ratios"].items():
        if ratio is not None:
            yield f"{name.replace('_', ' ')}: {number(ratio)}"


def _targets(targets: list[Found]) -> Table:
    table = Table("target", "bound", "measured", "holds", title="Targets")
    words = {True: "yes", False: "NO", None: "not measured"}
    for each in targets:
        table.add_row(each["name"], each["target"], number(each["measured"]), words[each["holds"]])
    return table


def each_part(result: Found) -> Iterator[tuple[str, Found]]:
    """Everything that was measured under conditions of its own, by name."""
    yield from result["profiles"].items()
    for kind, found in result["floor"].items():
        yield f"the node alone, {kind}", found
    for name, by_blocks in result["peer"].items():
        for blocks, found in by_blocks.items():
            yield f"{name}, {blocks.replace('_', ' ')}", found
    for name in ("idle", "load", "intake", "statements"):
        if name in result:
            yield name, result[name]
    for name, found in result.get("growth", {}).items():
        if isinstance(found, Mapping):
            yield f"growth, {name.replace('_', ' ', 1)}", found


def _spread(found: Found | None) -> str:
    if not found:
        return "-"
    return " / ".join(number(found[key]) for key in ("p50", "p95", "p99"))
