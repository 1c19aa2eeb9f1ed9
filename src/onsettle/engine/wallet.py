"""A wallet's loop: when to send, with which nonces and fees, and keeping its transactions moving.

What a node answers never gives a nonce to something else.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from onsettle.chain.answers import SendKind
from onsettle.chain.jsonrpc import Call
from onsettle.chain.signer import Signer
from onsettle.domain.fees import Fees, bump, suggest, wei
from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.alarms import raise_alarm
from onsettle.engine.gasmoney import TIP, GasMoney, tip_of
from onsettle.engine.lease import Lease
from onsettle.engine.loop import Loop
from onsettle.engine.network import Network, number
from onsettle.engine.outgoing import Outgoing
from onsettle.engine.settings import SettingsReader
from onsettle.engine.unit import Feed, View
from onsettle.store.database import Database, LostLease, Record

log = structlog.get_logger()

_POLL_S = 0.25
_MOVE_S = 1.0
# What tip the node asks for is asked no more often.
_TIP_S = 10.0
_RESEND_AT_ONCE = 500
_MOST_GAPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What the database says about this wallet at the start of a tick."""

    next_nonce: int | None
    live: int
    paused: bool
    #: The confirmer stands at the head: nothing is signed before that.
    following: bool
    cursor: int
    #: Of the newest block; None or 0 where it is not known.
    base_fee: int | None


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
        self._address = signer.address
        self._feed = feed
        self._settings = settings
        self._key = (network.chain_id, signer.address)
        self.lease = Lease(db, "wallet_lease", "wallet_release", *self._key, holder=worker)
        self.out = Outgoing(db, network, signer, feed, self.lease, worker)
        self.wanted = True
        self._told: list[Loop] = []
        self._moved_at = float("-inf")
        self._flying: asyncio.Task[None] | None = None
        self._foreign: bool | None = None
        self._gas = GasMoney(db, network, signer.address)
        #: Since which block, and when, the lowest unmined attempt has been the lowest.
        self._lowest: tuple[str, int, float] = ("", 0, 0.0)
        #: The tip that the node asks for, and when it was asked.
        self._tip = 0
        self._tip_at = float("-inf")

    def tells(self, loops: Sequence[Loop]) -> None:
        """These loops are told at once when bytes went out."""
        self._told = list(loops)

    @property
    def address(self) -> str:
        return self._address

    @property
    def kind(self) -> str:
        return self._feed.kind

    @property
    def chain_id(self) -> int:
        return self._network.chain_id

    async def leave(self) -> None:
        try:
            await self._landed_out()
        finally:
            await self.lease.release()

    async def tick(self) -> float:
        if not self.wanted:
            if self.lease.held:
                await self.leave()
            return _POLL_S
        if not await self.lease.hold():
            return _POLL_S
        settings = await self._settings.get()
        book = await self._read_book()
        take = 0 if self._gas.rests else await self._take(settings, book)
        moving = book.live > 0 and time.monotonic() - self._moved_at > _MOVE_S
        if not book.following or not (take or moving):
            await self._gas.look(book.live, book.base_fee, settings)
            return _POLL_S
        view = await self._look(book)
        if view.behind:
            return _POLL_S
        if moving:
            self._moved_at = time.monotonic()
            await self._keep_moving(view, settings)
        if take and await self._nonces_known(view, book):
            return 0.0 if await self._send(view, book, take, settings) else _POLL_S
        return _POLL_S

    async def _read_book(self) -> Book:
        row = await self._db.fetchrow("wallet_book", *self._key)
        if row is None:
            raise LostLease(f"{self._address} is not a wallet of this database")
        return Book(
            next_nonce=row["next_nonce"],
            live=row["live"],
            paused=row["paused"],
            following=row["following"],
            cursor=row["cursor_number"] or 0,
            base_fee=None if row["base_fee"] is None else int(row["base_fee"]),
        )

    async def _take(self, settings: RuntimeSettings, book: Book) -> int:
        """How many items to send now: a full batch, or what has waited long enough."""
        if self._feed.paused(settings) or book.paused:
            return 0
        room = max(0, settings.wallet_max_in_flight - book.live)
        if not room or (settings.payment_mode == "sync" and book.live):
            return 0
        waiting, oldest_s = await self._feed.waiting(settings)
        size, interval_s = self._feed.limits(settings)
        if not waiting or (book.live and waiting < size and oldest_s < interval_s):
            return 0
        return min(self._feed.per_commit(settings), room * self._feed.per_transaction(settings))

    async def _look(self, book: Book) -> View:
        """The chain from one endpoint, now: others may use this key too."""
        endpoint = self._network.pool.best()
        calls = [
            Call("eth_getBlockByNumber", ("latest", False)),
            Call("eth_getTransactionCount", (self._address, "latest")),
            Call("eth_getTransactionCount", (self._address, "pending")),
            Call("eth_getBalance", (self._address, "latest")),
            Call("eth_gasPrice", ()),
        ]
        if time.monotonic() - self._tip_at > _TIP_S:
            calls.append(TIP)
        answers = await endpoint.batch(calls)
        if len(answers) > 5:
            self._tip, self._tip_at = tip_of(answers[5]), time.monotonic()
        block = answers[0]
        if not isinstance(block, dict):
            number(block)
            block = {}
        base = block.get("baseFeePerGas")
        height = number(block.get("number"))
        return View(
            endpoint=endpoint,
            number=height,
            hash=str(block.get("hash")),
            time=number(block.get("timestamp")),
            base_fee=None if base is None else number(base),
            gas_limit=number(block.get("gasLimit")),
            latest=number(answers[1]),
            pending=number(answers[2]),
            balance=number(answers[3]),
            gas_price=number(answers[4]),
            behind=height < book.cursor,
        )

    async def _nonces_known(self, view: View, book: Book) -> bool:
        """Raise next_nonce to the chain's count; wait while something foreign is pending."""
        if book.next_nonce is None or book.next_nonce < view.latest:
            await self._db.execute("wallet_nonce", *self._key, self.lease.term, view.latest)
        foreign = view.pending > max(book.next_nonce or 0, view.latest)
        if foreign and not self._foreign:
            await raise_alarm(
                self._db,
                "foreign_pending",
                self._address,
                f"{self._address} has transactions in the pool that are not ours:"
                " nothing is signed until they are mined; use this key here only",
            )
        if not foreign and self._foreign is not False:
            await self._db.execute("alarm_clear", "foreign_pending", self._address)
        self._foreign = foreign
        return not foreign

    def _fees(self, view: View, settings: RuntimeSettings) -> Fees:
        cap = wei(settings.max_fee_gwei)
        if view.base_fee is None:
            price = min(view.gas_price, cap)
            return Fees(max_fee=price, priority=price)
        tip = max(wei(settings.priority_fee_gwei), self._tip)
        return suggest(base_fee=view.base_fee, priority=tip, cap=cap)

    async def _send(self, view: View, book: Book, take: int, settings: RuntimeSettings) -> bool:
        fees = self._fees(view, settings)
        units = await self._feed.units(view, self._address, take, settings)
        # What goes alone is a transaction each: more of them may be ready than there is room for.
        fitting = units[: max(0, settings.wallet_max_in_flight - book.live)]
        try:
            covered = await self._gas.afford(view, book.live, fitting, fees)
            signed = await self.out.sign(covered, fees, view) if covered else []
        finally:
            self._feed.give_back(units)
        if not signed:
            return False
        # The next batch is prepared while this one goes out; they go out in order.
        await self._landed_out()
        self._flying = asyncio.create_task(self._fly([(s.raw, s.hash) for s in signed]))
        return True

    async def _fly(self, attempts: Sequence[tuple[bytes, str]]) -> None:
        await self.out.broadcast(attempts)
        for loop in self._told:
            loop.wake.set()

    async def _landed_out(self) -> None:
        """Wait for the broadcast under way. Its fault is ours: the bytes are offered again."""
        if self._flying is not None:
            flying, self._flying = self._flying, None
            await flying

    async def _keep_moving(self, view: View, settings: RuntimeSettings) -> None:
        """Resend the same bytes, pay more, or free a nonce on which nothing can succeed."""
        await self._landed_out()
        due = await self._db.fetch(
            "transactions_due",
            *self._key,
            view.latest,
            settings.fee_bump_after_ms / 1000,
            _RESEND_AT_ONCE,
        )
        await self.out.broadcast([(bytes(r["raw"]), r["hash"]) for r in due], again=True)
        lowest = await self._db.fetchrow("transaction_lowest", *self._key, view.latest)
        if lowest is None:
            return
        if lowest["nonce"] > view.latest:
            await self._close_gap(view, lowest["nonce"], settings)
        else:
            await self._move_lowest(view, lowest, settings)

    async def _move_lowest(self, view: View, row: Record, settings: RuntimeSettings) -> None:
        """Only the lowest unmined nonce is ever paid more for: the others wait for it."""
        if self._lowest[0] != row["hash"]:
            self._lowest = (row["hash"], view.number, time.monotonic())
        patience_s = settings.fee_bump_after_ms / 1000
        out_of_reach = view.base_fee is not None and int(row["max_fee"]) < view.base_fee
        # A chain that makes blocks on demand makes none for what is priced out.
        idle = out_of_reach and time.monotonic() - self._lowest[2] > patience_s
        if view.number < self._lowest[1] + 2 and not idle:
            return
        refused = row["answer"] == SendKind.REJECTED and row["sent_at"] is None
        dead = not row["noop"] and (refused or await self._feed.settled(_items(row), view.time))
        old_s = time.time() - row["signed_at"].timestamp()
        cheap = row["answer"] == SendKind.UNDERPRICED
        if not dead and not cheap and old_s < patience_s:
            # Blocks pass and it is not in them: a node may have dropped it.
            if time.time() - row["tried_at"].timestamp() > 2 * _MOVE_S:
                await self.out.broadcast([(bytes(row["raw"]), row["hash"])], again=True)
            return
        fees = bump(
            last=Fees(max_fee=int(row["max_fee"]), priority=int(row["priority_fee"])),
            suggestion=self._fees(view, settings),
            cap=wei(settings.max_fee_gwei),
        )
        if fees is not None:
            await self.out.replace(row, fees, noop=dead or row["noop"])

    async def _close_gap(self, view: View, until: int, settings: RuntimeSettings) -> None:
        """Nonces below ours that the chain misses and nobody carries get a no-op."""
        low = view.latest
        rows = await self._db.fetch("nonces_known", *self._key, low, until)
        missing = sorted(set(range(low, until)) - {row["nonce"] for row in rows})[:_MOST_GAPS]
        if missing and view.pending <= low:
            await self.out.fill(missing, self._fees(view, settings), view)


def _items(row: Record) -> list[UUID]:
    return [*row["payment_ids"], *row["mint_ids"]]
