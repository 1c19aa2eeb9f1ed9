"""What the figures must reach: ratios between them, and each target with what was measured."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from onsettle.local.bench.reasons import (
    Result,
    Why,
    against_floor,
    calls,
    gas,
    memory,
    one_core,
    processors,
    runs,
    spread,
)

Find = Callable[[Result], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A bound on one figure; `find` returns None when it was not measured.

    The figure is judged as it is, and told to three digits behind the point. `why` says what the
    result knows of the reason when it is missed.
    """

    name: str
    find: Find
    why: Why
    least: float | Fraction | None = None
    most: float | None = None

    def judged(self, result: Result) -> dict[str, Any]:
        measured = self.find(result)
        holds = None if measured is None else self._holds(measured)
        told: dict[str, Any] = {
            "name": self.name,
            "target": f"≥ {_exact(self.least)}" if self.most is None else f"≤ {_exact(self.most)}",
            "measured": None if measured is None else round(measured, 3),
            "holds": holds,
        }
        if measured is not None and not holds:
            told["off"] = round(abs(measured / float(self.least or self.most or 1) - 1), 4)
            told["why"] = self.why(result)
        return told

    def _holds(self, measured: float) -> bool:
        if self.least is not None:
            return measured >= float(self.least)
        return self.most is not None and measured <= self.most


def _exact(bound: float | Fraction | None) -> str:
    return str(bound) if isinstance(bound, Fraction) else f"{bound:g}"


def at(*path: str) -> Find:
    """The figure at this place of the result."""

    def find(result: Result) -> float | None:
        value: Any = result
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value if isinstance(value, int | float) else None

    return find


def quotient(above: Find, below: Find) -> Find:
    """One figure by another."""

    def find(result: Result) -> float | None:
        over, under = above(result), below(result)
        return over / under if over is not None and under else None

    return find


def fastest_peer(blocks: str) -> Find:
    """The rate of the faster facilitator under such blocks."""

    def find(result: Result) -> float | None:
        peers = result.get("peer", {})
        rates = [at(name, blocks, "payments_per_second")(peers) for name in peers]
        return max((rate for rate in rates if rate is not None), default=None)

    return find


_PACKED = ("profiles", "packed")
_SINGLE = ("profiles", "single")
_PACKED_RATE = at(*_PACKED, "payments_per_second")
_SINGLE_RATE = at(*_SINGLE, "payments_per_second")
#: The floor and the peers mint nothing: beside what every payment with its mint comes to, this is
#: the same work on both sides.
_ALIKE = ("profiles", "payments_only")
_ALIKE_RATE = at(*_ALIKE, "payments_per_second")
#: Ours to the guide's, to the faster peer's and to what the node alone can do.
RATIOS: Mapping[str, Find] = {
    "packed_to_guide": quotient(_PACKED_RATE, at("profiles", "guide", "payments_per_second")),
    "packed_to_peer": quotient(_PACKED_RATE, fastest_peer("two_second_blocks")),
    "packed_to_peer_instant": quotient(_PACKED_RATE, fastest_peer("instant_blocks")),
    "packed_to_floor": quotient(_PACKED_RATE, at("floor", "packed", "payments_per_second")),
    "payments_only_to_peer_instant": quotient(_ALIKE_RATE, fastest_peer("instant_blocks")),
    "payments_only_to_floor": quotient(_ALIKE_RATE, at("floor", "packed", "payments_per_second")),
    "single_to_floor": quotient(_SINGLE_RATE, at("floor", "single", "payments_per_second")),
}
TARGETS = (
    Target(name="packed, payments/s", why=processors(*_PACKED), find=_PACKED_RATE, least=2000),
    Target(
        name="packed with mints, payments/s",
        why=processors(*_PACKED),
        find=at(*_PACKED, "with_mints_per_second"),
        least=1500,
    ),
    Target(
        name="packed, share of its floor",
        why=against_floor("packed"),
        find=RATIOS["packed_to_floor"],
        least=Fraction(1, 3),
    ),
    Target(
        name="packed, nothing to mint: share of the floor",
        why=against_floor("payments_only"),
        find=RATIOS["payments_only_to_floor"],
        least=Fraction(1, 3),
    ),
    Target(
        name="one per transaction, four wallets, payments/s",
        why=processors(*_SINGLE),
        find=_SINGLE_RATE,
        least=1000,
    ),
    Target(
        name="one per transaction, share of its floor",
        why=against_floor("single"),
        find=RATIOS["single_to_floor"],
        least=Fraction(1, 3),
    ),
    Target(
        name="packed, times the guide",
        why=processors(*_PACKED),
        find=RATIOS["packed_to_guide"],
        least=200,
    ),
    Target(
        name="packed, times the faster peer with 2-second blocks",
        why=processors(*_PACKED),
        find=RATIOS["packed_to_peer"],
        least=20,
    ),
    Target(
        name="packed, times the faster peer with instant blocks",
        why=processors(*_PACKED),
        find=RATIOS["packed_to_peer_instant"],
        least=20,
    ),
    Target(
        name="packed, nothing to mint: times the faster peer with instant blocks",
        why=processors(*_ALIKE),
        find=RATIOS["payments_only_to_peer_instant"],
        least=20,
    ),
    Target(
        name="idle: acceptance to broadcast, p50, s",
        why=spread("idle", "accept_to_broadcast_s"),
        find=at("idle", "accept_to_broadcast_s", "p50"),
        most=0.05,
    ),
    Target(
        name="idle: block visible to completed, p99, s",
        why=spread("idle", "visible_to_completed_s"),
        find=at("idle", "visible_to_completed_s", "p99"),
        most=0.3,
    ),
    Target(
        name="packed, RPC calls per payment",
        why=calls("packed"),
        find=at(*_PACKED, "rpc_calls_per_payment"),
        most=0.1,
    ),
    Target(
        name="one per transaction, RPC calls per payment",
        why=calls("single"),
        find=at(*_SINGLE, "rpc_calls_per_payment"),
        most=2.5,
    ),
    Target(
        name="gas per payment, packed by 50 to alone",
        why=gas,
        find=quotient(
            at("profiles", "packed_50", "gas_per_payment"), at(*_SINGLE, "gas_per_payment")
        ),
        most=0.65,
    ),
    Target(
        name="POST /v1/payments on one core, payments/s",
        why=one_core("cpu_ms_per_payment"),
        find=at("intake", "payments_per_second"),
        least=700,
    ),
    Target(
        name="POST /v1/payments/batch on one core, payments/s",
        why=one_core("batch_cpu_ms_per_payment"),
        find=at("intake", "batch_payments_per_second"),
        least=3000,
    ),
    Target(
        name="peak memory with 100,000 queued, MB",
        why=memory,
        find=at("growth", "queued_100000", "peak_memory_mb"),
        most=200,
    ),
    Target(
        name="throughput with a million finished rows, to empty",
        why=runs("finished_1000000", "finished_0"),
        find=quotient(
            at("growth", "finished_1000000", "payments_per_second"),
            at("growth", "finished_0", "payments_per_second"),
        ),
        least=0.9,
    ),
)


def ratios(result: Result) -> dict[str, float | None]:
    """Every ratio, to three digits behind the point; None where a figure is missing."""
    found = {name: find(result) for name, find in RATIOS.items()}
    return {name: None if it is None else round(it, 3) for name, it in found.items()}


def judged(result: Result) -> Iterator[dict[str, Any]]:
    """Every target with what was measured and whether it holds."""
    for target in TARGETS:
        yield target.judged(result)
