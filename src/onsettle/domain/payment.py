"""The life of a payment: its states, why it moves, and the moves that exist."""

from enum import StrEnum


class PaymentStatus(StrEnum):
    """`payment_queue.status`: the guide's six values and no others."""

    PENDING = "pending"
    #: Signed and durable; no node has acknowledged it.
    PROCESSING = "processing"
    #: A node has the bytes.
    SENT = "sent"
    #: The transfer was seen in a canonical block at the required depth.
    COMPLETED = "completed"
    FAILED = "failed"
    CONFIRMATION_FAILED = "confirmation_failed"


class Reason(StrEnum):
    """Why a payment has its status: a stable word for machines."""

    ACCEPTED = "accepted"
    SIGNED = "signed"
    BROADCAST = "broadcast"
    LANDED = "landed"
    EXPIRED = "expired"
    VALIDITY_TOO_SHORT = "validity_too_short"
    CANCELLED = "cancelled"
    USED_ELSEWHERE = "used_elsewhere"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    SIGNATURE_INVALID = "signature_invalid"
    BLACKLISTED = "blacklisted"
    REVERTED = "reverted"
    REPLACED = "replaced"
    #: It was marked as under way, and no transaction of ours carries it.
    NOT_SENT = "not_sent"
    TIMEOUT = "timeout"
    TOO_MANY_ROUNDS = "too_many_rounds"
    REVERSED = "reversed"
    RETRY = "retry"
    MANUAL = "manual"


_S = PaymentStatus

#: (from, to) -> only when. The trigger in the database holds the same pairs.
TRANSITIONS: dict[tuple[PaymentStatus, PaymentStatus], str] = {
    (_S.PENDING, _S.PROCESSING): "nonce taken, bytes signed and stored in one commit",
    (_S.PENDING, _S.FAILED): "no live bytes carry it and it can't be settled",
    (_S.PENDING, _S.COMPLETED): "it landed, whoever sent it",
    (_S.PROCESSING, _S.SENT): "a node has the bytes",
    (_S.PROCESSING, _S.COMPLETED): "it landed",
    (_S.PROCESSING, _S.PENDING): "it did not land, and no transaction carrying it can any more",
    (_S.PROCESSING, _S.CONFIRMATION_FAILED): "reverted, cancelled, used elsewhere or expired",
    (_S.PROCESSING, _S.FAILED): "an operator's hand-written UPDATE",
    (_S.SENT, _S.COMPLETED): "it landed",
    (_S.SENT, _S.PENDING): "it did not land, and no transaction carrying it can any more",
    (_S.SENT, _S.CONFIRMATION_FAILED): "reverted, cancelled, used elsewhere, expired or timed out",
    (_S.SENT, _S.FAILED): "an operator's hand-written UPDATE",
    (_S.FAILED, _S.COMPLETED): "it landed late",
    (_S.FAILED, _S.PENDING): "an operator's retry",
    (_S.CONFIRMATION_FAILED, _S.COMPLETED): "it landed late",
    (_S.CONFIRMATION_FAILED, _S.PENDING): "an operator's retry",
    (_S.COMPLETED, _S.CONFIRMATION_FAILED): "reversed by a reorg, and it can't land again",
}

#: Statuses in which the outcome is still open.
UNFINISHED = (_S.PENDING, _S.PROCESSING, _S.SENT)

#: Rounds of sending that may end without landing before the engine gives up.
MAX_ROUNDS = 3


def allowed(old: PaymentStatus, new: PaymentStatus) -> bool:
    return (old, new) in TRANSITIONS
