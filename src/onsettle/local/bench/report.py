"""The result as tables on a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

Found = Mapping[str, Any]


def show(result: Found, console: Console) -> None:
    """Print every figure: profiles, comparisons, costs, targets."""
    environment = result["environment"]
    console.print(
        f"{environment['date']}, commit {environment['commit']}, {environment['machine']}"
    )
    if result["profiles"]:
        console.print(_rates(result["profiles"]))
        console.print(_costs(result["profiles"]))
        for name, found in result["profiles"].items():
            console.print(f"{name}: {found['about']}; {conditions(found)}")
    if result["floor"] or result["peer"]:
        console.print(_comparisons(result))
    if "load" in result:
        console.print(_load(result["load"]))
    if "growth" in result:
        console.print(_growth(result["growth"]))
    for line in _alone(result):
        console.print(line)
    console.print(_targets(result["targets"]))
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


def conditions(found: Found) -> str:
    """Under which settings and load, in a few words."""
    parts = [f"{name}={value}" for name, value in found.get("settings", {}).items()]
    parts.append(f"{found['wallets']} wallets, {found.get('workers', 1)} workers")
    parts.append(f"{found['payers']} payers, {found['block_time_s']} s blocks")
    return ", ".join(parts)


def number(value: float | None) -> str:
    """As people read it: no more digits than say something."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _spread(found: Found | None) -> str:
    if not found:
        return "-"
    return " / ".join(number(found[key]) for key in ("p50", "p95", "p99"))
