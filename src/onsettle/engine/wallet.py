"""A wallet's loop: nonces, signing, broadcasting, and keeping its transactions moving.

Commit before broadcast: bytes reach a node only after their row is committed. What a node answers
never gives a nonce to something else.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import structlog

from onsettle.chain.answers import SendKind
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call
from onsettle.chain.signer import Signer
from onsettle.chain.transaction import SignedTransaction, UnsignedTransaction, decode_transaction
from onsettle.domain.fees import Fees, bump, suggest, wei
from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.lease import Lease
from onsettle.engine.loop import Loop
from onsettle.engine.network import Network, number
from onsettle.engine.settings import SettingsReader
from onsettle.store.database import Connection, Database, LostLease, Record, changed, sql

log = structlog.get_logger()

_POLL_S = 0.25
_NOOP_GAS = 21_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What one transaction will do, simulated and ready to be signed."""

    to: str
    data: bytes
    gas_limit: int
    payment_ids: tuple[UUID, ...] = ()
    mint_ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The chain as one endpoint shows it to this wallet."""

    endpoint: Endpoint
    number: int
    time: int
    base_fee: int | None
    gas_price: int
    latest: int
    pending: int
    balance: int


class Feed(Protocol):
    """Where a wallet's work comes from: payments or mints."""

    kind: str

    async def waiting(self, settings: RuntimeSettings) -> tuple[int, float]:
        """How many wait (capped at a batch), and the age of the oldest in seconds."""
        ...

    def limits(self, settings: RuntimeSettings) -> tuple[int, float]:
        """The batch size, and the longest wait for company in seconds."""
        ...

    def paused(self, settings: RuntimeSettings, /) -> bool: ...

    async def units(self, view: View, address: str, count: int) -> list[Unit]: ...

    async def lock(self, connection: Connection, units: Sequence[Unit]) -> set[UUID]: ...

    async def signed(
        self, connection: Connection, rows: Sequence[tuple[UUID, int, str]]
    ) -> int: ...

    async def settled(self, ids: Sequence[UUID], now: int, /) -> bool:
        """No item of a transaction can succeed any more."""
        ...


