"""Python handlers of completed payments: each message is handled at least once, and retried."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from onsettle import points
from onsettle.domain.delivery import HANDLER_SCHEDULE, Failed
from onsettle.engine.courier import Courier
from onsettle.store.database import Database, Record

# A handler that takes longer is taken for dead, and the payment is handled again.
_LIMIT_S = 300.0
# Longer than any of them: what was taken by a process that died comes up again after it.
_LEASE_S = 1.1 * _LIMIT_S
_TARGET = "python"


class HandlerCourier(Courier):
    """Calls `handle` with each message of the channel `handler`; what it raises is a failure."""

    channel = "handler"
    schedule: Sequence[float] = HANDLER_SCHEDULE

    def __init__(self, db: Database, handle: Callable[[Record], Awaitable[None]]) -> None:
        super().__init__(db, _LEASE_S)
        self._handle = handle
        self._open = False

    async def open(self) -> None:
        """From now on every completed payment leaves a message."""
        await self._db.fetchval("channel_open", self.channel, _TARGET)
        self._open = True

    async def tick(self) -> float:
        if not self._open:
            await self.open()
        return await super().tick()

    async def deliver(self, message: Record) -> Failed | None:
        limit = asyncio.timeout(_LIMIT_S)
        try:
            with points.around("handler"):
                async with limit:
                    await self._handle(message)
        except Exception as error:
            if limit.expired():
                return Failed(error=f"it took longer than {_LIMIT_S:g} s")
            return Failed(error=f"{type(error).__name__}: {error}"[:300])
        return None
