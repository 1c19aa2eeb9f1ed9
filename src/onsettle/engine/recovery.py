"""Recovery by an operator: look on the chain first, then do what the evidence allows.

Safe beside running workers: every write names the status that was judged, and a payment goes back
to pending only while no live transaction carries it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from onsettle.chain import abi
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.domain.outcome import Finding
from onsettle.domain.payment import PaymentStatus
from onsettle.domain.recovery import Ruling, Verdict, rule, rule_adrift, rule_mint
from onsettle.engine.fulfilment import write_landed
from onsettle.engine.lookup import find
from onsettle.engine.named import Block, read_at
from onsettle.engine.network import Network, number
from onsettle.engine.reading import read_up
from onsettle.engine.settings import SettingsReader
from onsettle.store.database import Database, Record, sql

#: Rows that one command looks at; the next run takes the rest.
AT_MOST = 10_000
_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One payment or mint: what was found, what follows, and whether it was done."""

    id: UUID
    status: str
    ruling: Ruling
    #: What it rests on: the block that was read, the transfer, the transaction that carries it.
    evidence: dict[str, Any] = field(default_factory=dict)
    #: None: not asked for. False: the row moved while it was judged.
    done: bool | None = None
    row: Record | None = None
    finding: Finding | None = None
    #: The block of its transfer, where that has not been read yet.
    unread: int | None = None

    @property
    def acts(self) -> bool:
        """Whether recovery would write something."""
        return self.ruling.verdict in (Verdict.COMPLETE, Verdict.RETRY)

    def public(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "status": self.status,
            "verdict": self.ruling.verdict.value,
            "why": self.ruling.why,
            "evidence": self.evidence,
            "done": self.done,
        }


class Recovery:
    """Looks payments up on their chains and recovers those that the evidence allows."""

    def __init__(
        self, db: Database, networks: Mapping[int, Network], settings: SettingsReader
    ) -> None:
        self._db = db
        self._networks = networks
        self._settings = settings

    async def stuck(self, older_than_s: float) -> list[UUID]:
        """Payments that the guide's recovery script is for."""
        return [r["id"] for r in await self._db.fetch("recovery_stuck", older_than_s, AT_MOST)]

    async def like(self, status: str, error: str | None) -> list[UUID]:
        """Payments of one status, `error` being a part of their error or reason."""
        return [r["id"] for r in await self._db.fetch("recovery_like", status, error, AT_MOST)]

    async def look(self, ids: Sequence[UUID]) -> list[Case]:
        """The evidence and the ruling for each payment that exists."""
        cases: list[Case] = []
        for at in range(0, len(ids), _AT_ONCE):
            rows = await self._db.fetch("recovery_payments", list(ids[at : at + _AT_ONCE]))
            for chain_id, group in _by_chain(rows).items():
                cases += await self._judge(chain_id, group)
        return cases

    async def apply(self, cases: Sequence[Case]) -> list[Case]:
        """Do what the rulings say; each case comes back with `done`."""
        done: set[UUID] = set()
        for at in range(0, len(cases), _AT_ONCE):
            group = cases[at : at + _AT_ONCE]
            done |= await self._retry([c for c in group if c.ruling.verdict is Verdict.RETRY])
            landed = [c for c in group if c.ruling.verdict is Verdict.COMPLETE]
            read = await self._read(landed)
            done |= read
            done |= await self._complete([c for c in landed if c.id not in read])
            over = [c.id for c in group if c.ruling.verdict is Verdict.OVER]
            # The engine closes these for good at its next look, with the evidence it finds.
            await self._db.execute("payments_need_lookup", over)
        return [replace(c, done=c.id in done) if c.acts else c for c in cases]

    async def recheck(self, ids: Sequence[UUID]) -> int:
        """Have the engine look these up again; how many it will."""
        return await self._db.execute("payments_need_lookup", list(ids))

    async def _judge(self, chain_id: int | None, rows: Sequence[Record]) -> list[Case]:
        if chain_id is None:
            return [_adrift(row) for row in rows]
        network = self._networks.get(chain_id)
        if network is None:
            why = f"no network with chain id {chain_id} is configured or answers here"
            ruling = Ruling(verdict=Verdict.UNKNOWN, why=why)
            return [Case(id=r["id"], status=r["status"], ruling=ruling) for r in rows]
        try:
            endpoint = network.pool.best()
            depth = await block_at_depth(self._db, endpoint, network, self._settings)
            findings = await find(endpoint, rows, depth)
            books = await self._db.fetchrow("network_get", network.chain_id)
        except (RpcError, RpcUnavailable) as error:
            ruling = Ruling(verdict=Verdict.UNKNOWN, why=str(error))
            return [Case(id=r["id"], status=r["status"], ruling=ruling) for r in rows]
        return [_case(row, f, depth, books) for row, f in zip(rows, findings, strict=True)]

    async def _retry(self, cases: Sequence[Case]) -> set[UUID]:
        if not cases:
            return set()
        columns = [c.id for c in cases], [c.status for c in cases]
        return {row["id"] for row in await self._db.fetch("payments_retry", *columns)}

    async def _read(self, cases: Sequence[Case]) -> set[UUID]:
        """Take in the blocks that nobody has read, as a worker would; what that completed.

        Evidence above the cursor is not written by itself: a reorg would not take it back.
        """
        unread = [c for c in cases if c.unread is not None]
        heights: dict[int, int] = {}
        for case in unread:
            if case.row is not None and case.unread is not None:
                chain_id = case.row["chain_id"]
                heights[chain_id] = max(case.unread, heights.get(chain_id, 0))
        for chain_id, height in heights.items():
            await read_up(self._db, self._networks[chain_id], self._settings, height)
        rows = await self._db.fetch("recovery_payments", [c.id for c in unread])
        return {row["id"] for row in rows if row["status"] == PaymentStatus.COMPLETED}

    async def _complete(self, cases: Sequence[Case]) -> set[UUID]:
        """Write the transfers that were found, where their block stands in our view too."""
        blocks: dict[tuple[int, int, str], list[Case]] = defaultdict(list)
        for case in cases:
            if case.row is not None and case.finding is not None and case.finding.event:
                event = case.finding.event
                key = case.row["chain_id"], event.block_number, event.block_hash
                blocks[key].append(case)
        done: set[UUID] = set()
        for (chain_id, height, hash_), group in blocks.items():
            block = Block(number=height, hash=hash_, time=0)
            events = [(c.id, c.finding.event) for c in group if c.finding and c.finding.event]
            landed = [(id_, event.tx_hash, event.log_index) for id_, event in events]
            async with self._db.transaction() as connection:
                stands = await connection.fetch(sql("recovery_stands"), chain_id, [height], [hash_])
                if stands:
                    await write_landed(connection, block, landed, deep=True)
                    done |= {c.id for c in group}
        return done


