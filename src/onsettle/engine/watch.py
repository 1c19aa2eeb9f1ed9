"""Following payments live: one query at a time, however many are watched."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from onsettle.engine.request import Refused
from onsettle.store.database import UNAVAILABLE, Database, Record

MAX_WATCHED = 5000
_EVERY_S = 0.1

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A payment as it is now, with the events since the snapshot before."""

    status: str
    final: bool
    events: list[Record]


@dataclass(slots=True, eq=False)
class _Watcher:
    payment_id: UUID
    last: int
    seen: tuple[str, bool] | None = None
    news: asyncio.Queue[Snapshot] = field(default_factory=asyncio.Queue)


class Watch:
    """Safe to share; asks the database only while somebody watches."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._watchers: set[_Watcher] = set()
        self._asker: asyncio.Task[None] | None = None

    def need_room(self) -> None:
        """Raises Refused where too many are watched already."""
        if len(self._watchers) >= MAX_WATCHED:
            raise Refused("too_many_watched", "too many payments are watched: try again", 503)

    async def follow(self, payment_id: UUID, *, after: int = 0) -> AsyncGenerator[Snapshot, None]:
        """The payment as it is, then every change; events with an id above `after` only.

        Goes on until the caller leaves.
        """
        watcher = _Watcher(payment_id, after)
        self._watchers.add(watcher)
        if self._asker is None:
            self._asker = asyncio.create_task(self._ask(), name="watch")
        try:
            while True:
                yield await watcher.news.get()
        finally:
            self._watchers.discard(watcher)

    async def _ask(self) -> None:
        failing = False
        try:
            while self._watchers:
                try:
                    await self._look()
                    failing = False
                except UNAVAILABLE as error:
                    if not failing:
                        log.warning("watch_waits", problem=f"{type(error).__name__}: {error}")
                    failing = True
                await asyncio.sleep(1.0 if failing else _EVERY_S)
        finally:
            self._asker = None

    async def _look(self) -> None:
        watchers = list(self._watchers)
        rows = await self._db.fetch(
            "watch", [w.payment_id for w in watchers], [w.last for w in watchers]
        )
        news: dict[int, list[Record]] = {}
        for row in rows:
            news.setdefault(row["place"] - 1, []).append(row)
        for place, found in news.items():
            _tell(watchers[place], found)


def _tell(watcher: _Watcher, rows: list[Record]) -> None:
    state = (rows[0]["status"], rows[0]["final"])
    events = [row for row in rows if row["id"] is not None]
    if events:
        watcher.last = events[-1]["id"]
    if events or state != watcher.seen:
        watcher.seen = state
        watcher.news.put_nowait(Snapshot(status=state[0], final=state[1], events=events))
