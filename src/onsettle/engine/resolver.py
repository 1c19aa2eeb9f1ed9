"""What blocks alone do not tell: used nonces without a transfer, look-ups, deadlines."""

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from onsettle.chain import abi
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.domain.outcome import Carrier, Fate, Finding, Move, carrier_of, decide
from onsettle.domain.payment import PaymentStatus, Reason
from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.alarms import raise_alarm_in
from onsettle.engine.fulfilment import write_landed
from onsettle.engine.lookup import canonical, look, seek
from onsettle.engine.named import Block, read_at
from onsettle.engine.network import Network, number
from onsettle.engine.search import Search
from onsettle.engine.tally import Tally
from onsettle.store.database import UNAVAILABLE, Connection, Database, Record, changed, sql

log = structlog.get_logger()

_AT_ONCE = 200

_ALARMS = (Reason.USED_ELSEWHERE, Reason.REVERSED)

_WORDS = {
    Reason.EXPIRED: "validBefore has passed and the authorization is unused",
    Reason.CANCELLED: "the payer cancelled the authorization",
    Reason.USED_ELSEWHERE: "the authorization was used for another transfer",
    Reason.REVERTED: "the transaction reverted",
    Reason.NOT_SENT: "no transaction of ours carries it: it is sent",
    Reason.REPLACED: "another transaction took the nonce: it is sent again",
    Reason.TOO_MANY_ROUNDS: "it was sent three times and did not land",
    Reason.REVERSED: "a reorg removed the transfer and its transaction can not land again",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Receipt:
    """Of one attempt; `place` is its block's number and hash."""

    hash: str
    place: tuple[int, str]
    succeeded: bool


def _receipt(hash_: str, answer: object) -> _Receipt | None:
    if not isinstance(answer, dict) or not isinstance(answer.get("blockHash"), str):
        return None
    return _Receipt(
        hash=hash_,
        place=(number(answer.get("blockNumber")), answer["blockHash"]),
        succeeded=number(answer.get("status")) == 1,
    )


class Resolver:
    """Negative verdicts. Each is read at a named block, at depth, from one endpoint."""

    def __init__(self, db: Database, network: Network, tally: Tally) -> None:
        self._db = db
        self._tally = tally
        self._network = network
        self._chain = network.chain_id
        self._search = Search()
        self._searching: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Give up the search that is under way."""
        if self._searching is not None:
            self._searching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._searching

    async def resolve(self, endpoint: Endpoint, head: Block, settings: RuntimeSettings) -> None:
        depth = await self._at_depth(head, settings)
        if depth is None:
            return
        failed: RpcError | RpcUnavailable | None = None
        for step in (self._nonces, self._asked_for, self._deadlines, self._mints):
            try:
                await step(endpoint, depth)
            except (RpcError, RpcUnavailable) as error:
                # What a node can't say of one thing holds up no other.
                failed = failed or error
        if failed is not None:
            raise failed

    async def _nonces(self, endpoint: Endpoint, depth: Block) -> None:
        if used := await self._db.fetch("transactions_used", self._chain, _AT_ONCE):
            await self._used(endpoint, used, depth)

    async def _asked_for(self, endpoint: Endpoint, depth: Block) -> None:
        if rows := await self._db.fetch("lookups_due", self._chain, _AT_ONCE):
            await self._look_up(endpoint, rows, depth)

    async def _deadlines(self, endpoint: Endpoint, depth: Block) -> None:
        if rows := await self._db.fetch("expired_open", self._chain, depth.time, _AT_ONCE):
            await self._look_up(endpoint, rows, depth)

    async def _at_depth(self, head: Block, settings: RuntimeSettings) -> Block | None:
        if settings.payment_confirmations <= 1:
            return head
        wanted = head.number - settings.payment_confirmations + 1
        for row in await self._db.fetch(
            "blocks_recent", self._chain, settings.payment_confirmations
        ):
            if row["number"] == wanted:
                return Block(number=row["number"], hash=row["hash"], time=row["time"])
        return None

    async def _used(self, endpoint: Endpoint, used: Sequence[Record], depth: Block) -> None:
        """Live rows whose nonce the chain has used: mined, reverted, or taken by others.

        Only the fate of the transaction is written here; what it carried is looked up next, by
        the authorization's own state.
        """
        receipts = await self._receipts(endpoint, used)
        stands = await canonical(endpoint, {r.place for all_ in receipts.values() for r in all_})
        counts = await self._counts(endpoint, {t["wallet"] for t in used}, depth)
        gone = await self._gone(endpoint, [i for i, told in receipts.items() if not told])
        states: list[tuple[int, str, str | None, int | None, str | None]] = []
        for tx in used:
            if (told := receipts.get(tx["id"])) is None:
                continue
            seen = next((r for r in told if r.place in stands), None)
            if told and seen is None:
                # Only of a dropped block: this node says nothing about it yet.
                continue
            if seen is not None and seen.place[0] <= depth.number:
                state = "mined" if seen.succeeded else "reverted"
                states.append((tx["id"], state, seen.hash, *seen.place))
            elif tx["id"] in gone and tx["nonce"] < counts.get(tx["wallet"], 0):
                # The block in which the nonce was seen used: a reorg below it makes it ours again.
                states.append((tx["id"], "replaced", None, depth.number, depth.hash))
        if not states:
            return
        columns = [list(column) for column in zip(*states, strict=True)]
        async with self._db.transaction() as connection:
            if not await self._stands(connection, depth):
                return
            await connection.execute(sql("transactions_resolved"), *columns)
        for id_, state, hash_, *_ in states:
            if state != "mined":
                log.warning("transaction_lost", transaction=id_, state=state, tx=hash_)

    async def _receipts(
        self, endpoint: Endpoint, rows: Sequence[Record]
    ) -> dict[int, list[_Receipt]]:
        """What the node says of each row's attempts; without those that it did not answer for."""
        attempts = await self._db.fetch("attempts_of", [row["id"] for row in rows])
        answers = await endpoint.batch(
            [Call("eth_getTransactionReceipt", (a["hash"],)) for a in attempts]
        )
        found: dict[int, list[_Receipt]] = {row["id"]: [] for row in rows}
        for attempt, answer in zip(attempts, answers, strict=True):
            id_ = attempt["transaction_id"]
            if isinstance(answer, Exception):
                found.pop(id_, None)
            elif (receipt := _receipt(attempt["hash"], answer)) and id_ in found:
                found[id_].append(receipt)
        return found

    async def _gone(self, endpoint: Endpoint, ids: Sequence[int]) -> set[int]:
        """Of transactions without a receipt those that the node does not know at all: it may only
        be late with its receipts."""
        attempts = await self._db.fetch("attempts_of", list(ids)) if ids else []
        answers = await endpoint.batch(
            [Call("eth_getTransactionByHash", (a["hash"],)) for a in attempts]
        )
        known = {
            a["transaction_id"]
            for a, answer in zip(attempts, answers, strict=True)
            if answer is not None
        }
        return set(ids) - known

    async def _counts(self, endpoint: Endpoint, wallets: set[str], depth: Block) -> dict[str, int]:
        order = sorted(wallets)
        calls = [Call("eth_getTransactionCount", (w,)) for w in order]
        answers = await read_at(endpoint, depth, calls)
        return {w: number(a) for w, a in zip(order, answers, strict=True)}

    async def _look_up(self, endpoint: Endpoint, rows: Sequence[Record], depth: Block) -> None:
        glance = await look(endpoint, rows, depth)
        findings = glance.findings
        carriers = [_carrier(row, depth) for row in rows]
        undone = await self._write(rows, findings, carriers, depth)
        # What is in a block that is not deep yet is asked again when it is, and what a reorg took
        # back once its status says so: it may be charged again.
        again = [
            finding.fate is Fate.UNKNOWN or _shallow(row, depth) or row["id"] in undone
            for row, finding in zip(rows, findings, strict=True)
        ]
        pauses = [self._search.pause(row["id"]) for row in rows]
        await self._db.execute("payments_looked_up", [r["id"] for r in rows], again, pauses)
        if glance.lost and (self._searching is None or self._searching.done()):
            # Beside the blocks: on a node that answers for few of them at a time it takes long.
            self._searching = asyncio.create_task(
                self._seek(endpoint, glance.lost, depth), name="search"
            )

    async def _seek(self, endpoint: Endpoint, rows: Sequence[Record], depth: Block) -> None:
        try:
            found = await seek(self._search, endpoint, rows, depth)
            ours = [row for row in rows if row["id"] in found]
            carriers = [_carrier(row, depth) for row in ours]
            await self._write(ours, [found[row["id"]] for row in ours], carriers, depth)
            left = [row["id"] for row in rows if row["id"] not in found]
            pauses = [self._search.pause(id_) for id_ in left]
            await self._db.execute("lookups_later", left, pauses)
        except (RpcError, RpcUnavailable, *UNAVAILABLE) as error:
            log.info("search_ended", problem=str(error)[:200])
        except Exception:
            log.exception("search_failed")

    async def _write(
        self,
        rows: Sequence[Record],
        findings: Sequence[Finding],
        carriers: Sequence[Carrier],
        depth: Block,
    ) -> set[UUID]:
        """Write what was found; those that are reversed and not final."""
        landed: dict[tuple[int, str], list[tuple[UUID, str, int]]] = defaultdict(list)
        moves: list[tuple[Record, Move]] = []
        for row, finding, carrier in zip(rows, findings, carriers, strict=True):
            event = finding.event
            if finding.fate is Fate.LANDED and event is not None:
                landed[event.block_number, event.block_hash].append(
                    (row["id"], event.tx_hash, event.log_index)
                )
                continue
            move = decide(
                status=PaymentStatus(row["status"]),
                fate=finding.fate,
                carrier=carrier,
                expired=row["valid_before"] <= depth.time,
                rounds=row["rounds"],
                undone=row["reason"] == Reason.REVERSED,
            )
            if move is not None:
                moves.append((row, move))
        for (block_number, block_hash), group in landed.items():
            block = Block(number=block_number, hash=block_hash, time=0)
            async with self._db.transaction() as connection:
                stands = await self._stands(connection, block)
                count = await write_landed(connection, block, group, deep=True) if stands else 0
            self._tally.confirmed += count
        if moves:
            await self._move(moves, depth)
        return {r["id"] for r, m in moves if m.reason is Reason.REVERSED and not m.final}

    async def _stands(self, connection: Connection, block: Block) -> bool:
        """Whether this block is still in our view of the chain; none leaves it before the commit.

        A reorg may be worked through beside a search.
        """
        return bool(
            await connection.fetch(
                sql("recovery_stands"), self._chain, [block.number], [block.hash]
            )
        )

    async def _move(self, moves: Sequence[tuple[Record, Move]], depth: Block) -> None:
        async with self._db.transaction() as connection:
            if not await self._stands(connection, depth):
                return
            for row, move in moves:
                if move.reason in _ALARMS:
                    await raise_alarm_in(
                        connection, move.reason.value, str(row["id"]), _WORDS[move.reason]
                    )
            tag = await connection.execute(
                sql("payments_moved"),
                [row["id"] for row, _ in moves],
                [row["status"] for row, _ in moves],
                [(m.status or PaymentStatus(row["status"])).value for row, m in moves],
                [m.final for _, m in moves],
                [m.reason.value for _, m in moves],
                [_WORDS[m.reason] for _, m in moves],
                depth.number,
            )
        for reason, count in Counter(m.reason for _, m in moves).items():
            log.info("payments_decided", reason=reason.value, count=count, written=changed(tag))
        self._tally.failed += sum(m.status is PaymentStatus.CONFIRMATION_FAILED for _, m in moves)

    async def _mints(self, endpoint: Endpoint, depth: Block) -> None:
        """Units of a transaction that is over: minted at depth, or back to the queue."""
        rows = await self._db.fetch("mints_adrift", self._chain, _AT_ONCE)
        if not rows:
            return
        calls = [
            Call(
                "eth_call",
                (
                    {
                        "to": r["token_address"],
                        "data": "0x" + abi.has_minted(r["tx_hash_bytes32"]).hex(),
                    },
                ),
            )
            for r in rows
        ]
        answers = await read_at(endpoint, depth, calls)
        done: list[object] = []
        back: list[object] = []
        for row, answer in zip(rows, answers, strict=True):
            try:
                (done if number(answer) == 1 else back).append(row["id"])
            except (RpcError, RpcUnavailable):
                continue
        if done:
            at = [depth.number] * len(done), [depth.hash] * len(done)
            await self._db.execute("mints_done", done, *at, True)
        if back:
            await self._db.execute("mints_back", back, "the mint transaction did not mint it")


def _carrier(row: Record, depth: Block) -> Carrier:
    """What the transaction that carries a payment can still do, as the database knows it."""
    return carrier_of(row["carrier"], alone=row["carried"] == 1, shallow=_shallow(row, depth))


def _shallow(row: Record, depth: Block) -> bool:
    """Whether its transaction stands in a block that is not at depth yet."""
    return row["carrier_block"] is not None and row["carrier_block"] > depth.number
