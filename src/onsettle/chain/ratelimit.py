"""A limit of our own on how much we ask of a node."""

import asyncio
import time
from collections import deque

_WINDOW_S = 1.02  # a little over a second: the node measures when requests arrive, not when they go


class RateLimiter:
    """At most `rate` elements in any second; 0 is no limit. First come, first served."""

    def __init__(self) -> None:
        self.rate = 0
        self._spent: deque[tuple[float, int]] = deque()
        self._turn = asyncio.Lock()

    async def acquire(self, count: int) -> None:
        """Wait until `count` more elements fit; more than `rate` at once need a quiet second."""
        if self.rate <= 0:
            return
        async with self._turn:
            wait = self._wait(count)
            while wait > 0:
                await asyncio.sleep(wait)
                wait = self._wait(count)
            self._spent.append((time.monotonic(), count))

    def _wait(self, count: int) -> float:
        now = time.monotonic()
        while self._spent and self._spent[0][0] <= now - _WINDOW_S:
            self._spent.popleft()
        spent = sum(part for _, part in self._spent)
        if not self._spent or self.rate <= 0 or spent + count <= self.rate:
            return 0.0
        return max(self._spent[0][0] + _WINDOW_S - now, 0.001)
