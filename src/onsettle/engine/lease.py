"""Leases with a fencing term: who may act for a wallet or follow a network."""

import time

from onsettle.store.database import Database

LEASE_S = 10.0
# The holder stops trusting itself before the database does, from the start of the renewal.
_TRUST_S = 7.0


class Lease:
    """One lease row. `held` is true only while this process may act on `term`."""

    def __init__(self, db: Database, take: str, give: str, *key: object, holder: str) -> None:
        self._db = db
        self._take = take
        self._give = give
        self._key = key
        self._holder = holder
        self._until = float("-inf")
        self.term = -1

    @property
    def held(self) -> bool:
        return time.monotonic() < self._until

    async def hold(self) -> bool:
        """Take or renew it; False when somebody else holds it."""
        if self._until - time.monotonic() > _TRUST_S / 2:
            return True
        started = time.monotonic()
        term = await self._db.fetchval(self._take, *self._key, self._holder, LEASE_S)
        if term is None:
            self._until = float("-inf")
            return False
        self.term = term
        self._until = started + _TRUST_S
        return True

    async def release(self) -> None:
        self._until = float("-inf")
        await self._db.execute(self._give, *self._key, self._holder)
