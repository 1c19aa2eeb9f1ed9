"""What blocks alone do not tell: used nonces without a transfer, look-ups, deadlines."""

from collections import defaultdict
from collections.abc import Sequence

import structlog

from onsettle.chain import abi
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.domain.outcome import Carrier, Fate, Finding, Move, decide
from onsettle.domain.payment import PaymentStatus, Reason
from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.fulfilment import write_landed
from onsettle.engine.lookup import Block, at_block, find
from onsettle.engine.network import Network, number
from onsettle.store.database import Database, Record

log = structlog.get_logger()

_AT_ONCE = 200

_WORDS = {
    Reason.EXPIRED: "validBefore has passed and the authorization is unused",
    Reason.CANCELLED: "the payer cancelled the authorization",
    Reason.USED_ELSEWHERE: "the authorization was used for another transfer",
    Reason.REVERTED: "the transaction reverted",
    Reason.REPLACED: "another transaction took the nonce: it is sent again",
    Reason.TOO_MANY_ROUNDS: "it was sent three times and did not land",
    Reason.REVERSED: "a reorg removed the transfer and it can not land again",
}


class Resolver:
    """Negative verdicts. Each is read at a named block, at depth, from one endpoint."""

    def __init__(self, db: Database, network: Network) -> None:
        self._db = db
        self._network = network
        self._chain = network.chain_id

    async def resolve(self, endpoint: Endpoint, head: Block, settings: RuntimeSettings) -> None:
        used = await self._db.fetch("transactions_used", self._chain, _AT_ONCE)
        lookups = await self._db.fetch("lookups_due", self._chain, _AT_ONCE)
        depth = await self._at_depth(head, settings)
        if depth is None:
            return
        if used:
            await self._used(endpoint, used, depth)
        if lookups:
            await self._look_up(endpoint, lookups, depth, {})
        expired = await self._db.fetch("expired_open", self._chain, depth.time, _AT_ONCE)
        if expired:
            await self._look_up(endpoint, expired, depth, {})

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
        """Live rows whose nonce the chain has used: mined, reverted, or taken by others."""
        attempts = await self._db.fetch("attempts_of", [t["id"] for t in used])
        receipts = await endpoint.batch(
            [Call("eth_getTransactionReceipt", (a["hash"],)) for a in attempts]
        )
        mined: dict[int, tuple[str, int, str, bool]] = {}
        for attempt, receipt in zip(attempts, receipts, strict=True):
            if isinstance(receipt, Exception):
                return
            if isinstance(receipt, dict) and isinstance(receipt.get("blockHash"), str):
                mined[attempt["transaction_id"]] = (
                    attempt["hash"],
                    number(receipt.get("blockNumber")),
                    receipt["blockHash"],
                    number(receipt.get("status")) == 1,
                )
        counts = await self._counts(endpoint, {t["wallet"] for t in used}, depth)
        carriers: dict[int, Carrier] = {}
        states: list[tuple[int, str, str | None, int | None, str | None]] = []
        for tx in used:
            seen = mined.get(tx["id"])
            if seen is not None and seen[1] <= depth.number:
                state = "mined" if seen[3] else "reverted"
                states.append((tx["id"], state, seen[0], seen[1], seen[2]))
                alone = len(tx["payment_ids"]) == 1 and not seen[3]
                carriers[tx["id"]] = Carrier.REVERTED if alone else Carrier.GONE
            elif seen is None and tx["nonce"] < counts.get(tx["wallet"], 0):
                states.append((tx["id"], "replaced", None, None, None))
                carriers[tx["id"]] = Carrier.GONE
        resolved = [t for t in used if t["id"] in carriers]
        await self._settle(endpoint, resolved, carriers, states, depth)

    async def _settle(
        self,
        endpoint: Endpoint,
        resolved: Sequence[Record],
        carriers: dict[int, Carrier],
        states: Sequence[tuple[int, str, str | None, int | None, str | None]],
        depth: Block,
    ) -> None:
        payments = [i for t in resolved for i in t["payment_ids"]]
        rows = await self._db.fetch("payments_by_ids", payments) if payments else []
        open_rows = [r for r in rows if r["block_number"] is None and not r["final"]]
        findings = await find(endpoint, open_rows, depth) if open_rows else []
        unknown = {
            r["transaction_id"]
            for r, f in zip(open_rows, findings, strict=True)
            if f.fate is Fate.UNKNOWN
        }
        # A transaction stays live until all that it carries is decided.
        decided = [s for s in states if s[0] not in unknown]
        if decided:
            columns = [list(column) for column in zip(*decided, strict=True)]
            await self._db.execute("transactions_resolved", *columns)
        await self._write(open_rows, findings, depth, carriers)
        mints = [i for t in resolved if t["id"] not in unknown for i in t["mint_ids"]]
        if mints:
            await self._mints(endpoint, mints, depth)

    async def _counts(self, endpoint: Endpoint, wallets: set[str], depth: Block) -> dict[str, int]:
        order = sorted(wallets)
        answers = await endpoint.batch(
            [Call("eth_getTransactionCount", (w, at_block(depth))) for w in order]
        )
        return {w: number(a) for w, a in zip(order, answers, strict=True)}

    async def _look_up(
        self,
        endpoint: Endpoint,
        rows: Sequence[Record],
        depth: Block,
        carriers: dict[int, Carrier],
    ) -> None:
        findings = await find(endpoint, rows, depth)
        await self._write(rows, findings, depth, carriers)
        ids = [r["id"] for r in rows]
        again = [f.fate is Fate.UNKNOWN for f in findings]
        await self._db.execute("payments_looked_up", ids, again)

    async def _write(
        self,
        rows: Sequence[Record],
        findings: Sequence[Finding],
        depth: Block,
        carriers: dict[int, Carrier],
    ) -> None:
        landed: dict[tuple[int, str], list[Record]] = defaultdict(list)
        moves: list[tuple[Record, Move]] = []
        events = {}
        for row, finding in zip(rows, findings, strict=True):
            if finding.fate is Fate.LANDED and finding.event is not None:
                landed[finding.event.block_number, finding.event.block_hash].append(row)
                events[row["id"]] = finding.event
                continue
            move = decide(
                status=PaymentStatus(row["status"]),
                fate=finding.fate,
                carrier=carriers.get(row["transaction_id"], Carrier.LIVE),
                expired=row["valid_before"] <= depth.time,
                rounds=row["rounds"],
            )
            if move is not None:
                moves.append((row, move))
        for (block_number, block_hash), group in landed.items():
            block = Block(number=block_number, hash=block_hash, time=0)
            async with self._db.transaction() as connection:
                await write_landed(
                    connection,
                    block,
                    [(r["id"], events[r["id"]].tx_hash, events[r["id"]].log_index) for r in group],
                    deep=True,
                )
        if moves:
            await self._move(moves)

    async def _move(self, moves: Sequence[tuple[Record, Move]]) -> None:
        await self._db.execute(
            "payments_moved",
            [row["id"] for row, _ in moves],
            [row["status"] for row, _ in moves],
            [(m.status or PaymentStatus(row["status"])).value for row, m in moves],
            [m.final for _, m in moves],
            [m.reason.value for _, m in moves],
            [_WORDS[m.reason] for _, m in moves],
        )
        for row, move in moves:
            log.info("payment_decided", payment=str(row["id"]), reason=move.reason.value)
            if move.reason in (Reason.USED_ELSEWHERE, Reason.REVERSED):
                await self._db.execute(
                    "alarm_raise", move.reason.value, str(row["id"]), _WORDS[move.reason]
                )

    async def _mints(self, endpoint: Endpoint, ids: Sequence[object], depth: Block) -> None:
        """Units of a transaction that is over: minted at depth, or back to the queue."""
        rows = await self._db.fetch("mints_by_ids", list(ids))
        rows = [r for r in rows if r["status"] == "processing" and r["block_number"] is None]
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
                    at_block(depth),
                ),
            )
            for r in rows
        ]
        answers = await endpoint.batch(calls)
        done: list[object] = []
        back: list[object] = []
        for row, answer in zip(rows, answers, strict=True):
            try:
                (done if number(answer) == 1 else back).append(row["id"])
            except (RpcError, RpcUnavailable):
                continue
        await self._db.execute("mints_done", done)
        await self._db.execute("mints_back", back, "the mint transaction did not mint it")
