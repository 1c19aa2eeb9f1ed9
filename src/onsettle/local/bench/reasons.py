"""Why a target is missed, as far as the same result tells it."""

from collections.abc import Callable, Mapping
from typing import Any

from onsettle.local.bench.figures import number

Result = Mapping[str, Any]
Why = Callable[[Result], str]
# With so much of the processors in use, little can be won by waiting less.
_BUSY = 0.8


def processors(*path: str) -> Why:
    """What the payments of one part took of the machine, and how much of it was in use."""

    def why(result: Result) -> str:
        found = part(result, path)
        took = us_per_payment(found)
        listed = ", ".join(f"{name} {number(us)}" for name, us in took.items())
        share = in_use(found, result["environment"]["cores"])
        limit = (
            "the processors are the limit"
            if share >= _BUSY
            else "the rest of the time was spent waiting"
        )
        what = "A payment" if found.get("mints") == 0 else "A payment with its mint"
        return (
            f"{what} takes {number(sum(took.values()))} µs of processor"
            f" ({listed}); {share:.0%} of {result['environment']['cores']} cores were in use:"
            f" {limit}."
        )

    return why


def against_floor(profile: str) -> Why:
    """The floor has the processors for the node alone."""

    def why(result: Result) -> str:
        took = us_per_payment(result["profiles"][profile])
        return (
            f"The node alone has every core for itself; beside it, {number(took['node'])} of"
            f" {number(sum(took.values()))} µs are the node's. "
            + processors("profiles", profile)(result)
        )

    return why


def spread(*path: str) -> Why:
    """The percentiles around the one that is judged."""

    def why(result: Result) -> str:
        found = part(result, path)
        told = ", ".join(f"{name} {number(found[name])} s" for name in ("p50", "p95", "p99"))
        before = result["environment"]["load_average_before"]
        return f"Of {result[path[0]]['payments']} payments: {told}; load average before: {before}."

    return why


def one_core(cpu_ms: str) -> Why:
    """Intake has one core."""

    def why(result: Result) -> str:
        took = result["intake"][cpu_ms]
        return (
            f"A payment takes {number(took)} ms of the one core, which is enough for"
            f" {number(1000 / took)} a second; the load and the database share the others."
        )

    return why


def runs(*parts: str) -> Why:
    """The rates of every run behind a ratio."""

    def why(result: Result) -> str:
        told = (
            f"{name.replace('_', ' ', 1)}: {', '.join(map(number, found['runs']))} payments/s"
            for name in parts
            for found in [result["growth"][name]]
        )
        return "Runs " + "; ".join(told) + "."

    return why


def calls(profile: str) -> Why:
    """Looks at the chain cost calls by the second, and payments in packs hardly any."""

    def why(result: Result) -> str:
        found = result["profiles"][profile]
        made = round(found["rpc_calls_per_payment"] * found["payments"])
        return f"{made:,} calls for {found['payments']:,} payments in {found['seconds']} s."

    return why


def gas(result: Result) -> str:
    """Both sides of the comparison."""
    packed, alone = (
        result["profiles"][name]["gas_per_payment"] for name in ("packed_50", "single")
    )
    return f"A payment takes {packed:,} gas packed by 50, and {alone:,} alone."


def memory(result: Result) -> str:
    """What the same worker holds without a queue."""
    empty = result["growth"]["finished_0"]["peak_memory_mb"]
    return f"With nothing queued beforehand it is {number(empty)} MB."


def part(result: Result, path: tuple[str, ...]) -> Any:
    found: Any = result
    for name in path:
        found = found[name]
    return found


def us_per_payment(found: Mapping[str, Any]) -> dict[str, float]:
    """Processor time of a payment, with its mint if it has one, in µs, by process."""
    return {name: cpu / found["payments"] * 1e6 for name, cpu in found["cpu_seconds"].items()}


def in_use(found: Mapping[str, Any], cores: int) -> float:
    """The share of the processors that was in use until the last mint."""
    rate = found.get("with_mints_per_second") or found["payments_per_second"]
    seconds = found["payments"] / rate
    return float(sum(found["cpu_seconds"].values()) / seconds / cores)
