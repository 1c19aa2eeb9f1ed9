"""Whatever happens in whatever order: charged at most once, delivered if charged, never lost.

Promises 2 to 6 of docs/reliability.md are invariants, held after every step: charged at most once,
no bytes that are not stored, one purpose for each nonce, completed at depth, and mints and messages
for what completed and for nothing else. That a payment submitted again is the same one, and that
nobody signs without the lease or before the head is reached, is held by the rules; 6 and 10 by the
end, when faults have stopped. What needs a real database, money or many parts is held elsewhere:
1 in tests/integration/api/test_intake.py and tests/integration/faults/test_postgres.py; 7 in
tests/integration/audit, and by the audit at the end of nearly every test in which payments settle;
8 in tests/integration/faults (test_packing.py, test_authorization.py, test_mint.py) and
tests/integration/webhooks; 9 in tests/integration/faults/test_deadlines.py and
tests/integration/api.
"""

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from onsettle.domain.payment import PaymentStatus
from onsettle.domain.recovery import Verdict
from tests.model.chain import Authorization, ModelChain, Transaction
from tests.model.engine import Books, Claim, ModelEngine
from tests.model.outbox import CHANNELS, id_of

PAYERS = ("0xaa", "0xbb")
PAYEE, OTHER = "0xee", "0xdd"
#: What nodes answer to bytes, true or not.
SAID = (
    "ok",
    "already known",
    "nonce too low",
    "replacement transaction underpriced",
    "transaction underpriced",
    "insufficient funds for gas * price + value",
    "txpool is full",
    "nonce too high",
    "invalid sender",
    "rate limit exceeded",
    "internal error",
)
#: No reorg is deeper: what is final then stays so.
DEEPEST = 4

terms_of = st.builds(
    Authorization,
    payer=st.sampled_from(PAYERS),
    nonce=st.sampled_from(("0x1", "0x2")),
    pay_to=st.just(PAYEE),
    amount=st.sampled_from((10, 20)),
    valid_before=st.sampled_from((1_100, 1_400, 100_000)),
)
place = st.integers(0, 3)
#: Whether the engine looks before anything else happens.
followed = st.booleans()


