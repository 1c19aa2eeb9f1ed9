"""Why something waits, and what the engine does about it next: facts in, sentences out."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from onsettle.domain.fees import raised, wei
from onsettle.domain.payment import PaymentStatus, Reason
from onsettle.domain.settings import RuntimeSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """`at` is when the engine acts (None: when the condition in `next` is met)."""

    why: str
    next: str
    at: datetime | None = None
    #: What an operator may type; None: nothing is needed.
    command: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrying:
    """The transaction that carries a payment or a mint."""

    wallet: str
    nonce: int
    state: str
    #: The wallet's lowest live nonce: nothing above it can be mined before it.
    lowest: int | None
    answer: str | None
    tries: int
    tried_at: datetime | None
    #: A live worker holds the wallet's key.
    keyed: bool
    #: A node is known to have its newest version.
    arrived: bool
    signed_at: datetime | None
    #: What the newest version pays at most, wei per gas.
    max_fee: int
    #: The newest version only frees the nonce.
    noop: bool

    @property
    def name(self) -> str:
        return f"nonce {self.nonce} of wallet {self.wallet}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all payments of one network share."""

    now: datetime
    settings: RuntimeSettings
    workers: int
    #: The network is known; it is not where a row came by SQL and was not checked yet.
    known: bool
    #: The confirmer stands at the head of the chain.
    following: bool
    cursor: int | None
    #: Wallets that can send now, and what is wrong with those that can't.
    able: int
    unable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A payment that has not come to its end."""

    id: str
    status: PaymentStatus
    reason: str | None
    error: str | None
    valid_after: int
    valid_before: int
    hold_until: datetime | None
    needs_lookup: bool
    block_number: int | None
    carrying: Carrying | None


NO_WORKER = Diagnosis(
    why="no worker is running",
    next="nothing, until a worker runs",
    command="onsettle worker",
)


def diagnose(payment: Waiting, around: Surroundings) -> Diagnosis:
    """Why this payment waits and what comes next. The nearest cause is named first."""
    if not around.workers:
        return NO_WORKER
    if not around.known:
        return Diagnosis(
            why="it was written by SQL and is not taken over yet",
            next="it is checked like any other, then sent",
            command="onsettle doctor",
        )
    if payment.block_number is not None:
        return _in_block(payment.block_number, around)
    if not around.following:
        return Diagnosis(
            why="the confirmer has not reached the head of the chain",
            next="it is decided when the missed blocks have been read",
            command="onsettle doctor",
        )
    if payment.status is PaymentStatus.COMPLETED:
        return _undone(payment)
    if payment.needs_lookup:
        return Diagnosis(
            why="it is being looked up on the chain",
            next="it is decided by what the chain says at depth",
            at=payment.hold_until,
        )
    if payment.status is PaymentStatus.PENDING:
        return _pending(payment, around)
    if payment.carrying is not None and payment.carrying.state == "live":
        return _live(payment, payment.carrying, around)
    return _over(payment)


def _in_block(number: int, around: Surroundings) -> Diagnosis:
    wanted = number + around.settings.payment_confirmations - 1
    return Diagnosis(
        why=f"it is in block {number}; payment_confirmations is"
        f" {around.settings.payment_confirmations}",
        next=f"it completes with block {wanted} (the confirmer is at {around.cursor})",
    )


def _undone(payment: Waiting) -> Diagnosis:
    """Completed, and no block holds its transfer: mints that are not signed yet are held back."""
    why = "a reorg took back the block it completed in"
    if payment.reason == Reason.MANUAL:
        why = "marked as completed by hand"
    tx = payment.carrying
    if tx is not None and tx.state == "live":
        return Diagnosis(
            why=f"{why}; {tx.name} carries it and may land again",
            next="it stays completed when that lands; it is reversed, with an alarm, when it can't",
        )
    return Diagnosis(
        why=f"{why}, and no transaction of ours that may land carries it",
        next="it stays completed if the chain shows its transfer; it is reversed, with an alarm,"
        " when it can't be charged any more",
        command=f"onsettle show {payment.id}",
    )


def _pending(payment: Waiting, around: Surroundings) -> Diagnosis:
    if around.settings.payments_paused:
        return Diagnosis(
            why="sending is paused", next="it is sent after a resume", command="onsettle resume"
        )
    if payment.hold_until is not None and payment.hold_until > around.now:
        return Diagnosis(
            why=payment.error or "it is held", next="it is tried again", at=payment.hold_until
        )
    if not around.able:
        return Diagnosis(
            why="no wallet can send: " + ("; ".join(around.unable) or "none is configured"),
            next="it is sent as soon as one can",
            command="onsettle wallets",
        )
    if payment.valid_after >= int(around.now.timestamp()):
        return Diagnosis(
            why="its window is not open yet",
            next="it is sent when validAfter has passed",
            at=_time(payment.valid_after, around),
        )
    return Diagnosis(
        why=payment.error or "it stands in the queue",
        next="it is sent with a next batch",
        at=around.now + timedelta(milliseconds=around.settings.payment_batch_interval_ms),
    )


def _live(payment: Waiting, tx: Carrying, around: Surroundings) -> Diagnosis:
    by_hand = "marked by hand; " if payment.reason == Reason.MANUAL else ""
    if payment.status in (PaymentStatus.FAILED, PaymentStatus.CONFIRMATION_FAILED):
        why = f"{by_hand}{tx.name} carries it and is still watched"
        return Diagnosis(
            why=why,
            next="it completes if that lands; once it can't, it can be retried",
            at=_time(payment.valid_before, around),
            command="onsettle reset-stuck",
        )
    if not tx.keyed:
        return Diagnosis(
            why=f"{tx.name} carries it, and no running worker has that wallet's key",
            next="it is watched, not pushed",
            command="onsettle wallets",
        )
    if tx.lowest is not None and tx.nonce > tx.lowest:
        return Diagnosis(
            why=f"{tx.name} waits behind nonce {tx.lowest}",
            next="it is mined after that one, which the engine resends and pays more for",
        )
    said = f"a node said: {tx.answer}" if tx.answer else "no node was asked yet"
    why = f"{tx.name} is not mined after {tx.tries} sends ({said})"
    if tx.noop:
        return Diagnosis(why=why, next="the nonce is freed: nothing on it can succeed any more")
    return _pushed(why, tx, around.settings)


def _pushed(why: str, tx: Carrying, settings: RuntimeSettings) -> Diagnosis:
    """The lowest nonce of a wallet: offered again, then paid more for, up to the cap."""
    if tx.tried_at is None or tx.signed_at is None:
        return Diagnosis(why=why, next="it is offered to a node")
    if not tx.arrived:
        soon = timedelta(seconds=min(0.5 * 2 ** min(tx.tries, 5), 10))
        return Diagnosis(why=why, next="the same bytes are sent again", at=tx.tried_at + soon)
    if raised(tx.max_fee) > wei(settings.max_fee_gwei):
        return Diagnosis(
            why=f"{why}; it pays up to {tx.max_fee} wei per gas",
            next="the same bytes are sent again, until the fee falls: max_fee_gwei allows no more",
            command="onsettle settings max_fee_gwei GWEI",
        )
    return Diagnosis(
        why=why,
        next="the same bytes are sent again, then at a higher fee",
        at=tx.signed_at + timedelta(milliseconds=settings.fee_bump_after_ms),
    )


def _over(payment: Waiting) -> Diagnosis:
    state = f"its transaction is {payment.carrying.state}" if payment.carrying else "nothing sent"
    if payment.status in (PaymentStatus.SENT, PaymentStatus.PROCESSING):
        return Diagnosis(
            why=f"{state}, and its own outcome is not decided",
            next="the chain is read for it again",
            command=f"onsettle retry {payment.id}",
        )
    return Diagnosis(
        why=f"{payment.reason or payment.status}: {payment.error or state}",
        next="nothing, unless it is retried before validBefore",
        command=f"onsettle retry {payment.id}",
    )


def _time(epoch: int, around: Surroundings) -> datetime | None:
    try:
        return around.now.fromtimestamp(epoch, tz=around.now.tzinfo)
    except (OverflowError, ValueError, OSError):
        return None


def diagnose_mint(
    *,
    mint_id: str,
    status: str,
    error: str | None,
    retries: int,
    hold_until: datetime | None,
    paid: bool,
    carrying: Carrying | None,
    around: Surroundings,
) -> Diagnosis:
    """The same for a mint."""
    if not around.workers:
        return NO_WORKER
    if not paid:
        return Diagnosis(
            why="its payment is not completed, or its block is being looked at again",
            next="it is minted when the payment stands",
        )
    if carrying is not None and carrying.state == "live":
        return Diagnosis(
            why=f"{carrying.name} mints it and is not mined yet",
            next="it is resent, then paid more for",
        )
    if status == "failed":
        return Diagnosis(
            why=error or "it was marked as failed",
            next="nothing, unless it is retried",
            command=f"onsettle mints retry {mint_id}",
        )
    if not around.able:
        return Diagnosis(
            why="no mint wallet can send: " + ("; ".join(around.unable) or "none is configured"),
            next="it is minted as soon as one can",
            command="onsettle wallets",
        )
    return Diagnosis(
        why=f"{error} (tried {retries} times)" if error else "it stands in the queue",
        next="it is tried again",
        at=hold_until,
        command=f"onsettle mints retry {mint_id}" if error else None,
    )
