"""What is known of one node's behaviour."""

import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class EndpointStats:
    """What an endpoint has done since the start. `requests` and `errors` count batch elements."""

    requests: int = 0
    by_method: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    last_error: str | None = None
    last_latency_ms: float | None = None
    height: int | None = None
    consecutive_failures: int = 0
    #: Until when (monotonic seconds) nothing is sent, because the node asked for it.
    cooldown_until: float = 0.0
    #: Until when another endpoint is preferred, because this one failed.
    resting_until: float = 0.0
    #: In words, that it is of another chain: it is not used.
    foreign: str | None = None

    @property
    def cooldown(self) -> float:
        """Seconds for which nothing is sent to this endpoint, since it limits our rate."""
        return max(0.0, self.cooldown_until - time.monotonic())

    @property
    def resting(self) -> float:
        """Seconds for which another endpoint is preferred."""
        return max(0.0, self.resting_until - time.monotonic())
