"""Phase 2: follow blocks, store what they prove, move what it decides.

Cost grows with blocks, not with payments: one log query per block confirms all that is in it.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog

from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.domain.evidence import AuthorizationCanceled, AuthorizationUsed, ChainEvent, Minted
from onsettle.domain.outcome import pays, uses
from onsettle.domain.payment import Reason
from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.alarms import raise_alarm
from onsettle.engine.blocks import (
    SLOW_S,
    Fork,
    RangeReader,
    block_at,
    headers_after,
    headers_below,
    logs_of_blocks,
)
from onsettle.engine.fulfilment import fulfil, write_landed
from onsettle.engine.lease import Lease
from onsettle.engine.loop import Loop
from onsettle.engine.named import Block, read_at
from onsettle.engine.network import Network, number
from onsettle.engine.reorg import newest_standing
from onsettle.engine.resolver import Resolver
from onsettle.engine.rhythm import Rhythm
from onsettle.engine.settings import SettingsReader
from onsettle.engine.tally import Tally
from onsettle.store.database import Connection, Database, LostLease, Record, changed, sql

log = structlog.get_logger()

#: (asset, payer, authorization nonce) on one chain.
Identity = tuple[str, str, str]

# Blocks that are read one by one between two commits.
_STRIDE = 50
# So near the head every block is known by its hash, and state can be read from any node.
_TAIL = 64
_KEEP_BLOCKS = 1024
# Between two looks at what blocks alone do not tell.
_STAND_S = 0.5
# At the latest, however fast blocks come.
_LATEST_STAND_S = 1.0
# So long must a chain be without any block that we know, before we begin below them all.
_LOST_S = 60.0
# Not having looked for so long is a gap: an absence says nothing about what was in it.
_GAP_S = 15.0


class Confirmer(Loop):
    """Follows one network. One process at a time, by lease."""

    def __init__(
        self, db: Database, network: Network, settings: SettingsReader, worker: str
    ) -> None:
        super().__init__(f"confirmer {network.config.name}")
        self._db = db
        self._network = network
        self._settings = settings
        self._chain = network.chain_id
        self.lease = Lease(db, "network_lease", "network_release", self._chain, holder=worker)
        self._tally = Tally()
        self._resolver = Resolver(db, network, self._tally)
        self._rhythm = Rhythm()
        self._range = RangeReader()
        self._stood_at = float("-inf")
        #: Blocks were taken in since it last stood at the head.
        self._news = True
        self._stride = _STRIDE
        #: Since when not one block that we know is on the chain.
        self._lost_at: float | None = None
        #: A head below the cursor, and since when.
        self._low: tuple[int, float] | None = None
        self._advanced: list[Loop] = []

    def wakes(self, loops: Sequence[Loop]) -> None:
        """These loops are told at once when a block was taken in."""
        self._advanced = list(loops)

    async def leave(self) -> None:
        await self._resolver.stop()
        await self.lease.release()

    async def tick(self) -> float:
        if not await self.lease.hold():
            return 1.0
        settings = await self._settings.get()
        endpoint = self._network.pool.best()
        row = await self._db.fetchrow("network_get", self._chain)
        if row is None:
            return 1.0
        head = await block_at(endpoint, "latest")
        cursor = await self._cursor(endpoint, dict(row), head)
        try:
            return await self._follow(endpoint, cursor, head, settings)
        finally:
            self._tally.tell(head.number)

    async def _follow(
        self, endpoint: Endpoint, cursor: Block, head: Block, settings: RuntimeSettings
    ) -> float:
        if cursor.number < head.number:
            try:
                at_head = False
                if not await self._catch_up(endpoint, cursor, head, settings):
                    at_head = await self._advance(endpoint, cursor, head, settings)
                    self._range.widen()
            except Fork:
                await self._rewind(endpoint, cursor, head)
                return 0.0
            for loop in self._advanced:
                loop.wake.set()
            self._rhythm.arrived(head.number - cursor.number, time.monotonic())
            self._news = True
            # Where blocks come faster than they are read, it never stands at the newest one.
            if not at_head or time.monotonic() - self._stood_at < _LATEST_STAND_S:
                return 0.0
            cursor = head
        if cursor.hash != head.hash:
            if cursor.number == head.number or await self._shorter(head):
                await self._rewind(endpoint, cursor, head)
            return 0.2
        self._low = None
        # A short timeout has many looks in it, or it would be a gap by itself.
        often = min(_STAND_S, _gap(settings) / 4)
        if self._news or time.monotonic() - self._stood_at > often:
            await self._stand(settings, head)
            await self._resolver.resolve(endpoint, head, settings)
            self._stood_at = time.monotonic()
            self._news = False
        longest = min(settings.payment_confirmation_interval_ms / 1000, often)
        return self._rhythm.pause(time.monotonic(), longest)

    async def _cursor(self, endpoint: Endpoint, row: dict[str, Any], head: Block) -> Block:
        if row["cursor_number"] is not None:
            return Block(
                number=row["cursor_number"], hash=row["cursor_hash"], time=row["cursor_time"]
            )
        # A new database starts at the head: older uses are found by look-up. The blocks before it
        # are where a reorg finds its way back to.
        chain = await headers_below(endpoint, head, _TAIL)
        async with self._db.transaction() as connection:
            await self._commit_blocks(connection, chain, None)
        return head

    @property
    def _contracts(self) -> list[str]:
        config = self._network.config
        return [*config.assets, *(token.address for token in config.mint_tokens)]

    async def _catch_up(
        self, endpoint: Endpoint, cursor: Block, head: Block, settings: RuntimeSettings
    ) -> bool:
        """After a long absence: many blocks by one query, up to where reorgs happen.

        False where block by block is better: the head is near, or the node refuses ranges.
        """
        tail = max(_TAIL, settings.payment_confirmations)
        last = min(head.number - tail, cursor.number + self._range.width)
        if last - cursor.number <= self._stride:
            return False
        read = await self._range.read(endpoint, self._contracts, cursor, last)
        if read is None:
            return True
        await self._still_ours()
        async with self._db.transaction() as connection:
            await self._commit_blocks(connection, [(read.last, "")], cursor)
            completed = 0
            payments = await self._payments(connection, [events for _, events in read.blocks])
            for block, events in read.blocks:
                completed += await self._record(connection, block, events, payments, head, settings)
        self._tally.confirmed += completed
        log.info("caught_up", block=last, of=head.number)
        return True

    async def _advance(
        self, endpoint: Endpoint, cursor: Block, head: Block, settings: RuntimeSettings
    ) -> bool:
        """Take in the next blocks, one by one; whether that was all of them."""
        last = min(head.number, cursor.number + self._stride)
        started = time.monotonic()
        chain, base_fee = await headers_after(endpoint, cursor, last)
        if awaited := await self._db.fetchval("payments_awaited", self._chain):
            log.debug("checking", pending=awaited)
        events = await logs_of_blocks(endpoint, self._contracts, [block for block, _ in chain])
        # Old state is kept by archive nodes only: counts are read where the head is near.
        near = head.number - last <= _TAIL
        counts = await self._counts(endpoint, chain[-1][0]) if near else {}
        self._pace(time.monotonic() - started)
        await self._still_ours()
        async with self._db.transaction() as connection:
            await self._commit_blocks(
                connection,
                chain,
                cursor,
                gap_s=_gap(settings) if last == head.number else None,
                base_fee=base_fee,
            )
            completed = 0
            payments = await self._payments(connection, events.values())
            for block, _ in chain:
                completed += await self._record(
                    connection, block, events.get(block.hash, []), payments, head, settings
                )
            completed += await self._deepen(connection, head, settings)
            await connection.execute(
                sql("wallets_mined"), self._chain, list(counts), list(counts.values())
            )
        self._tally.confirmed += completed
        return last == head.number

    def _pace(self, took_s: float) -> None:
        """A slow or limited node is asked for less at a time: a lease must outlast one reading."""
        if took_s > SLOW_S:
            self._stride = max(1, self._stride // 2)
        elif took_s < SLOW_S / 4:
            self._stride = min(_STRIDE, 2 * self._stride)

    async def _still_ours(self) -> None:
        """Reading may take longer than a lease is trusted: it is renewed before what was read is
        written. Whether the cursor was moved by others meanwhile, the write itself finds out."""
        if not await self.lease.hold():
            raise LostLease(self.name)

    async def _counts(self, endpoint: Endpoint, block: Block) -> dict[str, int]:
        rows = await self._db.fetch("wallets_list", self._chain)
        wallets = [row["address"] for row in rows]
        calls = [Call("eth_getTransactionCount", (w,)) for w in wallets]
        answers = await read_at(endpoint, block, calls)
        return {w: number(a) for w, a in zip(wallets, answers, strict=True)}

    async def _commit_blocks(
        self,
        connection: Connection,
        chain: Sequence[tuple[Block, str]],
        cursor: Block | None,
        *,
        gap_s: float | None = None,
        base_fee: int = 0,
    ) -> None:
        """Move the cursor to the last of these blocks; `gap_s` where that is the head."""
        last = chain[-1][0]
        tag = await connection.execute(
            sql("cursor_advance"),
            self._chain,
            self.lease.term,
            None if cursor is None else cursor.hash,
            last.number,
            last.hash,
            last.time,
            base_fee,
            gap_s,
            None,
        )
        if changed(tag) != 1 or not self.lease.held:
            raise LostLease(self.name)
        await connection.execute(
            sql("blocks_insert"),
            self._chain,
            [b.number for b, _ in chain],
            [b.hash for b, _ in chain],
            [p for _, p in chain],
            [b.time for b, _ in chain],
        )
        if last.number % 64 == 0:
            await connection.execute(sql("blocks_trim"), self._chain, last.number - _KEEP_BLOCKS)

    async def _payments(
        self, connection: Connection, blocks: Iterable[Sequence[ChainEvent]]
    ) -> Mapping[Identity, Record]:
        """The payments that these blocks tell of, held for the rest of the commit."""
        marks = [mark for events in blocks for mark in _marks(events)]
        if not marks:
            return {}
        columns = [list(column) for column in zip(*set(marks), strict=True)]
        rows = await connection.fetch(sql("landed_candidates"), self._chain, *columns)
        return {(r["payment_token_address"], r["payer"], r["authorization_nonce"]): r for r in rows}

    async def _record(
        self,
        connection: Connection,
        block: Block,
        events: Sequence[ChainEvent],
        payments: Mapping[Identity, Record],
        head: Block,
        settings: RuntimeSettings,
    ) -> int:
        """Write what one block proves; the number of payments it completed."""
        deep = head.number - block.number + 1 >= settings.payment_confirmations
        landed = []
        odd = [
            row["id"]
            for e in events
            if isinstance(e, AuthorizationCanceled)
            and (row := payments.get((e.address, e.payer, e.nonce))) is not None
        ]
        for use in uses(events):
            row = payments.get((use.event.address, use.event.payer, use.event.nonce))
            if row is None:
                continue
            if pays(use, pay_to=row["pay_to"], amount=int(row["amount"])):
                landed.append((row["id"], use.event.tx_hash, use.event.log_index))
            else:
                odd.append(row["id"])
        if odd:
            await connection.execute(sql("payments_need_lookup"), odd)
        completed = await write_landed(connection, block, landed, deep=deep)
        await self._minted(connection, block, events, deep=deep)
        return completed

    async def _minted(
        self, connection: Connection, block: Block, events: Sequence[ChainEvent], *, deep: bool
    ) -> None:
        minted = [e for e in events if isinstance(e, Minted)]
        if not minted:
            return
        await connection.execute(
            sql("mints_landed"),
            self._chain,
            [e.key for e in minted],
            block.number,
            block.hash,
            deep,
            [e.tx_hash for e in minted],
            [e.address for e in minted],
            [e.to for e in minted],
        )
        await connection.execute(
            sql("transactions_mined"), list({e.tx_hash for e in minted}), block.number, block.hash
        )

    async def _deepen(self, connection: Connection, head: Block, settings: RuntimeSettings) -> int:
        depth = head.number - settings.payment_confirmations + 1
        rows = await connection.fetch(sql("payments_deep"), self._chain, depth)
        await fulfil(connection, [r["id"] for r in rows])
        await connection.execute(sql("mints_deep"), self._chain, depth)
        return len(rows)

    async def _stand(self, settings: RuntimeSettings, head: Block) -> None:
        """At the head: nothing new. Finality and the confirmation clock move on."""
        final = await self._finalized(settings, head)
        stands = (self._chain, self.lease.term, final, _gap(settings))
        if not await self._db.execute("cursor_looked", *stands):
            raise LostLease(self.name)
        await self._db.execute("payments_final", self._chain, final)
        async with self._db.transaction() as connection:
            deep = await self._deepen(connection, head, settings)
        self._tally.confirmed += deep
        late = await self._db.execute(
            "payments_timed_out", self._chain, settings.payment_confirmation_timeout_ms / 1000
        )
        if late:
            self._tally.failed += late
            log.warning("payments_decided", reason=Reason.TIMEOUT.value, count=late, written=late)

    async def _finalized(self, settings: RuntimeSettings, head: Block) -> int:
        if settings.finality_blocks:
            return head.number - settings.finality_blocks
        try:
            return (await block_at(self._network.pool.best(), "finalized")).number
        except (RpcError, RpcUnavailable):
            # A chain without the tag: nothing becomes final until finality_blocks is set.
            return -1

    async def _shorter(self, head: Block) -> bool:
        """A head below ours is a node that lags, or the end of a chain that replaced ours.

        It is the latter where the blocks differ, or where it does not grow for a while: then what
        we saw above it is nowhere, and a chain that makes blocks on demand would wait for us.
        """
        known = await self._db.fetchval("block_known", self._chain, head.number)
        if known is not None and known != head.hash:
            return True
        now = time.monotonic()
        if self._low is None or self._low[0] != head.number:
            self._low = (head.number, now)
        if known is None or now - self._low[1] < _LOST_S:
            return False
        name = self._network.config.name
        words = f"{name}: the chain ends at block {head.number}, below what was read of it before"
        await raise_alarm(self._db, "chain_went_back", name, words)
        return True

    async def _rewind(self, endpoint: Endpoint, cursor: Block, head: Block) -> None:
        """A reorg: find the newest block that stands, withdraw the evidence above it."""
        rows = await self._db.fetch("blocks_recent", self._chain, _KEEP_BLOCKS)
        known = [row for row in rows if row["number"] <= cursor.number]
        stands = await newest_standing(endpoint, known, head)
        if stands is None:
            stands = await self._start_again(endpoint, known, head)
        self._lost_at = None
        if stands.hash == cursor.hash:
            return
        try:
            counts = await self._counts(endpoint, stands)
        except RpcError:
            # Far below the head a node may have no state: counts are read again near the head.
            counts = {}
        async with self._db.transaction() as connection:
            await self._commit_blocks(connection, [(stands, "")], cursor)
            await connection.execute(sql("blocks_dropped"), self._chain, stands.number)
            lost = await connection.fetch(sql("payments_withdrawn"), self._chain, stands.number)
            await connection.execute(sql("mints_withdrawn"), self._chain, stands.number)
            await connection.execute(sql("transactions_withdrawn"), self._chain, stands.number)
            await connection.execute(
                sql("wallets_mined"), self._chain, list(counts), list(counts.values())
            )
        log.warning(
            "reorg",
            network=self._network.config.name,
            back_to=stands.number,
            payments=len(lost),
            dropped=cursor.number - stands.number,
        )

    async def _start_again(self, endpoint: Endpoint, known: Sequence[Record], head: Block) -> Block:
        """Not one block that we know is on this chain: below them all, after a while and aloud.

        A node that follows another branch for a moment must not make us forget what we have seen.
        """
        name = self._network.config.name
        lowest = min((row["number"] for row in known), default=head.number)
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            words = (
                f"{name}: none of the last {len(known)} blocks that were read is on the chain"
                " any more; what was seen in them is read again"
            )
            await raise_alarm(self._db, "reorg_too_deep", name, words)
        if time.monotonic() - self._lost_at < _LOST_S:
            raise RpcUnavailable(endpoint.name, "no known block is on this node's chain")
        return await block_at(endpoint, hex(max(0, min(lowest - 1, head.number))))


def _marks(events: Sequence[ChainEvent]) -> list[Identity]:
    """What is used or cancelled here: asset, payer, nonce."""
    return [
        (e.address, e.payer, e.nonce)
        for e in events
        if isinstance(e, AuthorizationUsed | AuthorizationCanceled)
    ]


def _gap(settings: RuntimeSettings) -> float:
    """How long it may not look and still have followed: never so long as the timeout itself."""
    return min(_GAP_S, settings.payment_confirmation_timeout_ms / 2000)
