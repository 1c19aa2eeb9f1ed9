"""Delivers one channel's messages: at least once, each under its own id, a few at a time."""

import asyncio
import random
from abc import abstractmethod
from collections.abc import Sequence

import structlog

from onsettle.domain.delivery import Failed, next_wait
from onsettle.engine.loop import Loop
from onsettle.store.database import Database, Record

log = structlog.get_logger()

_AT_ONCE = 16
_IDLE_S = 0.25
# With the writing after it well below the second that a loop has for leaving.
_LAST_WORDS_S = 0.5
_NEVER_BACK = "no try of it came back: it hangs, or it ends its process"


class Courier(Loop):
    """Any number of processes may run one for the same channel: each message goes to one of them.

    A message is taken for `lease_s`; a delivery that takes longer is tried again by somebody.
    """

    channel: str
    schedule: Sequence[float]

    def __init__(self, db: Database, lease_s: float) -> None:
        super().__init__(f"{self.channel} courier")
        self._db = db
        self._lease_s = lease_s
        self._under_way: set[asyncio.Task[None]] = set()
        self._told: list[tuple[Record, Failed | None]] = []

    @abstractmethod
    async def deliver(self, message: Record) -> Failed | None:
        """Tell it once. None: it has arrived."""

    def room(self) -> int:
        """How many deliveries may begin now."""
        return _AT_ONCE - len(self._under_way)

    async def tick(self) -> float:
        await self._store()
        room = self.room()
        if room <= 0:
            return _IDLE_S
        rows = await self._db.fetch("outbox_claim", self.channel, room, self._lease_s)
        for row in rows:
            if row["tries"] > len(self.schedule) + 1:
                self._tell_of(row, Failed(error=_NEVER_BACK))
                continue
            # One that hangs holds up its own place only.
            task = asyncio.create_task(self._tell(row), name=f"{self.channel} {row['id']}")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return _IDLE_S

    async def _tell(self, row: Record) -> None:
        try:
            failure = await self.deliver(row)
        except Exception as error:
            log.exception("delivery_broke", channel=self.channel, payment=str(row["payment_id"]))
            failure = Failed(error=f"{type(error).__name__}: {error}"[:300])
        self._tell_of(row, failure)

    def _tell_of(self, row: Record, failure: Failed | None) -> None:
        self._told.append((row, failure))
        self.wake.set()

    async def _store(self) -> None:
        """What became of those that are back; kept until it is written."""
        told = list(self._told)
        arrived = [row for row, failure in told if failure is None]
        if arrived:
            await self._db.execute(
                "outbox_delivered", [r["id"] for r in arrived], [r["tries"] for r in arrived]
            )
        failed = [(row, failure) for row, failure in told if failure is not None]
        if failed:
            await self._note(failed)
        del self._told[: len(told)]

    async def _note(self, failed: Sequence[tuple[Record, Failed]]) -> None:
        waits = [
            next_wait(self.schedule, row["tries"], failure, random.random())
            for row, failure in failed
        ]
        await self._db.execute(
            "outbox_failed",
            [row["id"] for row, _ in failed],
            [row["tries"] for row, _ in failed],
            waits,
            [failure.error for _, failure in failed],
        )
        for (row, failure), wait in zip(failed, waits, strict=True):
            log.warning(
                "delivery_failed",
                channel=self.channel,
                payment=str(row["payment_id"]),
                tries=row["tries"],
                again_in_s=None if wait is None else round(wait, 1),
                error=failure.error,
            )

    async def leave(self) -> None:
        """What is still under way comes up again when its time is over."""
        try:
            if self._under_way:
                await asyncio.wait(self._under_way, timeout=_LAST_WORDS_S)
        finally:
            for task in self._under_way:
                task.cancel()
            await self._store()
