"""One line for an operator: is it settling, and if not, what is to be done."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

# A payment that waits for longer than this without a named reason deserves a look.
_LONG_S = 60


class Health(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What the verdict rests on; amounts in wei, ages in seconds."""

    workers: int
    paused: bool
    waiting: int
    oldest_waiting_s: int | None
    #: (name, seconds since a confirmer looked at it; None: never)
    networks: Sequence[tuple[str, float | None]]
    #: Endpoints of which none answers, by network.
    unreachable: Sequence[str]
    #: (address, what it must hold, what it holds)
    dry: Sequence[tuple[str, int, int | None]]
    paused_wallets: Sequence[str]
    alarms: Sequence[str]
    dead_deliveries: int


def judge(signs: Signs) -> tuple[Health, list[str]]:
    """The verdict and its reasons, the gravest first; each says what to do."""
    stopped = _stopped(signs)
    degraded = _degraded(signs)
    if stopped:
        return Health.STOPPED, stopped + degraded
    return (Health.DEGRADED if degraded else Health.HEALTHY), degraded


def _stopped(signs: Signs) -> list[str]:
    reasons = []
    if not signs.workers:
        reasons.append("no worker runs: start `onsettle worker` or `onsettle serve`")
    if signs.paused:
        reasons.append(f"payments are paused, {signs.waiting} wait: `onsettle resume`")
    reasons += [f"{name}: no RPC endpoint answers" for name in signs.unreachable]
    return reasons


def _degraded(signs: Signs) -> list[str]:
    reasons = [
        f"wallet {address} needs {needs} wei,"
        f" has {'unknown' if holds is None else holds}: top it up"
        for address, needs, holds in signs.dry
    ]
    reasons += [
        f"wallet {address} is paused: `onsettle wallets resume {address}`"
        for address in signs.paused_wallets
    ]
    for name, age in signs.networks:
        if signs.workers and (age is None or age > _LONG_S):
            since = "never" if age is None else f"{age:.0f} s ago"
            reasons.append(f"{name}: the chain was last looked at {since}")
    reasons += [f"alarm: {alarm}" for alarm in signs.alarms]
    if signs.dead_deliveries:
        reasons.append(
            f"{signs.dead_deliveries} webhooks are given up: `onsettle webhooks list --dead`"
        )
    oldest = signs.oldest_waiting_s
    if oldest is not None and oldest > _LONG_S and not signs.paused:
        reasons.append(f"the oldest pending payment waits for {oldest} s: `onsettle stuck`")
    return reasons
