"""Hints between processes: somebody committed new work. Nothing depends on one arriving."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from onsettle.engine.loop import Loop
from onsettle.store.database import UNAVAILABLE, Database

_CHANNEL = "onsettle_work"
_CHECK_S = 5.0
# NOTIFY serialises the commits that carry one: few are enough.
_AT_MOST_EVERY_S = 0.02


class Listener(Loop):
    """Wakes this process when another one has committed work."""

    def __init__(self, db: Database, wake: Callable[[], None]) -> None:
        super().__init__("listener")
        self._db = db
        self._wake = wake
        self._connection: Any = None

    async def tick(self) -> float:
        if self._connection is not None:
            return _CHECK_S
        connection = await self._db.pool.acquire()
        try:
            await connection.add_listener(_CHANNEL, lambda *_: self._wake())
            connection.add_termination_listener(lambda *_: self._lost())
        except BaseException:
            await self._db.pool.release(connection)
            raise
        self._connection = connection
        self._wake()
        return _CHECK_S

    def _lost(self) -> None:
        # The pool has taken the dead connection back by itself.
        self._connection = None
        self.wake.set()

    async def leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


class Teller:
    """Tells the other processes, at most a few dozen times a second."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._telling: asyncio.Task[None] | None = None
        self._again = False

    def tell(self) -> None:
        """Say it soon; never waits, never raises."""
        if self._telling is not None and not self._telling.done():
            self._again = True
            return
        self._telling = asyncio.create_task(self._tell(), name="hint")

    async def _tell(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            with contextlib.suppress(*UNAVAILABLE):
                await self._db.execute("work_notify", _CHANNEL)
            await asyncio.sleep(_AT_MOST_EVERY_S)

    async def close(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