class MintRecovery:
    """The same for mints: `hasMinted` is asked before anything is minted again."""

    def __init__(
        self, db: Database, networks: Mapping[int, Network], settings: SettingsReader
    ) -> None:
        self._db = db
        self._networks = networks
        self._settings = settings

    async def unfinished(self, status: str | None) -> list[UUID]:
        """Mints that are not completed, oldest first."""
        return [r["id"] for r in await self._db.fetch("recovery_mints_open", status, AT_MOST)]

    async def look(self, ids: Sequence[UUID]) -> list[Case]:
        cases: list[Case] = []
        for at in range(0, len(ids), _AT_ONCE):
            rows = await self._db.fetch("recovery_mints", list(ids[at : at + _AT_ONCE]))
            for chain_id, group in _by_chain(rows).items():
                cases += await self._judge(chain_id, group)
        return cases

    async def apply(self, cases: Sequence[Case]) -> list[Case]:
        retried = [c for c in cases if c.ruling.verdict is Verdict.RETRY]
        columns = [c.id for c in retried], [c.status for c in retried]
        done = {row["id"] for row in await self._db.fetch("mints_retry", *columns)}
        minted = [c for c in cases if c.ruling.verdict is Verdict.COMPLETE]
        await self._db.execute(
            "mints_done",
            [c.id for c in minted],
            [c.evidence["block_number"] for c in minted],
            [c.evidence["block_hash"] for c in minted],
            False,
        )
        done.update(c.id for c in minted)
        return [replace(c, done=c.id in done) if c.acts else c for c in cases]

    async def _judge(self, chain_id: int | None, rows: Sequence[Record]) -> list[Case]:
        network = self._networks.get(chain_id) if chain_id is not None else None
        minted: list[bool | None] = [None] * len(rows)
        evidence: dict[str, Any] = {}
        if network is not None:
            try:
                endpoint = network.pool.best()
                depth = await block_at_depth(self._db, endpoint, network, self._settings)
                minted = await _has_minted(endpoint, rows, depth)
                evidence = {"block_number": depth.number, "block_hash": depth.hash}
            except (RpcError, RpcUnavailable) as error:
                evidence = {"problem": str(error)}
        return [
            Case(
                id=row["id"],
                status=row["status"],
                ruling=rule_mint(
                    status=row["status"],
                    paid=row["paid"],
                    minted=seen,
                    in_block=row["block_number"],
                    live=row["live"],
                ),
                evidence={**evidence, "has_minted": seen, "mint_tx_hash": row["mint_tx_hash"]},
            )
            for row, seen in zip(rows, minted, strict=True)
        ]


