"""Phase 1: which payments go next. A wallet's loop signs and broadcasts them."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from onsettle.chain.deployed import with_code
from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.candidate import Candidate, candidate
from onsettle.engine.network import Network
from onsettle.engine.packing import Gas, pack
from onsettle.engine.simulation import NotRead, Purse, simulate
from onsettle.engine.triage import Triage
from onsettle.engine.unit import Unit, View
from onsettle.store.database import Connection, Database, changed, sql

# Those with less than this left go ahead of the others.
_URGENT_S = 120
# A page of waiting payments is read for all wallets of this process; older than this, it is stale.
_FRESH_S = 3.0
_READ_AHEAD = 4
_LONGEST_PAGE = 8000
# What another worker should have picked is left to it for so long.
_COURTESY_S = 2.0
# Picked, and nothing heard of since: forgotten, so that it can be picked again.
_FORGET_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Payers are spread over the live workers, so that two do not pick the same payments."""

    index: int = 0
    workers: int = 1

    def has(self, candidate: Candidate) -> bool:
        if self.workers == 1:
            return True
        return int(candidate.authorization.payer[-8:], 16) % self.workers == self.index


class PaymentFeed:
    """Payments that wait: picked, simulated, packed. One for all payment wallets of a process."""

    kind = "payment"

    def __init__(self, db: Database, network: Network) -> None:
        self._db = db
        self._network = network
        self._gas = Gas()
        self._triage = Triage(db, network)
        self._page: deque[Candidate] = deque()
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        #: Picked and not yet signed, by any wallet of this process: since when, from whose money.
        self._out: dict[UUID, tuple[float, Purse, int]] = {}
        self.share = Share()

    def limits(self, settings: RuntimeSettings) -> tuple[int, float]:
        size = max(settings.payment_batch_size, self.per_transaction(settings))
        return size, settings.payment_batch_interval_ms / 1000

    def per_commit(self, settings: RuntimeSettings) -> int:
        return self.limits(settings)[0]

    def per_transaction(self, settings: RuntimeSettings) -> int:
        return settings.payment_pack_size if self._network.has_multicall else 1

    def paused(self, settings: RuntimeSettings) -> bool:
        return settings.payments_paused

    async def waiting(self, settings: RuntimeSettings) -> tuple[int, float]:
        size, _ = self.limits(settings)
        if len(self._page) >= size:
            return size, time.time() - self._page[0].created_at.timestamp()
        row = await self._db.fetchrow(
            "pending_stats", self._network.chain_id, size, self._triage.held_assets
        )
        if row is None or not row["count"]:
            return 0, 0.0
        return row["count"], time.time() - row["oldest"].timestamp()

    async def units(
        self, view: View, address: str, count: int, settings: RuntimeSettings
    ) -> list[Unit]:
        picked, drawn = await self._pick(view, count)
        try:
            ready = await self._passing(picked, drawn, view, address)
            used = await self._gas.of(ready, view, address)
            together = self.per_transaction(settings)
            packed = pack(self._network, ready, used, together, self._gas, view)
            await self._triage.hold(packed.unfit)
        except BaseException:
            self._forget(c.id for c in picked)
            raise
        carried = {i for unit in packed.units for i in unit.payment_ids}
        self._forget(c.id for c in picked if c.id not in carried)
        return packed.units

    def give_back(self, units: Sequence[Unit]) -> None:
        self._forget(i for unit in units for i in unit.payment_ids)

    async def lock(self, connection: Connection, units: Sequence[Unit]) -> set[UUID]:
        wanted = [i for unit in units for i in unit.payment_ids]
        return {row["id"] for row in await connection.fetch(sql("candidates_lock"), wanted)}

    async def signed(self, connection: Connection, rows: Sequence[tuple[UUID, int, str]]) -> int:
        columns = [list(column) for column in zip(*rows, strict=True)]
        return changed(await connection.execute(sql("payments_signed"), *columns))

    async def settled(self, ids: Sequence[UUID], now: int) -> bool:
        rows = await self._db.fetch("payments_by_ids", list(ids))
        return bool(rows) and all(
            r["final"] or r["block_number"] is not None or r["valid_before"] <= now for r in rows
        )

    async def _pick(self, view: View, count: int) -> tuple[list[Candidate], Counter[Purse]]:
        """Up to `count` from the shared page; no payer takes the whole batch while others wait.

        With what other wallets of this process are about to sign for: they came first, so these
        have to leave it to them. What they have signed meanwhile is in the database too, and
        counted twice: that only delays.
        """
        async with self._reading:
            now = time.monotonic()
            self._out = {i: o for i, o in self._out.items() if now - o[0] < _FORGET_S}
            if len(self._page) < count or now - self._read_at > _FRESH_S:
                await self._read(view, count)
            drawn: Counter[Purse] = Counter()
            for _, purse, value in self._out.values():
                drawn[purse] += value
            picked = self._share_out(count)
            self._out.update((c.id, (now, c.purse, c.authorization.value)) for c in picked)
            return picked, drawn

    async def _read(self, view: View, count: int) -> None:
        out = set(self._out)
        wanted = min(count * _READ_AHEAD, _LONGEST_PAGE) * self.share.workers + len(out)
        rows = await self._db.fetch(
            "candidates",
            self._network.chain_id,
            view.time + _URGENT_S,
            wanted,
            self._triage.held_assets,
        )
        out |= set(self._out)
        patience = time.time() - _COURTESY_S
        found = [candidate(row) for row in rows if row["id"] not in out]
        mine = [c for c in found if self.share.has(c)]
        if len(mine) < count:
            mine += [
                c for c in found if not self.share.has(c) and c.created_at.timestamp() < patience
            ]
        self._page = deque(mine)
        self._read_at = time.monotonic()

    def _share_out(self, count: int) -> list[Candidate]:
        payers = len({c.purse for c in self._page})
        limit = count if payers <= 1 else max(1, count // 2)
        taken: Counter[Purse] = Counter()
        picked: list[Candidate] = []
        left: list[Candidate] = []
        while self._page and len(picked) < count:
            one = self._page.popleft()
            if taken[one.purse] >= limit:
                left.append(one)
                continue
            taken[one.purse] += 1
            picked.append(one)
        self._page.extendleft(reversed(left))
        return picked

    async def _passing(
        self, picked: Sequence[Candidate], drawn: Counter[Purse], view: View, address: str
    ) -> list[Candidate]:
        candidates = await self._triage.in_time(picked, view)
        if not candidates:
            return []
        rows = await self._db.fetch(
            "in_flight_of_payers",
            self._network.chain_id,
            list({c.authorization.payer for c in candidates}),
        )
        in_flight = drawn + Counter(
            {(r["payer"], r["payment_token_address"]): int(r["amount"]) for r in rows}
        )
        try:
            trials, contracts = await asyncio.gather(
                simulate(self._network, view, address, candidates, in_flight),
                with_code(view.endpoint, list({c.authorization.payer for c in candidates})),
            )
        except NotRead as error:
            await self._triage.wait(candidates, str(error))
            return []
        # A payer with code decides by itself what its transfer does: never beside others.
        candidates = [
            replace(c, alone=True, contract=True) if c.authorization.payer in contracts else c
            for c in candidates
        ]
        pairs = list(zip(candidates, trials, strict=True))
        ready = [c for c, trial in pairs if trial.passed]
        refused = [(c, trial) for c, trial in pairs if not trial.passed]
        if refused:
            ready += await self._triage.judge(refused, {c.asset for c in ready}, view)
        return ready

    def _forget(self, ids: Iterable[UUID]) -> None:
        for each in ids:
            self._out.pop(each, None)
