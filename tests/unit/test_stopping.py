"""Stopping: bounded for each loop, and for all of them at once."""

import asyncio
from typing import Any, cast

import pytest

from onsettle.cli.stopping import unless_stopped
from onsettle.cli.worker import _DATABASE_STOP_S
from onsettle.engine import loop as loops_of_all
from onsettle.engine import worker as worker_of_all
from onsettle.engine.loop import Loop
from onsettle.engine.settings import SettingsReader
from onsettle.engine.worker import LONGEST_STOP_S, Worker
from onsettle.store.database import Database


class _Deaf(Loop):
    """Its node never answers; it can leave only together with the others."""

    def __init__(self, together: asyncio.Barrier) -> None:
        super().__init__("deaf")
        self.left = False
        self._together = together

    async def tick(self) -> float:
        await asyncio.Event().wait()
        return 0.0

    async def leave(self) -> None:
        await self._together.wait()
        self.left = True


class _Written:
    """Where a worker signs off."""

    def __init__(self) -> None:
        self.queries: list[str] = []

    async def execute(self, query: str, *_: Any) -> int:
        self.queries.append(query)
        return 1


async def test_loops_that_hang_are_left_all_at_once() -> None:
    """A node that does not answer costs its time once, however many wallets wait for it."""
    together = asyncio.Barrier(8)
    loops = [_Deaf(together) for _ in range(8)]
    written = _Written()
    db = cast("Database", written)
    worker = Worker(db, {}, SettingsReader(db))
    worker._loops = list[Loop](loops)
    for loop in loops:
        loop.start()
    await worker.stop(timeout_s=0.05)
    assert all(loop.left for loop in loops)
    assert written.queries == ["worker_gone"]


class _Hung:
    """A database that does not answer."""

    async def execute(self, *_: Any) -> int:
        await asyncio.Event().wait()
        return 0


async def test_where_all_hangs_a_stop_takes_as_long_as_its_bounds_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With an embedded database their sum leaves one of the ten promised seconds for the rest of
    the process, and nothing beside them is waited for."""
    assert LONGEST_STOP_S + _DATABASE_STOP_S <= 9
    scale = 100
    monkeypatch.setattr(loops_of_all, "LEAVE_S", loops_of_all.LEAVE_S / scale)
    monkeypatch.setattr(worker_of_all, "_OWN_STOP_S", worker_of_all._OWN_STOP_S / scale)
    db = cast("Database", _Hung())
    worker = Worker(db, {}, SettingsReader(db))
    never = asyncio.Barrier(9)
    deaf = [_Deaf(never) for _ in range(8)]
    worker._loops = list[Loop](deaf)
    for loop in (*deaf, worker):
        loop.start()
    await asyncio.wait_for(worker.stop(loops_of_all.STOP_S / scale), LONGEST_STOP_S)
    assert not any(loop.left for loop in deaf)


async def test_a_start_is_given_up_when_the_process_is_to_end() -> None:
    """What was begun is cancelled and cleans up after itself; what was done is kept."""
    stopped = asyncio.Event()
    cleaned: list[str] = []

    async def opening() -> str:
        try:
            stopped.set()
            await asyncio.Event().wait()
        finally:
            cleaned.append("closed")
        return "open"

    async def opened() -> str:
        return "open"

    assert await unless_stopped(stopped, opening()) is None
    assert cleaned == ["closed"]
    assert await unless_stopped(asyncio.Event(), opened()) == "open"