class WalletLoop(Loop):
    """One wallet. It acts only while it holds the wallet's lease."""

    def __init__(
        self,
        db: Database,
        network: Network,
        signer: Signer,
        feed: Feed,
        settings: SettingsReader,
        worker: str,
    ) -> None:
        super().__init__(f"{feed.kind} wallet {signer.address}")
        self._db = db
        self._network = network
        self._signer = signer
        self._feed = feed
        self._settings = settings
        self._worker = worker
        self._key = (network.chain_id, signer.address)
        self.lease = Lease(db, "wallet_lease", "wallet_release", *self._key, holder=worker)
        self.wanted = True
        self._seen_at: dict[str, int] = {}

    @property
    def address(self) -> str:
        return self._signer.address

    @property
    def kind(self) -> str:
        return self._feed.kind

    @property
    def chain_id(self) -> int:
        return self._network.chain_id

    async def leave(self) -> None:
        await self.lease.release()

    async def tick(self) -> float:
        if not self.wanted:
            if self.lease.held:
                await self.lease.release()
            return _POLL_S
        if not await self.lease.hold():
            return _POLL_S
        settings = await self._settings.get()
        unmined = await self._db.fetch("transactions_unmined", *self._key, 20_000)
        waiting, oldest_s = await self._feed.waiting(settings)
        take = self._take(settings, len(unmined), waiting, oldest_s)
        if not unmined and not take:
            return _POLL_S
        if not await self._at_head():
            return _POLL_S
        view = await self._look()
        await self._keep_moving(view, unmined, settings)
        sent = (
            take
            and await self._nonces_known(view, unmined)
            and await self._send(view, unmined, take, settings)
        )
        return 0.0 if sent else _POLL_S

    def _take(
        self, settings: RuntimeSettings, in_flight: int, waiting: int, oldest_s: float
    ) -> int:
        """How many to send now: a full batch, or what has waited long enough."""
        size, interval_s = self._feed.limits(settings)
        room = max(0, settings.wallet_max_in_flight - in_flight)
        if self._feed.paused(settings) or not waiting:
            return 0
        if settings.payment_mode == "sync" and in_flight:
            return 0
        if in_flight and waiting < size and oldest_s < interval_s:
            return 0
        return min(room, size)

    async def _at_head(self) -> bool:
        """No wallet signs before the confirmer has reached the head."""
        row = await self._db.fetchrow("network_get", self._network.chain_id)
        return row is not None and row["following_since"] is not None

    async def _look(self) -> View:
        endpoint = self._network.pool.best()
        address = self._signer.address
        answers = await endpoint.batch(
            [
                Call("eth_getBlockByNumber", ("latest", False)),
                Call("eth_getTransactionCount", (address, "latest")),
                Call("eth_getTransactionCount", (address, "pending")),
                Call("eth_getBalance", (address, "latest")),
                Call("eth_gasPrice", ()),
            ]
        )
        block = answers[0]
        if not isinstance(block, dict):
            number(block)
            block = {}
        base = block.get("baseFeePerGas")
        return View(
            endpoint=endpoint,
            number=number(block.get("number")),
            time=number(block.get("timestamp")),
            base_fee=None if base is None else number(base),
            latest=number(answers[1]),
            pending=number(answers[2]),
            balance=number(answers[3]),
            gas_price=number(answers[4]),
        )

    async def _nonces_known(self, view: View, unmined: Sequence[Record]) -> bool:
        """Raise next_nonce to the chain's count; wait while something foreign is pending."""
        await self._db.execute("wallet_nonce", *self._key, self.lease.term, view.latest)
        top = max((row["nonce"] + 1 for row in unmined), default=view.latest)
        if view.pending > max(top, view.latest):
            await self._db.execute(
                "alarm_raise",
                "foreign_pending",
                self._signer.address,
                f"{self._signer.address} has transactions in the pool that are not ours:"
                " nothing is signed until they are mined; use this key here only",
            )
            return False
        await self._db.execute("alarm_clear", "foreign_pending", self._signer.address)
        return True

    def _fees(self, view: View, settings: RuntimeSettings) -> Fees:
        cap = wei(settings.max_fee_gwei)
        if view.base_fee is None:
            price = min(view.gas_price, cap)
            return Fees(max_fee=price, priority=price)
        return suggest(base_fee=view.base_fee, priority=wei(settings.priority_fee_gwei), cap=cap)

    async def _send(
        self, view: View, unmined: Sequence[Record], take: int, settings: RuntimeSettings
    ) -> bool:
        units = await self._feed.units(view, self._signer.address, take)
        fees = self._fees(view, settings)
        units = await self._afford(view, unmined, units, fees)
        if not units:
            return False
        signed = await self._commit(units, fees, view)
        await self._broadcast([(s.raw, s.hash) for s in signed])
        return bool(signed)

    async def _afford(
        self, view: View, unmined: Sequence[Record], units: list[Unit], fees: Fees
    ) -> list[Unit]:
        """As many as the wallet's gas money covers beside what is already in flight."""
        purse = view.balance - sum(int(r["max_fee"]) * r["gas_limit"] for r in unmined)
        covered = []
        for unit in units:
            purse -= unit.gas_limit * fees.max_fee
            if purse < 0:
                break
            covered.append(unit)
        needs = None
        note = None
        if len(covered) < len(units):
            needs = view.balance - purse
            note = f"needs at least {needs} wei for gas, has {view.balance}"
            log.warning("wallet_dry", wallet=self._signer.address, needs_wei=needs)
        await self._db.execute("wallet_purse", *self._key, view.balance, needs, note)
        return covered

    async def _commit(
        self, units: Sequence[Unit], fees: Fees, view: View
    ) -> list[SignedTransaction]:
        """In one commit: re-check, take nonces, sign, store. Nothing is broadcast in here."""
        async with self._db.transaction() as connection:
            wallet = await connection.fetchrow(
                sql("wallet_lock"), *self._key, self.lease.term, self._worker
            )
            if wallet is None or not self.lease.held:
                raise LostLease(self.name)
            if wallet["paused"]:
                return []
            free = await self._feed.lock(connection, units)
            ready = [u for u in units if free.issuperset(u.payment_ids + u.mint_ids)]
            nonce = max(wallet["next_nonce"] or 0, view.latest)
            signed = [
                self._sign(unit, nonce + at, fees, legacy=view.base_fee is None)
                for at, unit in enumerate(ready)
            ]
            if signed:
                await self._store(connection, ready, signed, nonce, fees)
        return signed

    def _sign(self, unit: Unit, nonce: int, fees: Fees, *, legacy: bool) -> SignedTransaction:
        return self._signer.sign(
            UnsignedTransaction(
                chain_id=self._network.chain_id,
                nonce=nonce,
                to=unit.to,
                value=0,
                data=unit.data,
                gas_limit=unit.gas_limit,
                max_fee=fees.max_fee,
                priority_fee=fees.priority,
                legacy=legacy,
            )
        )

    async def _store(
        self,
        connection: Connection,
        units: Sequence[Unit],
        signed: Sequence[SignedTransaction],
        nonce: int,
        fees: Fees,
    ) -> None:
        count = len(units)
        rows = await connection.fetch(
            sql("transactions_insert"),
            *self._key,
            list(range(nonce, nonce + count)),
            [self._feed.kind if u.payment_ids or u.mint_ids else "noop" for u in units],
            [",".join(map(str, u.payment_ids)) for u in units],
            [",".join(map(str, u.mint_ids)) for u in units],
        )
        ids = {row["nonce"]: row["id"] for row in rows}
        await connection.execute(
            sql("attempts_insert"),
            [s.hash for s in signed],
            [ids[nonce + at] for at in range(count)],
            [not (u.payment_ids or u.mint_ids) for u in units],
            [s.raw for s in signed],
            [fees.max_fee] * count,
            [fees.priority] * count,
            [u.gas_limit for u in units],
        )
        items = [
            (item, ids[nonce + at], signed[at].hash)
            for at, unit in enumerate(units)
            for item in unit.payment_ids + unit.mint_ids
        ]
        if await self._feed.signed(connection, items) != len(items):
            raise LostLease(f"{self.name}: rows moved while they were locked")
        tag = await connection.execute(
            sql("wallet_took"), *self._key, self.lease.term, nonce + count
        )
        if changed(tag) != 1:
            raise LostLease(self.name)

    async def _broadcast(self, attempts: Sequence[tuple[bytes, str]]) -> None:
        if not attempts:
            return
        answers = await self._network.pool.broadcast([raw for raw, _ in attempts])
        hashes = [hash_ for _, hash_ in attempts]
        await self._db.execute(
            "attempts_answered",
            hashes,
            [a.kind.value for a in answers],
            [a.text[:500] for a in answers],
            [a.kind.has_bytes for a in answers],
        )
        taken = [h for h, a in zip(hashes, answers, strict=True) if a.kind.has_bytes]
        if taken:
            await self._db.execute("payments_sent", taken)
        for hash_, answer in zip(hashes, answers, strict=True):
            if not answer.kind.has_bytes:
                log.warning("broadcast", tx=hash_, answer=answer.kind.value, text=answer.text[:200])
        if taken:
            log.info("batch_sent", wallet=self._signer.address, sent=len(taken), of=len(hashes))

    async def _keep_moving(
        self, view: View, unmined: Sequence[Record], settings: RuntimeSettings
    ) -> None:
        """Resend the same bytes, pay more, or free a nonce on which nothing can succeed."""
        waiting = [row for row in unmined if row["nonce"] >= view.latest]
        await self._close_gap(view, waiting, settings)
        again = [
            (bytes(row["raw"]), row["hash"])
            for row in waiting
            if _due(row, settings.fee_bump_after_ms / 1000)
        ]
        await self._broadcast(again)
        if waiting and waiting[0]["nonce"] == view.latest:
            await self._move_lowest(view, waiting[0], settings)

    async def _move_lowest(self, view: View, row: Record, settings: RuntimeSettings) -> None:
        first_seen = self._seen_at.setdefault(row["hash"], view.number)
        if len(self._seen_at) > 1000:
            self._seen_at = {row["hash"]: first_seen}
        if view.number < first_seen + 2:
            return
        items = list(row["payment_ids"]) + list(row["mint_ids"])
        dead = not row["noop"] and await self._feed.settled(items, view.time)
        old = time.time() - row["signed_at"].timestamp() > settings.fee_bump_after_ms / 1000
        if not dead and not old:
            return
        last = Fees(max_fee=int(row["max_fee"]), priority=int(row["priority_fee"]))
        fees = bump(
            last=last, suggestion=self._fees(view, settings), cap=wei(settings.max_fee_gwei)
        )
        if fees is not None:
            await self._replace(row, fees, noop=dead or row["noop"])

    async def _replace(self, row: Record, fees: Fees, *, noop: bool) -> None:
        """A new attempt on the same nonce, committed and then broadcast."""
        old = decode_transaction(bytes(row["raw"]))
        signed = self._signer.sign(
            UnsignedTransaction(
                chain_id=old.chain_id,
                nonce=old.nonce,
                to=self._signer.address if noop else old.to,
                value=0,
                data=b"" if noop else old.data,
                gas_limit=_NOOP_GAS if noop else old.gas_limit,
                max_fee=fees.max_fee,
                priority_fee=fees.priority,
                legacy=old.legacy,
            )
        )
        async with self._db.transaction() as connection:
            wallet = await connection.fetchrow(
                sql("wallet_lock"), *self._key, self.lease.term, self._worker
            )
            if wallet is None or not self.lease.held:
                raise LostLease(self.name)
            await connection.execute(
                sql("attempts_insert"),
                [signed.hash],
                [row["id"]],
                [noop],
                [signed.raw],
                [fees.max_fee],
                [fees.priority],
                [_NOOP_GAS if noop else old.gas_limit],
            )
        log.info("replaced", nonce=old.nonce, tx=signed.hash, noop=noop)
        await self._broadcast([(signed.raw, signed.hash)])

    async def _close_gap(
        self, view: View, waiting: Sequence[Record], settings: RuntimeSettings
    ) -> None:
        """Nonces below ours that the chain misses and nobody carries get a no-op."""
        if not waiting or waiting[0]["nonce"] == view.latest:
            return
        low, high = view.latest, waiting[0]["nonce"]
        rows = await self._db.fetch("nonces_known", *self._key, low, high)
        missing = sorted(set(range(low, high)) - {row["nonce"] for row in rows})[:100]
        if not missing or view.pending > low:
            return
        fees = self._fees(view, settings)
        noop = Unit(to=self._signer.address, data=b"", gas_limit=_NOOP_GAS)
        signed = [self._sign(noop, n, fees, legacy=view.base_fee is None) for n in missing]
        async with self._db.transaction() as connection:
            wallet = await connection.fetchrow(
                sql("wallet_lock"), *self._key, self.lease.term, self._worker
            )
            if wallet is None or not self.lease.held:
                raise LostLease(self.name)
            inserted = await connection.fetch(
                sql("transactions_insert"),
                *self._key,
                missing,
                ["noop"] * len(missing),
                [""] * len(missing),
                [""] * len(missing),
            )
            ids = {row["nonce"]: row["id"] for row in inserted}
            await connection.execute(
                sql("attempts_insert"),
                [s.hash for s in signed],
                [ids[n] for n in missing],
                [True] * len(missing),
                [s.raw for s in signed],
                [fees.max_fee] * len(missing),
                [fees.priority] * len(missing),
                [_NOOP_GAS] * len(missing),
            )
        log.warning("nonce_gap_closed", wallet=self._signer.address, nonces=missing)
        await self._broadcast([(s.raw, s.hash) for s in signed])


def _due(row: Mapping[str, Any] | Record, after_s: float) -> bool:
    """Whether the same bytes should be offered again now."""
    if row["tried_at"] is None:
        return True
    since = time.time() - row["tried_at"].timestamp()
    if row["sent_at"] is None or row["answer"] == SendKind.UNKNOWN:
        return bool(since > min(0.5 * 2 ** min(row["tries"], 5), 10))
    return bool(since > after_s)
