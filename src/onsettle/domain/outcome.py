"""Evidence in, verdict out. No clock and no node: what is judged is passed in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import assert_never

from onsettle.domain.evidence import (
    AuthorizationCanceled,
    AuthorizationUsed,
    ChainEvent,
    Transfer,
)
from onsettle.domain.payment import MAX_ROUNDS, PaymentStatus, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A used authorization and the transfer that is its own, if it has one."""

    event: AuthorizationUsed
    transfer: Transfer | None


def uses(events: Iterable[ChainEvent]) -> list[Use]:
    """Pair every AuthorizationUsed with its own Transfer.

    Own is the payer's first Transfer of the same token after the use, in the same transaction and
    before the payer's next use; each Transfer serves one use. `events` may be in any order.
    """
    found: list[Use] = []
    waiting: dict[tuple[str, str, str], AuthorizationUsed] = {}
    for event in sorted(events, key=lambda e: (e.block_number, e.log_index)):
        if isinstance(event, AuthorizationUsed):
            key = (event.tx_hash, event.address, event.payer)
            if key in waiting:
                found.append(Use(event=waiting[key], transfer=None))
            waiting[key] = event
        elif isinstance(event, Transfer):
            used = waiting.pop((event.tx_hash, event.address, event.sender), None)
            if used is not None:
                found.append(Use(event=used, transfer=event))
    found.extend(Use(event=event, transfer=None) for event in waiting.values())
    return found


def pays(use: Use, *, pay_to: str, amount: int) -> bool:
    """Landed is judged by content: this use moved exactly this amount to this recipient."""
    return (
        use.transfer is not None
        and use.transfer.recipient == pay_to
        and use.transfer.value == amount
    )


class Fate(Enum):
    """What a look-up at a named block, at depth, found."""

    LANDED = auto()
    #: The authorization moved other money, or went to somebody else.
    USED_ELSEWHERE = auto()
    CANCELLED = auto()
    UNUSED = auto()
    #: The node could not answer: decides nothing.
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A fate and the event that shows it."""

    fate: Fate
    event: AuthorizationUsed | AuthorizationCanceled | None = None


def judge(*, used: bool | None, events: Sequence[ChainEvent], pay_to: str, amount: int) -> Finding:
    """The fate of one authorization.

    `used` is `authorizationState` at the named block (None: not answered); `events` are its logs
    up to that block. An event proves; an absent event proves nothing.
    """
    for use in uses(events):
        if pays(use, pay_to=pay_to, amount=amount):
            return Finding(fate=Fate.LANDED, event=use.event)
        return Finding(fate=Fate.USED_ELSEWHERE, event=use.event)
    for event in events:
        if isinstance(event, AuthorizationCanceled):
            return Finding(fate=Fate.CANCELLED, event=event)
    return Finding(fate=Fate.UNUSED if used is False else Fate.UNKNOWN)


class Carrier(Enum):
    """What has become of the transaction that carries a payment, at the named block."""

    #: No transaction carries it, or the one that did can't land any more.
    NONE = auto()
    #: It may still land.
    LIVE = auto()
    #: In a block, reverted as a whole, with this payment alone in it.
    REVERTED = auto()
    #: Its nonce is used and this payment did not land with it: a foreign transaction took the
    #: nonce, or the payment failed inside a pack.
    GONE = auto()


def carrier_of(state: str | None, *, alone: bool, shallow: bool) -> Carrier:
    """What the transaction that carries a payment can still do.

    `state` is its row's (None: nothing carries it); `alone` says that it carries nothing else;
    `shallow` that the block in which it was seen is not at depth yet.
    """
    match state:
        case None:
            return Carrier.NONE
        case "live":
            return Carrier.LIVE
        case "replaced":
            return Carrier.GONE
        case _ if shallow:
            return Carrier.LIVE
        case "reverted" if alone:
            return Carrier.REVERTED
        case _:
            return Carrier.GONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What is to be written: the status (None: as it is), whether it is final, and why."""

    status: PaymentStatus | None
    final: bool
    reason: Reason


_FAILURE = {
    PaymentStatus.PENDING: PaymentStatus.FAILED,
    PaymentStatus.PROCESSING: PaymentStatus.CONFIRMATION_FAILED,
    PaymentStatus.SENT: PaymentStatus.CONFIRMATION_FAILED,
    PaymentStatus.FAILED: None,
    PaymentStatus.CONFIRMATION_FAILED: None,
    PaymentStatus.COMPLETED: PaymentStatus.CONFIRMATION_FAILED,
}


def decide(
    *,
    status: PaymentStatus,
    fate: Fate,
    carrier: Carrier,
    expired: bool,
    rounds: int,
    undone: bool = False,
) -> Move | None:
    """What a payment that has not landed becomes; None: nothing is decided.

    `expired` says that the chain's time at the named block reached `validBefore`; `undone`, that a
    reorg took back its completion. LANDED is written with its block by the caller and isn't decided
    here.
    """
    match fate:
        case Fate.LANDED | Fate.UNKNOWN:
            return None
        case Fate.CANCELLED:
            return _never(status, Reason.CANCELLED)
        case Fate.USED_ELSEWHERE:
            return _never(status, Reason.USED_ELSEWHERE)
        case Fate.UNUSED:
            if undone and carrier is Carrier.GONE and not expired:
                return _again(status, rounds)
            return _unused(status=status, carrier=carrier, expired=expired, rounds=rounds)
        case _:
            assert_never(fate)


def _again(status: PaymentStatus, rounds: int) -> Move | None:
    """Delivered, taken back by a reorg, and still chargeable: it is charged under a new nonce."""
    if status is not PaymentStatus.CONFIRMATION_FAILED or rounds + 1 >= MAX_ROUNDS:
        return None
    return Move(status=PaymentStatus.PENDING, final=False, reason=Reason.REPLACED)


def _never(status: PaymentStatus, reason: Reason) -> Move:
    if status is PaymentStatus.COMPLETED:
        reason = Reason.REVERSED
    return Move(status=_FAILURE[status], final=True, reason=reason)


def _unused(*, status: PaymentStatus, carrier: Carrier, expired: bool, rounds: int) -> Move | None:
    if expired:
        return _never(status, Reason.EXPIRED)
    if status is PaymentStatus.COMPLETED:
        # A reorg took it out. While its transaction may come back, nothing is decided.
        if carrier in (Carrier.LIVE, Carrier.NONE):
            return None
        return Move(status=PaymentStatus.CONFIRMATION_FAILED, final=False, reason=Reason.REVERSED)
    if status not in (PaymentStatus.PROCESSING, PaymentStatus.SENT):
        return None
    match carrier:
        case Carrier.LIVE:
            return None
        case Carrier.NONE:
            # Another program or a hand marked it; nothing that we know of can land.
            return Move(status=PaymentStatus.PENDING, final=False, reason=Reason.NOT_SENT)
        case Carrier.REVERTED:
            return Move(
                status=PaymentStatus.CONFIRMATION_FAILED, final=False, reason=Reason.REVERTED
            )
        case Carrier.GONE if rounds + 1 >= MAX_ROUNDS:
            return Move(
                status=PaymentStatus.CONFIRMATION_FAILED,
                final=False,
                reason=Reason.TOO_MANY_ROUNDS,
            )
        case Carrier.GONE:
            return Move(status=PaymentStatus.PENDING, final=False, reason=Reason.REPLACED)
        case _:
            assert_never(carrier)
