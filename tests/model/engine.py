"""The loops of the engine in small: the same rows, the same conditions, the product's decisions."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from onsettle.chain.answers import SendKind, classify
from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.domain.fees import Fees, bump, suggest
from onsettle.domain.outcome import (
    Carrier,
    Fate,
    Finding,
    Move,
    carrier_of,
    decide,
    judge,
    pays,
    uses,
)
from onsettle.domain.payment import PaymentStatus, Reason, allowed
from onsettle.domain.recovery import Verdict, rule
from tests.model.chain import Authorization, Block, ModelChain, Transaction
from tests.model.outbox import CHANNELS, Listeners, Message, id_of

S = PaymentStatus
_CAP = 500
_BASE_FEE = 20


class Refused(Exception):
    """The trigger does not let a status go there."""


@dataclass(slots=True, kw_only=True)
class Payment:
    """A row of payment_queue."""

    terms: Authorization
    quantity: int
    status: PaymentStatus = S.PENDING
    final: bool = False
    reason: Reason = Reason.ACCEPTED
    carried_by: int | None = None
    rounds: int = 0
    block: int | None = None
    judged: int | None = None
    needs_lookup: bool = False
    journal: list[PaymentStatus] = field(default_factory=lambda: [S.PENDING])


@dataclass(slots=True, kw_only=True)
class Row:
    """A row of transactions with its attempts, oldest first."""

    nonce: int
    carries: tuple[str, ...]
    attempts: list[Transaction]
    state: str = "live"
    block: int | None = None
    #: What nodes said of the newest attempt.
    refused: bool = False
    acknowledged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a holder of the lease has read and is about to sign. It may be stopped in between."""

    term: int
    packs: tuple[tuple[str, ...], ...]
    #: The wallet's nonce count.
    latest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A move to `completed`, as it was made."""

    key: str
    block: int | None
    seen: int
    confirmations: int


@dataclass(slots=True, kw_only=True)
class Mint:
    payment: str
    status: str = "pending"
    block: int | None = None


@dataclass(slots=True, kw_only=True)
class Books:
    """The database. A backup is a copy of it."""

    payments: dict[str, Payment] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    mints: dict[str, Mint] = field(default_factory=dict)
    messages: dict[UUID, Message] = field(default_factory=dict)
    #: (number, hash, time) of the blocks that the confirmer took in.
    seen: list[tuple[int, str, int]] = field(default_factory=lambda: [(0, "b0", 1_000)])
    next_nonce: int = 0
    term: int = 0
    confirmations: int = 1
    finality: int = 6
    pack: int = 1
    alarms: set[tuple[str, str]] = field(default_factory=set)


class ModelEngine:
    """Each method is one tick of one loop, or one thing that somebody does to the database."""

    def __init__(self, chain: ModelChain) -> None:
        self.chain = chain
        self.books = Books()
        self.following = True
        self.completions: list[Completion] = []
        #: Payments that have been completed once, in these books or in some that a backup undid.
        self.ever_completed: set[str] = set()
        self.listeners = Listeners()
        self._hashes = 0

    # -- what the trigger holds every writer to ---------------------------------------------

    def _set(self, key: str, status: PaymentStatus, reason: Reason) -> None:
        payment = self.books.payments[key]
        if status is payment.status:
            payment.reason = reason
            return
        if payment.final or not allowed(payment.status, status):
            raise Refused(f"{key}: {payment.status} to {status}")
        if status is S.PENDING and self._live(payment):
            raise Refused(f"{key}: a live transaction carries it")
        payment.status, payment.reason = status, reason
        payment.journal.append(status)
        if status is S.COMPLETED:
            self.ever_completed.add(key)
            seen, confirmations = self.books.seen[-1][0], self.books.confirmations
            self.completions.append(
                Completion(key=key, block=payment.block, seen=seen, confirmations=confirmations)
            )

    def _live(self, payment: Payment) -> bool:
        return payment.carried_by is not None and (
            self.books.rows[payment.carried_by].state == "live"
        )

    # -- intake -----------------------------------------------------------------------------

    def submit(self, terms: Authorization, quantity: int) -> str:
        """ "new", "known", "conflict" or "expired"."""
        key = f"{terms.payer}/{terms.nonce}"
        known = self.books.payments.get(key)
        if known is not None:
            return "known" if (known.terms, known.quantity) == (terms, quantity) else "conflict"
        expired = terms.valid_before <= self.chain.head.time
        if expired and not self.chain.state(terms.identity, self.chain.head.number):
            return "expired"
        self.books.payments[key] = Payment(terms=terms, quantity=quantity, needs_lookup=expired)
        return "new"

    # -- sender -----------------------------------------------------------------------------

    def claim(self, term: int) -> Claim | None:
        """Pick and simulate, as somebody who believes to hold the lease under this term."""
        books, now = self.books, self.chain.head
        if term != books.term or not self.following:
            return None
        ready: list[str] = []
        for key, payment in books.payments.items():
            if not self._free(key):
                continue
            if now.time >= payment.terms.valid_before or self.chain.state(
                payment.terms.identity, now.number
            ):
                payment.needs_lookup = True
            elif payment.terms.payer not in self.chain.frozen:
                ready.append(key)
        packs = [tuple(ready[at : at + books.pack]) for at in range(0, len(ready), books.pack)]
        return Claim(term=term, packs=tuple(packs), latest=self.chain.count(now.number))

    def _free(self, key: str) -> bool:
        payment = self.books.payments.get(key)
        return (
            payment is not None
            and payment.status is S.PENDING
            and not payment.needs_lookup
            and not self._live(payment)
        )

    def commit(self, claim: Claim) -> list[int]:
        """In one commit under the lease's term, however late: nonces, bytes, statuses of what is
        still free."""
        if claim.term != self.books.term:
            return []
        return [
            self._sign(pack, claim.latest)
            for pack in claim.packs
            if all(self._free(key) for key in pack)
        ]

    def _sign(self, keys: tuple[str, ...], latest: int) -> int:
        books = self.books
        nonce = max(books.next_nonce, latest)
        fees = suggest(base_fee=_BASE_FEE, priority=1, cap=_CAP)
        books.rows.append(Row(nonce=nonce, carries=keys, attempts=[self._bytes(nonce, keys, fees)]))
        books.next_nonce = nonce + 1
        for key in keys:
            self._set(key, S.PROCESSING, Reason.SIGNED)
            books.payments[key].carried_by = len(books.rows) - 1
        return len(books.rows) - 1

    def _bytes(self, nonce: int, keys: Sequence[str], fees: Fees) -> Transaction:
        self._hashes += 1
        return Transaction(
            hash=f"0x{self._hashes:064x}",
            nonce=nonce,
            pays=tuple(self.books.payments[key].terms for key in keys),
            max_fee=fees.max_fee,
            priority=fees.priority,
        )

    def broadcast(self, at: int, *, taken: bool, said: str | None) -> None:
        """Offer the newest attempt. `said` None: the truth; otherwise what the node answers."""
        if at >= len(self.books.rows):
            return
        row = self.books.rows[at]
        attempt = row.attempts[-1]
        truth = self.chain.offer(attempt) if taken else "the connection broke"
        answer: object = attempt.hash if not truth else RpcError(-32000, truth)
        if not taken and said is None:
            answer = RpcUnavailable("node", truth)
        elif said is not None:
            answer = attempt.hash if said == "ok" else RpcError(-32000, said)
        kind = classify(answer, attempt.hash).kind
        row.refused = kind is SendKind.REJECTED
        row.acknowledged = row.acknowledged or kind.has_bytes
        if kind.has_bytes and row.state in ("live", "mined"):
            for key in row.carries if attempt.pays else ():
                payment = self.books.payments[key]
                if payment.status is S.PROCESSING and payment.carried_by == at:
                    self._set(key, S.SENT, Reason.BROADCAST)

    def push(self, term: int) -> None:
        """Pay more for the lowest unmined nonce, or free it where nothing on it can succeed."""
        books, count = self.books, self.chain.count(self.chain.head.number)
        if term != books.term or not self.following:
            return
        live = [r for r in books.rows if r.state == "live" and r.nonce >= count]
        lowest = min(live, key=lambda r: r.nonce, default=None)
        if lowest is None:
            return
        fees = suggest(base_fee=_BASE_FEE, priority=1, cap=_CAP)
        if lowest.nonce > count:
            missing = set(range(count, lowest.nonce)) - {r.nonce for r in books.rows}
            for nonce in missing:
                books.rows.append(
                    Row(nonce=nonce, carries=(), attempts=[self._bytes(nonce, (), fees)])
                )
            return
        last = Fees(max_fee=lowest.attempts[-1].max_fee, priority=lowest.attempts[-1].priority)
        more = bump(last=last, suggestion=fees, cap=_CAP)
        if more is not None:
            refused = lowest.refused and not lowest.acknowledged
            over = refused or all(self._settled(key) for key in lowest.carries)
            keys = () if over or not lowest.attempts[-1].pays else lowest.carries
            lowest.attempts.append(self._bytes(lowest.nonce, keys, more))
            lowest.refused = lowest.acknowledged = False

    def _settled(self, key: str) -> bool:
        payment = self.books.payments[key]
        return (
            payment.final
            or payment.block is not None
            or payment.terms.valid_before <= self.chain.head.time
        )

    # -- confirmer --------------------------------------------------------------------------

    def advance(self, blocks: int = 100, *, blind: bool = False) -> None:
        """Take in blocks, or rewind. `blind`: the node's log lists are empty."""
        books, chain = self.books, self.chain
        if not chain.holds(*books.seen[-1][:2]):
            while not chain.holds(*books.seen[-1][:2]):
                books.seen.pop()
            self._withdraw(books.seen[-1][0])
            self.following = False
            return
        for block in chain.blocks[books.seen[-1][0] + 1 :][:blocks]:
            books.seen.append((block.number, block.hash, block.time))
            if not blind:
                self._record(block)
        self._deepen()
        self.following = books.seen[-1][0] == chain.head.number

    def _withdraw(self, stands: int) -> None:
        for payment in self.books.payments.values():
            if not payment.final and payment.block is not None and payment.block > stands:
                payment.block, payment.needs_lookup = None, True
            if payment.judged is not None and payment.judged > stands:
                payment.final, payment.needs_lookup, payment.judged = False, True, None
        for row in self.books.rows:
            if row.block is not None and row.block > stands:
                row.state, row.block = "live", None
        for mint in self.books.mints.values():
            if mint.block is not None and mint.block > stands:
                mint.status, mint.block = "processing", None

    def _record(self, block: Block) -> None:
        for use in uses(block.events):
            key = f"{use.event.payer}/{use.event.nonce}"
            payment = self.books.payments.get(key)
            if payment is None or payment.final:
                continue
            if pays(use, pay_to=payment.terms.pay_to, amount=payment.terms.amount):
                self._landed(key, block.number, use.event.tx_hash)
            else:
                payment.needs_lookup = True
        for mark in block.events:
            key = f"{getattr(mark, 'payer', '')}/{getattr(mark, 'nonce', '')}"
            payment = self.books.payments.get(key)
            if payment is not None and payment.block is None and not payment.final:
                payment.needs_lookup = True
        for key in block.minted:
            if key in self.books.mints:
                self.books.mints[key].block = block.number

    def _landed(self, key: str, number: int, hash_: str) -> None:
        payment = self.books.payments[key]
        payment.block, payment.needs_lookup = number, False
        for row in self.books.rows:
            if any(a.hash == hash_ for a in row.attempts) and row.state != "mined":
                row.state, row.block = "mined", number
        self._deepen()

    def _depth(self) -> tuple[int, str, int] | None:
        at = len(self.books.seen) - self.books.confirmations
        return self.books.seen[at] if at >= 0 else None

    def _deepen(self) -> None:
        depth = self._depth()
        if depth is None:
            return
        for key, payment in self.books.payments.items():
            deep = payment.block is not None and payment.block <= depth[0]
            if deep and payment.status is not S.COMPLETED and not payment.final:
                self._set(key, S.COMPLETED, Reason.LANDED)
                for unit in range(payment.quantity):
                    self.books.mints.setdefault(f"{key}#{unit}", Mint(payment=key))
                for channel in CHANNELS:
                    message = Message(payment=key, channel=channel)
                    id_ = id_of(payment.terms.identity, channel)
                    self.books.messages.setdefault(id_, message)
        for mint in self.books.mints.values():
            if mint.block is not None and mint.block <= depth[0]:
                mint.status = "completed"

    def finalize(self) -> None:
        """What is below the finalized block can't be undone."""
        final = self.books.seen[-1][0] - self.books.finality
        for payment in self.books.payments.values():
            if payment.status is S.COMPLETED and payment.block is not None:
                payment.final = payment.final or payment.block <= final
            if payment.judged is not None and payment.judged <= final:
                payment.judged = None

    # -- resolver ---------------------------------------------------------------------------

    def resolve(self, *, blind: bool = False) -> None:
        """Negative verdicts, at a named block, at depth. `blind`: the node has no logs yet."""
        depth = self._depth()
        if not self.following or depth is None or not self.chain.holds(*self.books.seen[-1][:2]):
            return
        used = self.chain.count(self.books.seen[-1][0])
        for row in self.books.rows:
            if row.state == "live" and row.nonce < used:
                self._resolve(row, depth[0])
        for key, payment in self.books.payments.items():
            late = payment.block is None and payment.terms.valid_before <= depth[2]
            if not payment.final and (payment.needs_lookup or late):
                self._look_up(key, depth, blind=blind)

    def _resolve(self, row: Row, depth: int) -> None:
        found = [r for a in row.attempts if (r := self.chain.receipt(a.hash)) is not None]
        if found and found[0][0].number <= depth:
            row.state = "reverted" if found[0][1] else "mined"
            row.block = found[0][0].number
        elif not found and row.nonce < self.chain.count(depth):
            row.state, row.block = "replaced", depth
        else:
            return
        for key in row.carries:
            payment = self.books.payments[key]
            mine = payment.carried_by is not None and self.books.rows[payment.carried_by] is row
            if mine and payment.block is None and not payment.final:
                payment.needs_lookup = True

    def find(self, key: str, number: int, *, blind: bool = False) -> Finding:
        terms = self.books.payments[key].terms
        if not self.chain.state(terms.identity, number):
            return Finding(fate=Fate.UNUSED)
        events = [] if blind else self.chain.events(terms.identity, number)
        return judge(used=True, events=events, pay_to=terms.pay_to, amount=terms.amount)

    def carrier(self, key: str, depth: int) -> Carrier:
        payment = self.books.payments[key]
        if payment.carried_by is None:
            return Carrier.NONE
        row = self.books.rows[payment.carried_by]
        return carrier_of(
            row.state,
            alone=len(row.carries) == 1,
            shallow=row.block is not None and row.block > depth,
        )

    def _look_up(self, key: str, depth: tuple[int, str, int], *, blind: bool) -> None:
        payment = self.books.payments[key]
        finding = self.find(key, depth[0], blind=blind)
        if finding.fate is Fate.LANDED and finding.event is not None:
            self._landed(key, finding.event.block_number, finding.event.tx_hash)
            return
        move = decide(
            status=payment.status,
            fate=finding.fate,
            carrier=self.carrier(key, depth[0]),
            expired=payment.terms.valid_before <= depth[2],
            rounds=payment.rounds,
            undone=payment.reason is Reason.REVERSED,
        )
        row = None if payment.carried_by is None else self.books.rows[payment.carried_by]
        shallow = row is not None and row.block is not None and row.block > depth[0]
        payment.needs_lookup = finding.fate is Fate.UNKNOWN or shallow
        if move is not None and payment.block is None:
            self._move(key, move, depth[0])

    def _move(self, key: str, move: Move, depth: int) -> None:
        payment = self.books.payments[key]
        if move.reason in (Reason.USED_ELSEWHERE, Reason.REVERSED):
            self.books.alarms.add((move.reason, key))
        payment.needs_lookup = False
        if move.status is S.PENDING:
            payment.rounds += 1
        self._set(key, move.status or payment.status, move.reason)
        payment.final = move.final
        # Once its status says that it was undone, it may be charged again.
        payment.needs_lookup = move.reason is Reason.REVERSED and not move.final
        payment.judged = depth if move.final else None

    def time_out(self) -> None:
        """The confirmation clock of everything sent has run out."""
        for key, payment in self.books.payments.items():
            if payment.status in (S.PROCESSING, S.SENT) and payment.block is None:
                self._set(key, S.CONFIRMATION_FAILED, Reason.TIMEOUT)

    # -- mints ------------------------------------------------------------------------------

    def mint(self) -> Transaction | None:
        """A batch of the mints that may be signed now."""
        due: list[str] = []
        for key, mint in self.books.mints.items():
            payment = self.books.payments[mint.payment]
            if mint.status == "processing" and mint.block is None:
                mint.status = "pending"
            stands = payment.status is S.COMPLETED and payment.block is not None
            if mint.status == "pending" and stands and self.following:
                mint.status = "processing"
                due.append(key)
        self._hashes += 1
        return Transaction(hash=f"0x{self._hashes:064x}", mints=tuple(due)) if due else None

    # -- couriers ---------------------------------------------------------------------------

    def tell(self, at: int, *, arrives: bool, answered: bool) -> None:
        """Deliver a message that is due. Its answer may be lost, or nobody be left to hear it."""
        due = [id_ for id_, each in self.books.messages.items() if each.status == "pending"]
        if not due:
            return
        id_ = due[at % len(due)]
        message = self.books.messages[id_]
        if arrives:
            self.listeners.tell(id_, message)
        if answered:
            message.status = "delivered" if arrives else "dead"

    def replay(self) -> None:
        """`onsettle webhooks replay`: what was given up is due again."""
        for message in self.books.messages.values():
            if message.status == "dead":
                message.status = "pending"

    # -- operators --------------------------------------------------------------------------

    def by_hand(self, key: str, status: PaymentStatus) -> bool:
        """The guide's UPDATE statements; whether the database took it."""
        try:
            self._set(key, status, Reason.MANUAL)
        except Refused:
            return False
        if status is S.PENDING:
            self.books.payments[key].needs_lookup = True
        return True

    def retry(self, key: str) -> Verdict:
        """`onsettle retry`: by the product's own ruling."""
        payment, depth = self.books.payments[key], self._depth()
        if depth is None or not self.chain.holds(*depth[:2]):
            return Verdict.UNKNOWN
        ruling = rule(
            status=payment.status,
            final=payment.final,
            fate=self.find(key, depth[0]).fate,
            carrier="a transaction" if self._live(payment) else None,
            in_block=payment.block,
            expired=payment.terms.valid_before <= depth[2],
        )
        if ruling.verdict is Verdict.RETRY:
            self._set(key, S.PENDING, Reason.RETRY)
            payment.rounds = 0
        return ruling.verdict

    def backup(self) -> Books:
        return copy.deepcopy(self.books)

    def restore(self, books: Books) -> None:
        """Its leases ran out long ago, and nothing is signed before the head is reached again."""
        self.books = copy.deepcopy(books)
        self.books.term += 1
        self.following = False
