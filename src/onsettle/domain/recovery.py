"""What may be done for a payment that somebody thinks is stuck: evidence in, ruling out."""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from onsettle.domain.outcome import Fate
from onsettle.domain.payment import PaymentStatus


class Verdict(StrEnum):
    """What recovery does with one payment."""

    #: It landed: it is written as completed and delivered.
    COMPLETE = "complete"
    #: Provably unspent, and nothing that carries it can land: it is sent again.
    RETRY = "retry"
    #: It may still land: left alone.
    WAIT = "wait"
    #: It can never be charged any more.
    OVER = "over"
    #: There is nothing to recover.
    NOTHING = "nothing"
    #: Another program's row that can't be taken over: nothing is done before it is mended.
    REFUSED = "refused"
    #: The node could not prove anything: nothing is done.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """A verdict and the sentence that explains it."""

    verdict: Verdict
    why: str


def rule(
    *,
    status: PaymentStatus,
    final: bool,
    fate: Fate,
    carrier: str | None,
    in_block: int | None,
    expired: bool,
    unread: int | None = None,
    followed: bool = True,
) -> Ruling:
    """Rule on one payment.

    `fate` and `expired` were read at one named block at depth; `carrier` describes a transaction
    that carries the payment and is live (None: there is none); `in_block` is where its transfer
    was seen, at whatever depth; `unread` is the block of its transfer where the engine has not
    read that far, and `followed` whether a worker is about to.
    """
    if status is PaymentStatus.COMPLETED:
        return Ruling(verdict=Verdict.NOTHING, why="it is completed")
    if final:
        return Ruling(
            verdict=Verdict.OVER,
            why=f"it is {status}, and nothing can change it: only a new authorization can be paid",
        )
    match fate:
        case Fate.UNKNOWN:
            return Ruling(
                verdict=Verdict.UNKNOWN, why="the node could not say what became of it: try again"
            )
        case Fate.LANDED if unread is not None and followed:
            return Ruling(
                verdict=Verdict.WAIT,
                why=f"it landed in block {unread}: a worker completes it when it reads that block",
            )
        case Fate.LANDED if unread is not None:
            return Ruling(
                verdict=Verdict.COMPLETE,
                why=f"it landed in block {unread}, and no worker reads the chain: the blocks up to"
                " there are read here",
            )
        case Fate.LANDED:
            return Ruling(verdict=Verdict.COMPLETE, why="it landed: the payer was charged")
        case Fate.CANCELLED:
            return Ruling(verdict=Verdict.OVER, why="the payer cancelled the authorization")
        case Fate.USED_ELSEWHERE:
            return Ruling(
                verdict=Verdict.OVER, why="the authorization was used for another transfer"
            )
        case Fate.UNUSED:
            return _unused(status=status, carrier=carrier, in_block=in_block, expired=expired)
        case _:
            assert_never(fate)


def _unused(
    *, status: PaymentStatus, carrier: str | None, in_block: int | None, expired: bool
) -> Ruling:
    if in_block is not None:
        return Ruling(verdict=Verdict.WAIT, why=f"it is in block {in_block}, not yet at depth")
    if expired:
        return Ruling(verdict=Verdict.OVER, why="validBefore has passed and it was never used")
    if carrier is not None:
        return Ruling(
            verdict=Verdict.WAIT,
            why=f"{carrier} may still land: `onsettle stuck` says what comes next",
        )
    if status is PaymentStatus.PENDING:
        return Ruling(verdict=Verdict.NOTHING, why="it is pending: the engine sends it")
    return Ruling(verdict=Verdict.RETRY, why="unspent, and nothing that carries it can land")


#: What mends a row of another program, by the problem that kept it from being taken over.
_MENDS = {
    "unreadable": "mend `authorization` and set the row to pending, or submit the payment anew",
    "asset_not_allowed": "add it and start again: then the row is taken over by itself",
    "asset_ambiguous": "leave it to one network and start again: then it is taken over by itself",
    "amount_mismatch": "mend `amount` and set the row to pending",
    "payer_mismatch": "mend `payer` and set the row to pending",
}


def rule_adrift(*, status: str, refused: str | None, error: str | None) -> Ruling:
    """Rule on a row of another program that has no chain yet, so that nothing can be looked up."""
    if refused in _MENDS:
        why = f"it was not taken over ({refused}): {error or 'it says nothing'}; {_MENDS[refused]}"
        return Ruling(verdict=Verdict.REFUSED, why=why)
    if status == PaymentStatus.COMPLETED:
        return Ruling(verdict=Verdict.NOTHING, why="it is completed")
    if refused is not None:
        why = "the network of its token has not answered yet: `onsettle doctor` says why"
    else:
        why = "another program wrote it: a worker takes it over within seconds, if one runs"
    return Ruling(verdict=Verdict.WAIT, why=why)


def rule_mint(
    *, status: str, paid: bool, minted: bool | None, in_block: int | None, live: bool
) -> Ruling:
    """Rule on one mint. `minted` is `hasMinted` at a block at depth (None: not answered)."""
    if status == "completed":
        return Ruling(verdict=Verdict.NOTHING, why="it is completed")
    if not paid:
        return Ruling(verdict=Verdict.WAIT, why="its payment is not completed")
    if minted is None:
        return Ruling(verdict=Verdict.UNKNOWN, why="the node could not say whether it is minted")
    if minted:
        return Ruling(verdict=Verdict.COMPLETE, why="the token says that it is minted")
    if in_block is not None:
        return Ruling(verdict=Verdict.WAIT, why=f"it is in block {in_block}, not yet at depth")
    if live:
        return Ruling(verdict=Verdict.WAIT, why="a transaction that mints it may still land")
    return Ruling(verdict=Verdict.RETRY, why="not minted, and nothing that mints it can land")