class Model(RuleBasedStateMachine):
    """The rules are what the world does; the invariants are the promises."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = ModelChain()
        self.engine = ModelEngine(self.chain)
        #: The lease's term that each of two workers believes to hold.
        self.terms = [0, -1]
        #: What each of them has read and not yet signed.
        self.claims: list[Claim | None] = [None, None]
        #: Whether the head was reached since the books were last those of a backup.
        self.reached = True
        self.saved: Books | None = None
        self.restored = False
        self.hashes = 0

    # -- helpers ----------------------------------------------------------------------------

    @property
    def books(self) -> Books:
        return self.engine.books

    def key(self, at: int) -> str | None:
        keys = list(self.books.payments)
        return keys[at % len(keys)] if keys else None

    def stranger(self, **what: object) -> Transaction:
        self.hashes += 1
        return Transaction(hash=f"0xf{self.hashes:063x}", foreign=True, **what)  # type: ignore[arg-type]

    @initialize(valid_before=st.sampled_from((1_100, 1_400, 100_000)), sent=st.booleans())
    def begin(self, valid_before: int, sent: bool) -> None:
        """One payment of each payer, on its way or not."""
        for payer in PAYERS:
            terms = Authorization(
                payer=payer, nonce="0x1", pay_to=PAYEE, amount=10, valid_before=valid_before
            )
            self.engine.submit(terms, 1)
        if sent:
            self.send(0, True, None)

    def looked(self, so: bool) -> None:
        if so:
            self.confirm(100, resolve=True)

    def advance(self, blocks: int = 100, *, blind: bool = False) -> None:
        self.engine.advance(blocks, blind=blind)
        self.reached = self.reached or self.books.seen[-1][1] == self.chain.head.hash

    # -- clients ----------------------------------------------------------------------------

    @rule(terms=terms_of, quantity=st.integers(1, 2))
    def submit(self, terms: Authorization, quantity: int) -> None:
        """New, the same again, or the same identity with other content."""
        key = f"{terms.payer}/{terms.nonce}"
        before = self.books.payments.get(key)
        said = self.engine.submit(terms, quantity)
        if before is not None:
            same = (before.terms, before.quantity) == (terms, quantity)
            assert said == ("known" if same else "conflict")
            assert self.books.payments[key] is before

    @rule(at=place)
    def resubmit(self, at: int) -> None:
        key = self.key(at)
        if key is not None:
            payment = self.books.payments[key]
            assert self.engine.submit(payment.terms, payment.quantity) == "known"

    # -- workers ----------------------------------------------------------------------------

    @rule(worker=st.integers(0, 1), told=st.booleans(), said=st.sampled_from((None, *SAID)))
    def send(self, worker: int, told: bool, said: str | None) -> None:
        """Sign, and broadcast whatever is signed; a crash in between is `commit` alone."""
        self.claim(worker)
        for at in self.signed(worker):
            self.engine.broadcast(at, taken=told, said=said)

    @rule(worker=st.integers(0, 1))
    def claim(self, worker: int) -> None:
        """Read the books and the chain. What happens before `commit` is what a stop lets happen."""
        self.claims[worker] = self.engine.claim(self.terms[worker])

    @rule(worker=st.integers(0, 1))
    def commit(self, worker: int) -> None:
        """Signed, and crashed before any node had the bytes."""
        self.signed(worker)

    def signed(self, worker: int) -> list[int]:
        """Only who holds the lease now signs, and nobody before the head is reached."""
        claim, self.claims[worker] = self.claims[worker], None
        signed = [] if claim is None else self.engine.commit(claim)
        assert not signed or (claim is not None and claim.term == self.books.term)
        assert not signed or self.reached, "signed before the head was reached"
        return signed

    @rule(at=place, taken=st.booleans(), said=st.sampled_from((None, *SAID)))
    def resend(self, at: int, taken: bool, said: str | None) -> None:
        self.engine.broadcast(at, taken=taken, said=said)

    @rule(worker=st.integers(0, 1))
    def push(self, worker: int) -> None:
        self.engine.push(self.terms[worker])

    @rule(worker=st.integers(0, 1))
    def lease_moves(self, worker: int) -> None:
        """The other one does not know yet."""
        self.books.term += 1
        self.terms[worker] = self.books.term

    @rule(blocks=st.sampled_from((1, 3, 100)), resolve=st.booleans())
    def confirm(self, blocks: int, *, resolve: bool) -> None:
        """Rewind if need be, take in blocks, and decide what they do not tell."""
        self.advance(blocks)
        self.advance(blocks)
        self.engine.finalize()
        if resolve:
            self.engine.resolve()

    @rule(decide=st.booleans())
    def look_at_a_node_that_lags(self, decide: bool) -> None:
        """It knows blocks, nonces, states and receipts, and not yet their logs."""
        self.advance(blind=True)
        if decide:
            self.engine.resolve(blind=True)

    @rule(at=place, arrives=st.booleans(), answered=st.booleans())
    def tell(self, at: int, arrives: bool, answered: bool) -> None:
        """Arrived and not answered: it is told again. Answered by "gone": given up."""
        self.engine.tell(at, arrives=arrives, answered=answered)

    @rule()
    def time_out(self) -> None:
        self.engine.time_out()

    # -- the chain --------------------------------------------------------------------------

    @rule(most=st.integers(0, 5), wait=st.sampled_from((0, 0, 0, 100, 400)), followed=followed)
    def mine(self, most: int, wait: int, followed: bool) -> None:
        minting = self.engine.mint()
        self.chain.mine(first=(minting,) if minting else (), most=most, wait=wait)
        self.looked(followed)

    @rule(at=place)
    def drop(self, at: int) -> None:
        if self.chain.pool:
            del self.chain.pool[sorted(self.chain.pool)[at % len(self.chain.pool)]]

    @rule(
        depth=st.integers(1, DEEPEST),
        returning=st.booleans(),
        most=st.integers(0, 3),
        followed=followed,
    )
    def reorg(self, depth: int, returning: bool, most: int, followed: bool) -> None:
        self.chain.reorg(depth, returning=returning, most=most)
        self.looked(followed)

    @rule(followed=followed)
    def foreign_nonce(self, followed: bool) -> None:
        """The same key is used elsewhere."""
        nonce = self.chain.count(self.chain.head.number)
        self.chain.mine(first=(self.stranger(nonce=nonce),), most=0)
        self.looked(followed)

    @rule(at=place, followed=followed)
    def front_run(self, at: int, followed: bool) -> None:
        """A stranger lands our authorization."""
        if (key := self.key(at)) is not None:
            self.chain.mine(first=(self.stranger(pays=(self.books.payments[key].terms,)),))
        self.looked(followed)

    @rule(at=place, to=st.sampled_from((OTHER, PAYEE)), followed=followed)
    def land_another(self, at: int, to: str, followed: bool) -> None:
        """A second authorization under the same nonce, for nothing."""
        if (key := self.key(at)) is not None:
            payer, nonce = self.books.payments[key].terms.identity
            other = Authorization(payer=payer, nonce=nonce, pay_to=to, amount=0, valid_before=10**6)
            self.chain.mine(first=(self.stranger(pays=(other,)),))
        self.looked(followed)

    @rule(at=place, followed=followed)
    def cancel(self, at: int, followed: bool) -> None:
        if (key := self.key(at)) is not None:
            identity = self.books.payments[key].terms.identity
            self.chain.mine(first=(self.stranger(cancels=identity),))
        self.looked(followed)

    @rule(payer=st.sampled_from(PAYERS), frozen=st.booleans())
    def freeze(self, payer: str, frozen: bool) -> None:
        (self.chain.frozen.add if frozen else self.chain.frozen.discard)(payer)

    # -- operators --------------------------------------------------------------------------

    @rule(at=place, status=st.sampled_from(PaymentStatus))
    def by_hand(self, at: int, status: PaymentStatus) -> None:
        """An UPDATE as the guide has them. `completed` by hand is a lie that no rule can mend."""
        key = self.key(at)
        if key is not None and status is not PaymentStatus.COMPLETED:
            guide = (PaymentStatus.FAILED, PaymentStatus.CONFIRMATION_FAILED, PaymentStatus.PENDING)
            if status in guide and self.books.payments[key].status is not PaymentStatus.COMPLETED:
                self.engine.by_hand(key, status)

    @rule(at=place)
    def retry(self, at: int) -> None:
        key = self.key(at)
        if key is not None and self.engine.retry(key) is Verdict.RETRY:
            assert self.books.payments[key].status is PaymentStatus.PENDING

    @rule()
    def replay(self) -> None:
        self.engine.replay()

    @rule(confirmations=st.integers(1, 3), pack=st.integers(1, 3))
    def change_settings(self, confirmations: int, pack: int) -> None:
        self.books.confirmations, self.books.pack = confirmations, pack

    @rule()
    def back_up(self) -> None:
        self.saved = self.engine.backup()

    @precondition(lambda self: self.saved is not None)
    @rule()
    def restore(self) -> None:
        assert self.saved is not None
        self.engine.restore(self.saved)
        self.terms = [self.books.term, -1]
        self.restored, self.reached = True, False

    # -- the promises -----------------------------------------------------------------------

    @invariant()
    def nonces_are_given_once(self) -> None:
        nonces = [row.nonce for row in self.books.rows]
        assert len(nonces) == len(set(nonces))

    @invariant()
    def attempts_carry_the_same_or_nothing(self) -> None:
        for row in self.books.rows:
            terms = tuple(self.books.payments[key].terms for key in row.carries)
            assert all(attempt.pays in ((), terms) for attempt in row.attempts)
            assert len({attempt.hash for attempt in row.attempts}) == len(row.attempts)
            for old, new in zip(row.attempts, row.attempts[1:], strict=False):
                assert new.max_fee * 8 >= old.max_fee * 9
                assert new.priority * 8 >= old.priority * 9

    @invariant()
    def nothing_is_out_that_is_not_stored(self) -> None:
        if not self.restored:
            stored = {attempt.hash for row in self.books.rows for attempt in row.attempts}
            ours = {each.hash for each in self.chain.pool.values() if not each.foreign}
            assert ours <= stored

    @invariant()
    def books_agree_with_the_blocks_that_they_rest_on(self) -> None:
        number, hash_, _ = self.books.seen[-1]
        if not self.chain.holds(number, hash_):
            return
        for key, payment in self.books.payments.items():
            charged = self.chain.charged(payment.terms, number)
            assert charged <= 1
            if payment.block is not None:
                assert charged == 1, f"{key} rests on a transfer that is not there"
            if payment.final:
                completed = payment.status is PaymentStatus.COMPLETED
                assert completed == bool(charged), f"{key} is final and charged {charged} times"

    @invariant()
    def completed_at_depth(self) -> None:
        """Each move to completed was made on a block that was deep enough at that moment."""
        for made in self.engine.completions:
            assert made.block is not None, made
            assert made.seen - made.block + 1 >= made.confirmations, made
        self.engine.completions.clear()

    @invariant()
    def nothing_is_minted_that_was_not_completed(self) -> None:
        for mint in self.books.mints.values():
            assert PaymentStatus.COMPLETED in self.books.payments[mint.payment].journal

    @invariant()
    def a_completion_leaves_one_message_for_each_channel(self) -> None:
        """Whatever has completed, and nothing else, under the ids that are derived from it."""
        wanted = {
            id_of(payment.terms.identity, channel): (key, channel)
            for key, payment in self.books.payments.items()
            if PaymentStatus.COMPLETED in payment.journal
            for channel in CHANNELS
        }
        assert len(set(wanted.values())) == len(wanted)
        left = {id_: (m.payment, m.channel) for id_, m in self.books.messages.items()}
        assert left == wanted

    @invariant()
    def nobody_is_told_under_two_ids_or_of_what_never_completed(self) -> None:
        heard = self.engine.listeners.heard
        assert all(len(ids) == 1 for ids in heard.values()), heard
        assert {key for key, _ in heard} <= self.engine.ever_completed
        for message in self.books.messages.values():
            delivered = message.status == "delivered"
            assert not delivered or (message.payment, message.channel) in heard

    @invariant()
    def reversals_are_loud(self) -> None:
        for key, payment in self.books.payments.items():
            if payment.reason in ("reversed", "used_elsewhere") and payment.final:
                assert (payment.reason, key) in self.books.alarms

    # -- when faults stop -------------------------------------------------------------------

    def teardown(self) -> None:
        """Every payment reaches its end within a bound, and the books are those of the chain."""
        self.chain.frozen.clear()
        for turn in range(24):
            if turn == 12:
                self.chain.mine(most=0, wait=100_000)
            self._turn()
        self.engine.replay()
        for _ in range(len(self.books.messages)):
            self.engine.tell(0, arrives=True, answered=True)
        assert {m.status for m in self.books.messages.values()} <= {"delivered"}
        head = self.chain.head.number
        for key, payment in self.books.payments.items():
            assert payment.final, f"{key} has no end: {payment}"
            charged = self.chain.charged(payment.terms, head)
            assert charged == (payment.status is PaymentStatus.COMPLETED), f"{key}: {payment}"
            minted = sum(
                self.chain.minted(f"{key}#{unit}", head) for unit in range(payment.quantity)
            )
            if charged:
                assert minted == payment.quantity, f"{key} was charged and not delivered"
                told = {channel for each, channel in self.engine.listeners.heard if each == key}
                assert told == set(CHANNELS), f"{key} was charged, and told to {told} only"
            elif PaymentStatus.COMPLETED not in payment.journal:
                assert not minted, f"{key} was not charged and delivered"

    def _turn(self) -> None:
        self.advance()
        self.engine.finalize()
        self.engine.resolve()
        self.terms[0] = self.books.term
        self.send(0, True, None)
        self.engine.push(self.terms[0])
        for at in range(len(self.books.rows)):
            self.engine.broadcast(at, taken=True, said=None)
        minting = self.engine.mint()
        self.chain.mine(first=(minting,) if minting else ())


_LONG = os.environ.get("ONSETTLE_MODEL_EXAMPLES")

TestModel = Model.TestCase
TestModel.settings = settings(
    max_examples=int(_LONG or 300),
    stateful_step_count=40,
    deadline=None,
    derandomize=not _LONG,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_a_use_without_its_logs_decides_nothing() -> None:
    """Landed in time and looked at after the deadline on a node that has no logs yet: nothing is
    said to be unused, and it ends as charged and delivered."""
    model = Model()
    model.begin(valid_before=1_100, sent=True)
    model.mine(most=5, wait=0, followed=False)
    model.mine(most=0, wait=400, followed=False)
    model.look_at_a_node_that_lags(decide=True)
    model.books_agree_with_the_blocks_that_they_rest_on()
    model.teardown()
    assert {p.status for p in model.books.payments.values()} == {PaymentStatus.COMPLETED}


def test_who_lost_the_lease_while_it_read_signs_nothing() -> None:
    """Claimed, stopped, and overtaken by another worker: the old one's commit writes nothing."""
    model = Model()
    model.begin(valid_before=100_000, sent=False)
    model.claim(0)
    model.lease_moves(1)
    assert model.signed(0) == []
    model.send(1, True, None)
    assert [row.nonce for row in model.books.rows] == [0, 1]
    model.teardown()


