"""What became of one authorization, read from one endpoint at one named block."""

import asyncio
from collections.abc import Sequence, Set
from dataclasses import dataclass
from uuid import UUID

from onsettle.chain import abi
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.chain.logs import decode_logs
from onsettle.domain.evidence import AuthorizationCanceled, ChainEvent
from onsettle.domain.outcome import Fate, Finding, judge, uses
from onsettle.engine.named import Block, read_at
from onsettle.engine.network import number
from onsettle.engine.search import REQUESTS, Search
from onsettle.store.database import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What a few requests tell. `lost` are used, and their transactions have to be searched for."""

    findings: list[Finding]
    lost: list[Record]


async def canonical(endpoint: Endpoint, places: Set[tuple[int, str]]) -> Set[tuple[int, str]]:
    """Of these blocks, as (number, hash), those that stand on the node's chain.

    A receipt may be of a block that a reorg has dropped. Raises RpcError and RpcUnavailable.
    """
    order = sorted(places)
    answers = await endpoint.batch(
        [Call("eth_getBlockByNumber", (hex(at), False)) for at, _ in order]
    )
    standing: set[tuple[int, str]] = set()
    for place, answer in zip(order, answers, strict=True):
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, dict) and answer.get("hash") == place[1]:
            standing.add(place)
    return standing


async def find(endpoint: Endpoint, rows: Sequence[Record], block: Block) -> list[Finding]:
    """The fate of each row's authorization at `block`; UNKNOWN wherever a node can't say."""
    glance = await look(endpoint, rows, block)
    if not glance.lost:
        return glance.findings
    found = await seek(Search(), endpoint, glance.lost, block, requests=8 * REQUESTS)
    return [
        found.get(row["id"], finding) for row, finding in zip(rows, glance.findings, strict=True)
    ]


async def look(endpoint: Endpoint, rows: Sequence[Record], block: Block) -> Glance:
    """The same without a search: what is lost is UNKNOWN."""
    calls = [
        Call(
            "eth_call",
            (
                {
                    "to": row["payment_token_address"],
                    "data": "0x"
                    + abi.authorization_state(row["payer"], row["authorization_nonce"]).hex(),
                },
            ),
        )
        for row in rows
    ]
    try:
        states = await read_at(endpoint, block, calls)
    except (RpcError, RpcUnavailable):
        return Glance(findings=[Finding(fate=Fate.UNKNOWN) for _ in rows], lost=[])
    gate = asyncio.Semaphore(8)
    lost: list[Record] = []

    async def one(row: Record, state: object) -> Finding:
        try:
            used = number(state) == 1
        except (RpcError, RpcUnavailable):
            return Finding(fate=Fate.UNKNOWN)
        if not used:
            return Finding(fate=Fate.UNUSED)
        async with gate:
            events = await _hinted(endpoint, row, block)
        if not events:
            lost.append(row)
        return _judged(row, events)

    findings = await asyncio.gather(*(one(r, s) for r, s in zip(rows, states, strict=True)))
    return Glance(findings=list(findings), lost=lost)


async def seek(
    search: Search,
    endpoint: Endpoint,
    rows: Sequence[Record],
    block: Block,
    requests: int = REQUESTS,
) -> dict[UUID, Finding]:
    """Search for the uses of these authorizations up to `block`; those that were found."""
    events = await search.run(endpoint, rows, (block.number, block.time), requests)
    findings: dict[UUID, Finding] = {}
    for row in rows:
        if row["id"] in events:
            whole = await _whole(endpoint, events[row["id"]])
            finding = _judged(row, _own(whole, row))
            if finding.fate is not Fate.UNKNOWN:
                findings[row["id"]] = finding
    return findings


def _judged(row: Record, events: Sequence[ChainEvent]) -> Finding:
    return judge(used=True, events=events, pay_to=row["pay_to"], amount=int(row["amount"]))


async def _hinted(endpoint: Endpoint, row: Record, block: Block) -> list[ChainEvent]:
    """What the transaction that the row names did to the authorization: no search is needed."""
    if not row.get("tx_hash"):
        return []
    try:
        receipt = await endpoint.call("eth_getTransactionReceipt", row["tx_hash"])
        logs = decode_logs(receipt["logs"]) if isinstance(receipt, dict) else []
        stands = await canonical(endpoint, {(e.block_number, e.block_hash) for e in logs})
    except (RpcError, RpcUnavailable, ValueError, KeyError):
        return []
    asset = row["payment_token_address"]
    logs = [e for e in logs if e.address == asset and e.block_number <= block.number]
    return _own([e for e in logs if (e.block_number, e.block_hash) in stands], row)


def _own(events: Sequence[ChainEvent], row: Record) -> list[ChainEvent]:
    """Of a transaction's logs those of this authorization: a pack holds those of others too."""
    mine = (row["payer"], row["authorization_nonce"])
    found: list[ChainEvent] = []
    for use in uses(events):
        if (use.event.payer, use.event.nonce) == mine:
            found += [use.event] if use.transfer is None else [use.event, use.transfer]
    found += [
        event
        for event in events
        if isinstance(event, AuthorizationCanceled) and (event.payer, event.nonce) == mine
    ]
    return found


async def _whole(endpoint: Endpoint, event: ChainEvent) -> list[ChainEvent]:
    """All the token's logs of the event's block that belong to its transaction."""
    number_ = hex(event.block_number)
    where = (
        {"blockHash": event.block_hash}
        if endpoint.reads_by_hash
        else {"fromBlock": number_, "toBlock": number_}
    )
    try:
        logs = await endpoint.call("eth_getLogs", {"address": event.address, **where})
    except (RpcError, RpcUnavailable):
        return []
    return [
        e
        for e in decode_logs(logs)
        if (e.tx_hash, e.block_hash) == (event.tx_hash, event.block_hash)
    ]
