"""What the figures must reach: ratios between them, and each target with what was measured."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A bound on one figure; `find` returns None when it was not measured."""

    name: str
    find: Callable[[Result], float | None]
    least: float | None = None
    most: float | None = None

    def judged(self, result: Result) -> dict[str, Any]:
        measured = self.find(result)
        bound = f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"
        return {
            "name": self.name,
            "target": bound,
            "measured": measured,
            "holds": None if measured is None else self._holds(measured),
        }

    def _holds(self, measured: float) -> bool:
        if self.least is not None:
            return measured >= self.least
        return self.most is not None and measured <= self.most


def at(*path: str) -> Callable[[Result], float | None]:
    """The figure at this place of the result."""

    def find(result: Result) -> float | None:
        value: Any = result
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value if isinstance(value, int | float) else None

    return find


def quotient(above: tuple[str, ...], below: tuple[str, ...]) -> Callable[[Result], float | None]:
    """One figure by another."""

    def find(result: Result) -> float | None:
        over, under = at(*above)(result), at(*below)(result)
        return round(over / under, 3) if over is not None and under else None

    return find


def ratios(result: Result) -> dict[str, float | None]:
    """Ours to the guide's, to the faster peer's and to what the node alone can do."""
    packed = at("profiles", "packed", "payments_per_second")(result)
    single = ("profiles", "single", "payments_per_second")
    return {
        "packed_to_guide": _by(packed, at("profiles", "guide", "payments_per_second")(result)),
        "packed_to_peer": _by(packed, fastest_peer(result, "two_second_blocks")),
        "packed_to_peer_instant": _by(packed, fastest_peer(result, "instant_blocks")),
        "packed_to_floor": _by(packed, at("floor", "packed", "payments_per_second")(result)),
        "single_to_floor": quotient(single, ("floor", "single", "payments_per_second"))(result),
    }


def fastest_peer(result: Result, blocks: str) -> float | None:
    peers = result.get("peer", {})
    rates = [at(name, blocks, "payments_per_second")(peers) for name in peers]
    return max((rate for rate in rates if rate is not None), default=None)


def _by(above: float | None, below: float | None) -> float | None:
    return round(above / below, 3) if above is not None and below else None


_PACKED = ("profiles", "packed")
_SINGLE = ("profiles", "single")
TARGETS = (
    Target(name="packed, payments/s", find=at(*_PACKED, "payments_per_second"), least=2000),
    Target(
        name="packed with mints, payments/s",
        find=at(*_PACKED, "with_mints_per_second"),
        least=1500,
    ),
    Target(name="packed, share of its floor", find=at("ratios", "packed_to_floor"), least=0.333),
    Target(
        name="one per transaction, four wallets, payments/s",
        find=at(*_SINGLE, "payments_per_second"),
        least=1000,
    ),
    Target(
        name="one per transaction, share of its floor",
        find=at("ratios", "single_to_floor"),
        least=0.333,
    ),
    Target(name="packed, times the guide", find=at("ratios", "packed_to_guide"), least=200),
    Target(name="packed, times the faster peer", find=at("ratios", "packed_to_peer"), least=20),
    Target(
        name="idle: acceptance to broadcast, p50, s",
        find=at("idle", "accept_to_broadcast_s", "p50"),
        most=0.05,
    ),
    Target(
        name="idle: block visible to completed, p99, s",
        find=at("idle", "visible_to_completed_s", "p99"),
        most=0.3,
    ),
    Target(
        name="packed, RPC calls per payment", find=at(*_PACKED, "rpc_calls_per_payment"), most=0.1
    ),
    Target(
        name="one per transaction, RPC calls per payment",
        find=at(*_SINGLE, "rpc_calls_per_payment"),
        most=2.5,
    ),
    Target(
        name="gas per payment, packed by 50 to alone",
        find=quotient(("profiles", "packed_50", "gas_per_payment"), (*_SINGLE, "gas_per_payment")),
        most=0.65,
    ),
    Target(
        name="POST /v1/payments on one core, payments/s",
        find=at("intake", "payments_per_second"),
        least=700,
    ),
    Target(
        name="POST /v1/payments/batch on one core, payments/s",
        find=at("intake", "batch_payments_per_second"),
        least=3000,
    ),
    Target(
        name="peak memory with 100,000 queued, MB",
        find=at("growth", "queued_100000", "peak_memory_mb"),
        most=200,
    ),
    Target(
        name="throughput with a million finished rows, to empty",
        find=at("growth", "million_to_empty"),
        least=0.9,
    ),
)


def judged(result: Result) -> Iterator[dict[str, Any]]:
    """Every target with what was measured and whether it holds."""
    for target in TARGETS:
        yield target.judged(result)
