"""When a message that could not be delivered is tried again, and when it is given up."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

_MINUTE, _HOUR = 60.0, 3600.0

#: Seconds to wait after each failed try: those that Standard Webhooks suggests, about three days.
WEBHOOK_SCHEDULE = (
    5.0, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR,
    24 * _HOUR,
)  # fmt: skip
#: A handler is our own program: what it stumbles over is often over soon.
HANDLER_SCHEDULE = (
    0.2, 1.0, 5.0, 30.0, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 24 * _HOUR,
)  # fmt: skip
# So that what failed together does not come back together.
_JITTER = 0.2
_LONGEST_S = 24 * _HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """One try that failed. `retry_after` is what the other side asks for, in seconds."""

    error: str
    retry_after: float | None = None
    #: Never to be tried again: the endpoint says that it is gone.
    gone: bool = False


def next_wait(
    schedule: Sequence[float], tries: int, failure: Failed, chance: float
) -> float | None:
    """Seconds until the next try after `tries` of them; None: given up. `chance` is 0 to 1."""
    if failure.gone or tries > len(schedule):
        return None
    wait = schedule[tries - 1] * (1 + _JITTER * chance)
    return max(wait, min(failure.retry_after or 0.0, _LONGEST_S))


def message_id(payment_id: UUID, event: str, channel: str, version: int = 1) -> UUID:
    """The same for ever: a restored backup tells nothing under a new id."""
    suffix = "" if channel == "webhook" else f":{channel}"
    return uuid5(payment_id, f"{event}:{version}{suffix}")
