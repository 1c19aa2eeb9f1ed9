"""Housekeeping: what is no longer of use goes, in small batches. Identities never go.

Every worker runs one; they may do the same work at once without harm.
"""

import structlog

from onsettle.engine.alarms import tell
from onsettle.engine.loop import Loop
from onsettle.store.database import Database

log = structlog.get_logger()

_EVERY_S = 10.0
# Between two walks over all that is old.
_WALK_EVERY_S = 3600.0
# Rows looked at in one statement.
_BATCH = 2000
_DAY_S = 86_400.0

LEASE_GRACE_S = 60.0
WORKER_GRACE_S = 600.0
#: Fee bumps and refused versions of transactions that are over.
KEEP_ATTEMPTS_S = 7 * _DAY_S
#: The journal of payments that are final; its newest line is kept for ever.
KEEP_EVENTS_S = 90 * _DAY_S
KEEP_ALARMS_S = 30 * _DAY_S
#: A reorg is measured against these. payment_confirmations can't ask for more than 1000.
KEEP_BLOCKS = 2048


class Janitor(Loop):
    """Clears dead leases and workers at each tick, and walks over old rows once an hour."""

    def __init__(self, db: Database) -> None:
        super().__init__("janitor")
        self._db = db
        # How far each walk has come, by row id; None: it is over until the next hour.
        self._walks: dict[str, int | None] = {"janitor_attempts": 0, "janitor_events": 0}
        self._rested_s = 0.0

    async def leave(self) -> None:
        """Nothing is held."""

    async def tick(self) -> float:
        await self._db.execute("janitor_leases_wallets", LEASE_GRACE_S)
        await self._db.execute("janitor_leases_networks", LEASE_GRACE_S)
        await self._db.execute("janitor_workers", WORKER_GRACE_S)
        for alarm in await self._db.fetch("janitor_unkeyed"):
            tell(alarm["new"], alarm["kind"], alarm["subject"], alarm["message"])
        await self._db.execute("janitor_keyed")
        await self._db.execute("janitor_alarms", KEEP_ALARMS_S)
        await self._db.execute("janitor_blocks", KEEP_BLOCKS, _BATCH)
        await self._db.execute("janitor_counts", _BATCH)
        await self._walk("janitor_attempts", KEEP_ATTEMPTS_S)
        await self._walk("janitor_events", KEEP_EVENTS_S)
        if any(at is not None for at in self._walks.values()):
            return 1.0
        self._rested_s += _EVERY_S
        if self._rested_s >= _WALK_EVERY_S:
            self._rested_s = 0.0
            self._walks = dict.fromkeys(self._walks, 0)
        return _EVERY_S

    async def _walk(self, query: str, keep_s: float) -> None:
        """One batch; the walk ends at the first row that is young enough to stay."""
        at = self._walks[query]
        if at is None:
            return
        row = await self._db.fetchrow(query, at, keep_s, _BATCH)
        self._walks[query] = row["last"] if row is not None else None
        if row is not None and row["gone"]:
            log.info("trimmed", what=query.removeprefix("janitor_"), rows=row["gone"])
