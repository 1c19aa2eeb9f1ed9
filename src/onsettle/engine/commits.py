"""Group commit: payments that arrive within the same few milliseconds share one commit.

Who submits is answered only after the commit that holds the payment. While one commit is under
way the next group gathers, so nobody waits for company.
"""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.choice import (
    FAR,
    Accepted,
    Candidate,
    Identity,
    Room,
    answer_known,
    choose,
)
from onsettle.engine.request import Refused, Request
from onsettle.store.database import UNAVAILABLE, Connection, Database, Record, sql

log = structlog.get_logger()

MAX_GROUP = 1000
MAX_WAITING = 20_000
# Counting is exact from this far below the queue limit on; a recent count will do before.
_MARGIN = 50_000
_COUNT_EVERY_S = 1.0
_REREAD_S = 3.0


class CommitUnknown(ConnectionError):
    """The database fell silent in the middle of a commit: these payments may be there or not."""

    def __init__(self, ids: Sequence[uuid.UUID]) -> None:
        super().__init__("the database fell silent in the middle of a commit")
        self.ids = ids


@dataclass(slots=True, kw_only=True)
class _Submission:
    candidates: Sequence[Candidate]
    settings: RuntimeSettings
    answer: "asyncio.Future[list[Accepted | Refused]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def settle(self, outcome: "list[Accepted | Refused] | BaseException") -> None:
        if self.answer.done():
            return  # whoever asked has gone; the payment stays committed
        if isinstance(outcome, BaseException):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class GroupCommit:
    """One writer per process. The limits hold across processes: locks order those that race."""

    def __init__(self, db: Database, committed: Callable[[], None]) -> None:
        self._db = db
        self._committed = committed
        self._waiting: deque[_Submission] = deque()
        self._size = 0
        self._writer: asyncio.Task[None] | None = None
        self._depth = 0
        # Whether anything of the group under way has been written.
        self._begun = False
        self._counted_at = float("-inf")

    async def commit(
        self, candidates: Sequence[Candidate], settings: RuntimeSettings
    ) -> list[Accepted | Refused]:
        """Once it is committed: one answer each. Raises Refused or what the database raises.

        That is CommitUnknown where it may be committed all the same.
        """
        if self._size + len(candidates) > MAX_WAITING:
            raise Refused("overloaded", "too many submissions wait: try again later", 503)
        submission = _Submission(candidates=candidates, settings=settings)
        self._waiting.append(submission)
        self._size += len(candidates)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="intake commits")
        return await submission.answer

    async def judge(
        self, candidate: Candidate, settings: RuntimeSettings
    ) -> Accepted | Refused | None:
        """What a commit would answer now, without one. None: it would be taken."""
        depth = await self._recent_depth(settings)
        request = candidate.request
        payer = (request.chain_id, request.authorization.payer)
        async with self._db.pool.acquire() as connection:
            row = (await read_known(connection, [request])).get(request.identity)
            unfinished = await _unfinished(connection, [payer], settings)
        if row is not None:
            return answer_known(row, candidate)
        return Room(settings, depth, unfinished).take(request)

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._write_group(self._next_group())
        finally:
            self._writer = None

    def _next_group(self) -> list[_Submission]:
        group: list[_Submission] = []
        size = 0
        while self._waiting and size + len(self._waiting[0].candidates) <= MAX_GROUP:
            group.append(self._waiting.popleft())
            size += len(group[-1].candidates)
        self._size -= size
        return group

    async def _write_group(self, group: Sequence[_Submission]) -> None:
        try:
            answers = iter(await self._answers(group))
        except UNAVAILABLE as error:
            for submission in group:
                ids = [c.request.id for c in submission.candidates]
                submission.settle(CommitUnknown(ids) if self._begun else error)
        except Exception as error:
            if len(group) == 1:
                log.exception("submission_failed")
                group[0].settle(error)
                return
            # One that the database can't take must not fail the others.
            for submission in group:
                await self._write_group([submission])
        else:
            for submission in group:
                submission.settle([next(answers) for _ in submission.candidates])

    async def _answers(self, group: Sequence[_Submission]) -> list[Accepted | Refused]:
        candidates = [c for submission in group for c in submission.candidates]
        settings = group[-1].settings
        try:
            answers = await self._admit(candidates, settings)
        except UNAVAILABLE as error:
            answers = await self._reread(candidates, error)
        fresh = sum(isinstance(a, Accepted) and not a.known for a in answers)
        self._depth += fresh
        if fresh:
            self._committed()
        return answers

    async def _reread(
        self, candidates: Sequence[Candidate], error: BaseException
    ) -> list[Accepted | Refused]:
        """The answer to a commit may have been lost after the commit: what is there is accepted."""
        known = await self._read_again([c.request for c in candidates])
        if known is None:
            raise error
        lost = Refused("database_unavailable", "the database does not answer: try again", 503)
        return [
            lost if (row := known.get(c.request.identity)) is None else answer_known(row, c)
            for c in candidates
        ]

    async def _read_again(self, requests: Sequence[Request]) -> dict[Identity, Record] | None:
        deadline = time.monotonic() + _REREAD_S
        while time.monotonic() < deadline:
            try:
                async with self._db.pool.acquire() as connection:
                    return await read_known(connection, requests)
            except UNAVAILABLE:
                await asyncio.sleep(0.1)
        return None

    async def _admit(
        self, candidates: Sequence[Candidate], settings: RuntimeSettings
    ) -> list[Accepted | Refused]:
        self._begun = False
        depth = await self._recent_depth(settings)
        exact = depth + len(candidates) > settings.payment_queue_limit - _MARGIN
        requests = [c.request for c in candidates]
        async with self._db.transaction() as connection:
            payers = await _lock(connection, requests, whole_queue=exact)
            if exact:
                depth = await _count(connection, settings)
            known = await read_known(connection, requests)
            unfinished = await _unfinished(connection, payers, settings)
            choice = choose(candidates, known, Room(settings, depth, unfinished))
            admitted = list(choice.admitted.values())
            self._begun = bool(admitted)
            inserted = await _insert(connection, admitted)
            if len(inserted) < len(admitted):
                # Written a moment ago by somebody who takes no locks, such as plain SQL.
                known |= await read_known(connection, [c.request for c in admitted])
        return choice.answers(candidates, known, inserted)

    async def _recent_depth(self, settings: RuntimeSettings) -> int:
        if time.monotonic() - self._counted_at > _COUNT_EVERY_S:
            started = time.monotonic()
            async with self._db.pool.acquire() as connection:
                self._depth = await _count(connection, settings)
            # A deep queue takes a while to count: not more than a twentieth of the time.
            self._counted_at = time.monotonic() + 20 * (time.monotonic() - started)
        return self._depth