async def block_at_depth(
    db: Database, endpoint: Endpoint, network: Network, settings: SettingsReader
) -> Block:
    """The newest block at depth; raises RpcError where this node is behind the books."""
    confirmations = (await settings.get()).payment_confirmations
    head = number(await endpoint.call("eth_blockNumber"))
    row = await db.fetchrow("network_get", network.chain_id)
    cursor = row["cursor_number"] if row is not None else None
    if cursor is not None and head < cursor:
        raise RpcError(None, f"{endpoint.name} is at block {head}, behind the books ({cursor})")
    wanted = max(0, head - confirmations + 1)
    header = await endpoint.call("eth_getBlockByNumber", hex(wanted), False)
    if not isinstance(header, dict):
        raise RpcError(None, f"{endpoint.name} does not know its own block {wanted}")
    return Block(
        number=number(header.get("number")),
        hash=str(header["hash"]),
        time=number(header.get("timestamp")),
    )


def _by_chain(rows: Sequence[Record]) -> dict[int | None, list[Record]]:
    groups: dict[int | None, list[Record]] = defaultdict(list)
    for row in rows:
        groups[row["chain_id"]].append(row)
    return groups


def _adrift(row: Record) -> Case:
    ruling = rule_adrift(status=row["status"], refused=row["refused"], error=row["error"])
    return Case(
        id=row["id"], status=row["status"], ruling=ruling, evidence={"refused": row["refused"]}
    )


def _unread(finding: Finding, cursor: int | None) -> int | None:
    """The block of the transfer where our confirmer has not read it: it alone may write that."""
    if finding.event is None or (cursor is not None and finding.event.block_number <= cursor):
        return None
    return finding.event.block_number


def _case(row: Record, finding: Finding, depth: Block, books: Record | None) -> Case:
    if row["duplicate_of"] is not None:
        why = f"a duplicate of {row['duplicate_of']}: never sent"
        ruling = Ruling(verdict=Verdict.NOTHING, why=why)
        return Case(id=row["id"], status=row["status"], ruling=ruling)
    unread = _unread(finding, books["cursor_number"] if books is not None else None)
    ruling = rule(
        status=PaymentStatus(row["status"]),
        final=row["final"],
        fate=finding.fate,
        carrier=row["live"],
        in_block=row["block_number"],
        expired=row["valid_before"] <= depth.time,
        unread=unread,
        followed=books is None or books["followed"],
    )
    evidence = {
        "block_number": depth.number,
        "block_hash": depth.hash,
        "chain_time": depth.time,
        "valid_before": row["valid_before"],
        "authorization": finding.fate.name.lower(),
        "live_transaction": row["live"],
        "transaction_state": row["tx_state"],
    }
    if finding.event is not None:
        evidence["tx_hash"] = finding.event.tx_hash
        evidence["tx_block"] = finding.event.block_number
    return Case(
        id=row["id"],
        status=row["status"],
        ruling=ruling,
        evidence=evidence,
        row=row,
        finding=finding,
        unread=unread,
    )


async def _has_minted(
    endpoint: Endpoint, rows: Sequence[Record], depth: Block
) -> list[bool | None]:
    calls = [
        Call(
            "eth_call",
            (
                {
                    "to": row["token_address"],
                    "data": "0x" + abi.has_minted(row["tx_hash_bytes32"]).hex(),
                },
            ),
        )
        for row in rows
    ]
    answers: list[bool | None] = []
    for answer in await read_at(endpoint, depth, calls):
        try:
            answers.append(number(answer) == 1)
        except (RpcError, RpcUnavailable):
            answers.append(None)
    return answers
