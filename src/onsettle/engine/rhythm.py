"""When to look for the next block: seldom while none is due, often when one is."""

_LONGEST_SLEEP_S = 0.5
# So many gaps between blocks say when the next one is due.
_ENOUGH = 3
# Until then it looks at most this much of the time late that has passed since the last one.
_LATE = 0.05


class Rhythm:
    """Learns how often blocks arrive. Times are monotonic seconds, passed in."""

    def __init__(self) -> None:
        self._interval_s = 2.0
        self._arrived: float | None = None
        self._gaps = 0

    def arrived(self, blocks: int, now: float) -> None:
        """`blocks` new ones were seen at `now`."""
        if self._arrived is not None and blocks:
            gap = (now - self._arrived) / blocks
            self._gaps += 1
            # The mean at first, then one that forgets. A chain that makes blocks on demand has long
            # gaps that foretell nothing.
            weight = max(0.2, 1 / self._gaps)
            self._interval_s += weight * (min(max(gap, 0.05), 15.0) - self._interval_s)
        self._arrived = now

    def pause(self, now: float, longest: float) -> float:
        """How long to wait before the next look, at most `longest`."""
        if self._arrived is None:
            return min(0.05, longest)
        if self._gaps < _ENOUGH:
            return min(max(_LATE * (now - self._arrived), 0.03), _LONGEST_SLEEP_S, longest)
        until_due = self._arrived + 0.95 * self._interval_s - now
        if until_due > 0:
            return min(max(until_due, 0.02), _LONGEST_SLEEP_S, longest)
        often = min(max(self._interval_s / 40, 0.02), 0.25)
        overdue = -until_due > 2 * self._interval_s
        return min(4 * often if overdue else often, longest)