async def _count(connection: Connection, settings: RuntimeSettings) -> int:
    return int(
        await connection.fetchval(sql("payments_pending_count"), settings.payment_queue_limit)
    )


async def _lock(
    connection: Connection, requests: Sequence[Request], *, whole_queue: bool
) -> list[tuple[int, str]]:
    """Hold up other processes that count the same payers; the payers."""
    payers = sorted({(r.chain_id, r.authorization.payer) for r in requests})
    await connection.execute(sql("intake_lock"), *_columns(payers), whole_queue)
    return payers


async def _unfinished(
    connection: Connection, payers: Sequence[tuple[int, str]], settings: RuntimeSettings
) -> dict[tuple[int, str], int]:
    rows = await connection.fetch(
        sql("payments_unfinished_by_payer"),
        *_columns(payers),
        settings.payment_max_pending_per_payer,
    )
    return {(row["chain_id"], row["payer"]): row["unfinished"] for row in rows}


async def read_known(connection: Connection, requests: Sequence[Request]) -> dict[Identity, Record]:
    """The rows that these payments have already."""
    rows = await connection.fetch(
        sql("payments_by_identity"), *_columns([r.identity for r in requests])
    )
    return {
        (r["chain_id"], r["payment_token_address"], r["payer"], r["authorization_nonce"]): r
        for r in rows
    }


async def _insert(connection: Connection, candidates: Sequence[Candidate]) -> set[uuid.UUID]:
    if not candidates:
        return set()
    rows = [(*_row(c.request), c.looked_up, c.alone) for c in candidates]
    return {row["id"] for row in await connection.fetch(sql("payments_insert"), *_columns(rows))}


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _row(request: Request) -> tuple[Any, ...]:
    auth = request.authorization
    stored = {
        "from": auth.payer,
        "to": auth.pay_to,
        "value": str(auth.value),
        "validAfter": str(auth.valid_after),
        "validBefore": str(auth.valid_before),
        "nonce": auth.nonce,
        "signature": "0x" + auth.signature.hex(),
    }
    return (
        request.id,
        request.chain_id,
        request.payment_type,
        request.token_address,
        stored,
        auth.payer,
        auth.value,
        request.asset,
        request.metadata,
        auth.pay_to,
        auth.nonce,
        min(auth.valid_after, FAR),
        min(auth.valid_before, FAR),
        request.quantity,
    )