def test_what_changed_while_it_was_read_is_not_signed() -> None:
    """An operator gives a payment up between the reading and the commit: only the other is sent."""
    model = Model()
    model.begin(valid_before=100_000, sent=False)
    model.claim(0)
    model.by_hand(0, PaymentStatus.FAILED)
    assert len(model.signed(0)) == 1
    assert model.books.rows[0].carries == ("0xbb/0x1",)
    model.teardown()


def test_a_restored_backup_signs_nothing_before_the_head() -> None:
    """The books of yesterday and the chain of today: neither what was claimed before nor what is
    claimed now is signed before the head is reached."""
    model = Model()
    model.begin(valid_before=100_000, sent=False)
    model.back_up()
    model.claim(0)
    model.restore()
    assert model.signed(0) == []
    model.confirm(100, resolve=True)
    model.back_up()
    model.send(0, True, None)
    model.mine(most=1, wait=0, followed=True)
    model.restore()
    model.send(0, True, None)
    assert model.books.rows == []
    model.teardown()


def test_what_is_told_again_is_told_under_its_one_id() -> None:
    """An answer that was lost, and a backup that knows neither the payment's completion nor that it
    was told: each time the same id arrives, and both channels have their own."""
    model = Model()
    model.begin(valid_before=100_000, sent=False)
    model.back_up()
    model.send(0, True, None)
    model.mine(most=1, wait=0, followed=True)
    model.tell(0, arrives=True, answered=False)
    model.tell(0, arrives=True, answered=True)
    model.tell(0, arrives=True, answered=True)
    model.restore()
    assert model.books.messages == {}
    model.confirm(100, resolve=True)
    model.tell(0, arrives=True, answered=True)
    heard = model.engine.listeners.heard
    told = {channel: heard["0xaa/0x1", channel] for channel in CHANNELS}
    assert [list(ids.values()) for ids in told.values()] == [[3], [1]]
    assert set(told["webhook"]).isdisjoint(told["handler"])
    model.a_completion_leaves_one_message_for_each_channel()
    model.nobody_is_told_under_two_ids_or_of_what_never_completed()
    model.teardown()
