"""What all loops share: tick, survive, wait for a hint or a while, stop."""

import asyncio
import contextlib
from abc import ABC, abstractmethod

import structlog

from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.store.database import UNAVAILABLE, LostLease

log = structlog.get_logger()


#: How long a tick under way may take to end, and how long leases may take to be given back.
STOP_S, LEAVE_S = 4.0, 1.0


class Loop(ABC):
    """One background loop. A tick returns how long to wait, in seconds, unless woken."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._failing: str | None = None

    @abstractmethod
    async def tick(self) -> float: ...

    @abstractmethod
    async def leave(self) -> None:
        """Called once after the last tick: give leases back."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self.name)

    async def stop(self, timeout_s: float = STOP_S) -> None:
        """Finish the tick under way, bounded, and leave."""
        self._stopping = True
        self.wake.set()
        if self._task is not None:
            _, pending = await asyncio.wait([self._task], timeout=timeout_s)
            for task in pending:
                task.cancel()
        try:
            await asyncio.wait_for(self.leave(), LEAVE_S)
        except (*UNAVAILABLE, RpcError, RpcUnavailable) as error:
            log.warning("lease_not_given_back", loop=self.name, error=str(error))

    async def _run(self) -> None:
        while not self._stopping:
            self.wake.clear()
            await self._rest(await self._survive())

    async def _rest(self, pause_s: float) -> None:
        if not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.wake.wait(), pause_s)

    async def _survive(self) -> float:
        try:
            pause = await self.tick()
        except asyncio.CancelledError:
            raise
        except (*UNAVAILABLE, RpcUnavailable, RpcError, LostLease) as error:
            self._report(f"{type(error).__name__}: {error}")
            return 0.5
        except Exception:
            # One poisoned tick must not end the loop: it is told, and tried again.
            log.exception("loop_failed", loop=self.name)
            return 1.0
        if self._failing is not None:
            log.info("loop_recovered", loop=self.name)
            self._failing = None
        return pause

    def _report(self, problem: str) -> None:
        if problem != self._failing:
            log.warning("loop_waits", loop=self.name, problem=problem[:300])
            self._failing = problem
