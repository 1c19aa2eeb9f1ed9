"""Which submitted payments are taken. Pure: what is known, and the room left, are passed in."""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.request import Refused, Request
from onsettle.store.database import Record

#: (chain id, asset, payer, authorization nonce)
Identity = tuple[int, str, str, str]

# The window's ends in the database: whatever is further away is as far as can be.
FAR = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A committed payment; `known` says that it had been submitted before."""

    id: uuid.UUID
    status: str
    final: bool
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A checked request; `refusal` is the answer unless the same payment is known already."""

    request: Request
    refusal: Refused | None = None
    #: The payer is known to have signed this: only they are told that they once sent another one.
    signed: bool = True
    #: Used on chain before we knew of it: looked up, not sent.
    looked_up: bool = False
    #: It is to have a transaction of its own, also where payments are packed.
    alone: bool = False


class Room:
    """What may still be taken, at one moment."""

    def __init__(
        self, settings: RuntimeSettings, depth: int, unfinished: Mapping[tuple[int, str], int]
    ) -> None:
        self._settings = settings
        self._depth = depth
        self._unfinished = Counter(unfinished)

    def take(self, request: Request) -> Refused | None:
        """Take a place for this payment, or say why there is none."""
        if self._settings.payments_paused:
            return Refused("paused", "payments are paused: try again later", 503)
        if self._depth >= self._settings.payment_queue_limit:
            return Refused("queue_full", "the queue is full: try again later", 503)
        payer = (request.chain_id, request.authorization.payer)
        if self._unfinished[payer] >= self._settings.payment_max_pending_per_payer:
            return Refused(
                "too_many_pending",
                f"{payer[1]} has {self._unfinished[payer]} unfinished payments: wait for some",
                429,
            )
        self._depth += 1
        self._unfinished[payer] += 1
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which candidates are to be inserted, by identity, and which are refused, by position."""

    admitted: dict[Identity, Candidate]
    refused: dict[int, Refused]

    def answers(
        self,
        candidates: Sequence[Candidate],
        known: Mapping[Identity, Record],
        inserted: set[uuid.UUID],
    ) -> list[Accepted | Refused]:
        return [
            self.refused.get(at) or self._answer(candidate, known, inserted)
            for at, candidate in enumerate(candidates)
        ]

    def _answer(
        self,
        candidate: Candidate,
        known: Mapping[Identity, Record],
        inserted: set[uuid.UUID],
    ) -> Accepted | Refused:
        request = candidate.request
        if request.id not in inserted:
            return answer_known(known[request.identity], candidate)
        first = self.admitted[request.identity]
        if content(first.request) != content(request):
            return conflict(request)
        return Accepted(id=request.id, status="pending", final=False, known=candidate is not first)


def choose(candidates: Sequence[Candidate], known: Mapping[Identity, Record], room: Room) -> Choice:
    """Who is let in, of those not refused. A payment twice in one group takes one place."""
    choice = Choice(admitted={}, refused={})
    for at, candidate in enumerate(candidates):
        identity = candidate.request.identity
        if identity in known or identity in choice.admitted:
            continue
        refusal = room.take(candidate.request)
        if refusal is None:
            choice.admitted[identity] = candidate
        else:
            choice.refused[at] = refusal
    return choice


def answer_known(row: Record, candidate: Candidate) -> Accepted | Refused:
    """The same payment gets the same row; the same identity with other content is a conflict."""
    stored = (
        row["pay_to"],
        int(row["amount"]),
        row["valid_after"],
        row["valid_before"],
        row["payment_type"],
        row["token_address"],
        _comparable(_with_quantity(row["metadata"] or {})),
    )
    if stored != content(candidate.request):
        return (not candidate.signed and candidate.refusal) or conflict(candidate.request)
    return Accepted(id=row["id"], status=row["status"], final=row["final"], known=True)


def content(request: Request) -> tuple[object, ...]:
    """What must be the same in a payment that is submitted again."""
    auth = request.authorization
    return (
        auth.pay_to,
        auth.value,
        min(auth.valid_after, FAR),
        min(auth.valid_before, FAR),
        request.payment_type,
        request.token_address,
        _comparable(_with_quantity(request.metadata)),
    )


def _with_quantity(metadata: Mapping[str, object]) -> dict[str, object]:
    """Without a quantity it is one: the same payment, whether that was written or not."""
    return {"quantity": 1, **metadata}


def _comparable(value: object) -> object:
    """JSON that compares as JSON does: for Python, true is 1. Numbers compare by their value,
    since the database may give 1e16 back as an integer.
    """
    match value:
        case bool():
            return ("true" if value else "false",)
        case dict():
            return {name: _comparable(inner) for name, inner in value.items()}
        case list():
            return [_comparable(inner) for inner in value]
        case _:
            return value


def conflict(request: Request) -> Refused:
    return Refused("conflict", f"payment {request.id} was submitted before with other content", 409)
