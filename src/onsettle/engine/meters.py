"""Counters and histograms since the start of this process, read from what all processes wrote."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from onsettle.store.database import Database

#: Upper ends in seconds; the last bucket has none.
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
LATENCIES = ("accept_to_sent", "accept_to_completed", "mined_to_completed")
# What was written longer ago than this is committed: commits take milliseconds.
_SETTLED = timedelta(seconds=2)


@dataclass(slots=True)
class Histogram:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    sum: float = 0.0

    def cumulative(self) -> list[tuple[str, float]]:
        """Pairs of upper end and count, as Prometheus takes them."""
        total, pairs = 0, []
        for end, count in zip((*map(str, BUCKETS), "+Inf"), self.counts, strict=True):
            total += count
            pairs.append((end, float(total)))
        return pairs


class Meters:
    """Brought up to date whenever it is read; a read takes in only what is new."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = asyncio.Lock()
        self._until: datetime | None = None
        self._event = 0
        self.moves: Counter[str] = Counter()
        self.latencies = {name: Histogram() for name in LATENCIES}

    async def update(self) -> None:
        async with self._lock:
            if self._until is None:
                start = await self._db.fetchrow("metrics_start")
                if start is not None:
                    self._until, self._event = start["at"], start["event"]
                return
            until = max(self._until, datetime.now(UTC) - _SETTLED)
            moves = await self._db.fetch("metrics_moves", self._event, until)
            seconds = await self._db.fetch("metrics_latency", self._until, until, list(BUCKETS))
            self._until = until
            for row in moves:
                self.moves[row["to_status"]] += row["count"]
                self._event = max(self._event, row["last"])
            for row in seconds:
                histogram = self.latencies[row["name"]]
                histogram.counts[row["bucket"]] += row["count"]
                histogram.sum += row["sum"]
