"""Phase 2: follow blocks, store what they prove, move what it decides.

Cost grows with blocks, not with payments: one log query per block confirms all that is in it.
"""

import time
from collections.abc import Sequence
from typing import Any

import structlog

from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.domain.evidence import AuthorizationCanceled, ChainEvent, Minted
from onsettle.domain.outcome import pays, uses
from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.blocks import (
    Fork,
    RangeReader,
    block_at,
    headers_after,
    logs_of_blocks,
)
from onsettle.engine.fulfilment import fulfil, write_landed
from onsettle.engine.lease import Lease
from onsettle.engine.lookup import Block, at_block
from onsettle.engine.loop import Loop
from onsettle.engine.network import Network, number
from onsettle.engine.resolver import Resolver
from onsettle.engine.rhythm import Rhythm
from onsettle.engine.settings import SettingsReader
from onsettle.store.database import Connection, Database, LostLease, changed, sql

log = structlog.get_logger()

# Blocks that are read one by one between two commits.
_STRIDE = 50
# So near the head every block is known by its hash, and state can be read from any node.
_TAIL = 64
_KEEP_BLOCKS = 1024
# Between two looks at what blocks alone do not tell.
_STAND_S = 0.5


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
        self._resolver = Resolver(db, network)
        self._rhythm = Rhythm()
        self._range = RangeReader()
        self._stood_at = float("-inf")
        self._finalized_number = -1
        self._advanced: list[Loop] = []

    def wakes(self, loops: Sequence[Loop]) -> None:
        """These loops are told at once when a block was taken in."""
        self._advanced = list(loops)

    async def leave(self) -> None:
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
        cursor = await self._cursor(dict(row), head)
        if cursor.number < head.number:
            try:
                if not await self._catch_up(endpoint, cursor, head, settings):
                    await self._advance(endpoint, cursor, head, settings)
                    self._range.widen()
            except Fork:
                await self._rewind(endpoint)
                return 0.0
            for loop in self._advanced:
                loop.wake.set()
            self._rhythm.arrived(head.number - cursor.number, time.monotonic())
            self._stood_at = float("-inf")
            return 0.0
        if cursor.hash != head.hash:
            if cursor.number == head.number:
                await self._rewind(endpoint)
            return 0.2
        if time.monotonic() - self._stood_at > _STAND_S:
            await self._stand(settings, head)
            await self._resolver.resolve(endpoint, head, settings)
            self._stood_at = time.monotonic()
        return self._rhythm.pause(
            time.monotonic(), settings.payment_confirmation_interval_ms / 1000
        )

    async def _cursor(self, row: dict[str, Any], head: Block) -> Block:
        if row["cursor_number"] is not None:
            return Block(
                number=row["cursor_number"], hash=row["cursor_hash"], time=row["cursor_time"]
            )
        # A new database starts at the head: older uses are found by look-up.
        async with self._db.transaction() as connection:
            await self._commit_blocks(connection, [(head, "")], None, at_head=False)
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
        if last - cursor.number <= _STRIDE:
            return False
        read = await self._range.read(endpoint, self._contracts, cursor, last)
        if read is None:
            return True
        async with self._db.transaction() as connection:
            await self._commit_blocks(connection, [(read.last, "")], cursor, at_head=False)
            completed = 0
            for block, events in read.blocks:
                completed += await self._record(connection, block, events, head, settings)
        log.info("caught_up", block=last, of=head.number, payments=completed)
        return True

    async def _advance(
        self, endpoint: Endpoint, cursor: Block, head: Block, settings: RuntimeSettings
    ) -> None:
        last = min(head.number, cursor.number + _STRIDE)
        chain, base_fee = await headers_after(endpoint, cursor, last)
        if awaited := await self._db.fetchval("payments_awaited", self._chain):
            log.debug("checking", pending=awaited)
        events = await logs_of_blocks(endpoint, self._contracts, [block for block, _ in chain])
        # Old state is kept by archive nodes only: counts are read where the head is near.
        near = head.number - last <= _TAIL
        counts = await self._counts(endpoint, chain[-1][0]) if near else {}
        async with self._db.transaction() as connection:
            await self._commit_blocks(
                connection,
                chain,
                cursor,
                at_head=last == head.number,
                base_fee=base_fee,
            )
            completed = 0
            for block, _ in chain:
                completed += await self._record(
                    connection, block, events.get(block.hash, []), head, settings
                )
            completed += await self._deepen(connection, head, settings)
            await connection.execute(
                sql("wallets_mined"), self._chain, list(counts), list(counts.values())
            )
        if completed:
            log.info("confirmed", payments=completed, block=last)

    async def _counts(self, endpoint: Endpoint, block: Block) -> dict[str, int]:
        rows = await self._db.fetch("wallets_list", self._chain)
        wallets = [row["address"] for row in rows]
        answers = await endpoint.batch(
            [Call("eth_getTransactionCount", (w, at_block(block))) for w in wallets]
        )
        return {w: number(a) for w, a in zip(wallets, answers, strict=True)}

    async def _commit_blocks(
        self,
        connection: Connection,
        chain: Sequence[tuple[Block, str]],
        cursor: Block | None,
        *,
        at_head: bool,
        base_fee: int = 0,
    ) -> None:
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
            at_head,
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

    async def _record(
        self,
        connection: Connection,
        block: Block,
        events: Sequence[ChainEvent],
        head: Block,
        settings: RuntimeSettings,
    ) -> int:
        """Write what one block proves; the number of payments it completed."""
        deep = head.number - block.number + 1 >= settings.payment_confirmations
        found = uses(events)
        cancelled = [e for e in events if isinstance(e, AuthorizationCanceled)]
        marks = [u.event for u in found] + cancelled
        if marks:
            rows = await connection.fetch(
                sql("landed_candidates"),
                self._chain,
                [e.address for e in marks],
                [e.payer for e in marks],
                [e.nonce for e in marks],
            )
            by_identity = {
                (r["payment_token_address"], r["payer"], r["authorization_nonce"]): r for r in rows
            }
            landed, odd = (
                [],
                [
                    by_identity[k]["id"]
                    for e in cancelled
                    if (k := (e.address, e.payer, e.nonce)) in by_identity
                ],
            )
            for use in found:
                row = by_identity.get((use.event.address, use.event.payer, use.event.nonce))
                if row is None:
                    continue
                if pays(use, pay_to=row["pay_to"], amount=int(row["amount"])):
                    landed.append((row["id"], use.event.tx_hash, use.event.log_index))
                else:
                    odd.append(row["id"])
            if odd:
                await connection.execute(sql("payments_need_lookup"), odd)
            completed = await write_landed(connection, block, landed, deep=deep)
        else:
            completed = 0
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
        await self._db.execute("cursor_looked", self._chain, self.lease.term, True, final)
        await self._db.execute("payments_final", self._chain, final)
        async with self._db.transaction() as connection:
            await self._deepen(connection, head, settings)
        await self._db.execute(
            "payments_timed_out", self._chain, settings.payment_confirmation_timeout_ms / 1000
        )

    async def _finalized(self, settings: RuntimeSettings, head: Block) -> int:
        if settings.finality_blocks:
            return head.number - settings.finality_blocks
        try:
            return (await block_at(self._network.pool.best(), "finalized")).number
        except (RpcError, RpcUnavailable):
            # A chain without the tag: nothing becomes final until finality_blocks is set.
            return -1

    async def _rewind(self, endpoint: Endpoint) -> None:
        """A reorg: find the newest block that stands, withdraw the evidence above it."""
        known = await self._db.fetch("blocks_recent", self._chain, _KEEP_BLOCKS)
        stands: Block | None = None
        for at in range(0, len(known), 20):
            rows = known[at : at + 20]
            answers = await endpoint.batch(
                [Call("eth_getBlockByNumber", (hex(r["number"]), False)) for r in rows]
            )
            for row, answer in zip(rows, answers, strict=True):
                if isinstance(answer, Exception):
                    raise answer
                if isinstance(answer, dict) and answer.get("hash") == row["hash"]:
                    stands = Block(number=row["number"], hash=row["hash"], time=row["time"])
                    break
            if stands is not None:
                break
        if stands is None:
            log.error("reorg_too_deep", network=self._network.config.name, blocks=len(known))
            raise RpcUnavailable(endpoint.name, "no known block is on this node's chain")
        if known and stands.number == known[0]["number"]:
            return
        try:
            counts = await self._counts(endpoint, stands)
        except RpcError:
            # Far below the head a node may have no state: counts are read again near the head.
            counts = {}
        async with self._db.transaction() as connection:
            tag = await connection.execute(
                sql("cursor_advance"),
                self._chain,
                self.lease.term,
                known[0]["hash"],
                stands.number,
                stands.hash,
                stands.time,
                0,
                False,
                None,
            )
            if changed(tag) != 1 or not self.lease.held:
                raise LostLease(self.name)
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
            dropped=known[0]["number"] - stands.number,
        )
