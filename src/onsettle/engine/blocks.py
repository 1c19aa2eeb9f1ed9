"""What blocks say, read from one endpoint: headers, and the logs of our contracts."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from onsettle.chain import abi
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.chain.logs import decode_logs
from onsettle.domain.evidence import ChainEvent
from onsettle.engine.named import Block, refuses_hashes
from onsettle.engine.network import number

log = structlog.get_logger()

_TOPICS = [
    [
        abi.TOPIC_AUTHORIZATION_USED,
        abi.TOPIC_AUTHORIZATION_CANCELED,
        abi.TOPIC_TRANSFER,
        abi.TOPIC_TOKENS_MINTED,
    ]
]
_WIDEST = 5_000
#: A reading that takes longer than this was too much at a time, seconds.
SLOW_S = 3.0
# Logs that are decoded beside the event loop.
_MANY = 300


class Fork(Exception):
    """The chain no longer holds the block that the cursor stands on."""


async def block_at(endpoint: Endpoint, tag: str) -> Block:
    return _header(await endpoint.call("eth_getBlockByNumber", tag, False))[0]


async def headers_after(
    endpoint: Endpoint, cursor: Block, last: int
) -> tuple[list[tuple[Block, str]], int]:
    """The blocks after `cursor` with their parents' hashes, and the last one's base fee.

    Raises Fork unless each is the child of the one before it.
    """
    wanted = range(cursor.number + 1, last + 1)
    answers = await endpoint.batch([_by_number(n) for n in wanted])
    chain: list[tuple[Block, str]] = []
    base_fee = 0
    for answer in answers:
        block, parent, base_fee = _header(answer)
        if parent != (chain[-1][0].hash if chain else cursor.hash):
            raise Fork
        chain.append((block, parent))
    return chain, base_fee


async def headers_below(endpoint: Endpoint, head: Block, count: int) -> list[tuple[Block, str]]:
    """`head` with up to `count` blocks before it, oldest first, as far as each is the next one's
    parent."""
    lowest = max(0, head.number - count)
    answers = await endpoint.batch([_by_number(n) for n in range(head.number, lowest - 1, -1)])
    chain: list[tuple[Block, str]] = []
    wanted = head.hash
    for answer in answers:
        if not isinstance(answer, dict) or answer.get("hash") != wanted:
            break
        block, wanted, _ = _header(answer)
        chain.append((block, wanted))
    return chain[::-1] or [(head, "")]


async def logs_of_blocks(
    endpoint: Endpoint, contracts: Sequence[str], blocks: Sequence[Block]
) -> dict[str, list[ChainEvent]]:
    """Events by block hash, each block asked for by its hash (EIP-234).

    Where a node does not take hashes, by number; the caller sees to it that the headers are the
    same before and after.
    """
    answers: list[object] = []
    if endpoint.reads_by_hash:
        answers = await endpoint.batch([_logs(contracts, {"blockHash": b.hash}) for b in blocks])
        if all(map(refuses_hashes, answers)):
            endpoint.reads_by_hash = False
    if not endpoint.reads_by_hash:
        ranges = ({"fromBlock": hex(b.number), "toBlock": hex(b.number)} for b in blocks)
        answers = await endpoint.batch([_logs(contracts, each) for each in ranges])
        headers = await endpoint.batch([_by_number(b.number) for b in blocks])
        if [_header(h)[0].hash for h in headers] != [b.hash for b in blocks]:
            raise RpcError(None, "the chain changed while it was read")
    found: dict[str, list[ChainEvent]] = {}
    for block, answer in zip(blocks, answers, strict=True):
        if isinstance(answer, Exception):
            raise answer
        found[block.hash] = [e for e in await _decoded(answer) if e.block_hash == block.hash]
    return found


def _logs(contracts: Sequence[str], where: dict[str, str]) -> Call:
    return Call("eth_getLogs", ({**where, "address": list(contracts), "topics": _TOPICS},))


async def _decoded(logs: object) -> list[ChainEvent]:
    """A full block's logs take tenths of a second: nobody waits for them."""
    if isinstance(logs, list) and len(logs) > _MANY:
        return await asyncio.to_thread(decode_logs, logs)
    return decode_logs(logs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The last block of a range, and the blocks in it that hold events."""

    last: Block
    blocks: list[tuple[Block, list[ChainEvent]]]


class RangeReader:
    """Reads many blocks by one query, as many as this node answers for."""

    def __init__(self) -> None:
        self.width = _WIDEST

    def widen(self) -> None:
        self.width = min(2 * self.width, _WIDEST)

    async def read(
        self, endpoint: Endpoint, contracts: Sequence[str], cursor: Block, last: int
    ) -> Range | None:
        """All events after `cursor` up to `last`; None where the range was too wide for the node.

        A query by numbers may be answered from another branch than was meant, so the hashes are
        compared before and after it. Raises Fork where `cursor` is not on the chain any more.
        """
        before, end = await _headers(endpoint, [cursor.number, last])
        if before.hash != cursor.hash:
            raise Fork
        query = {
            "address": list(contracts),
            "topics": _TOPICS,
            "fromBlock": hex(cursor.number + 1),
            "toBlock": hex(last),
        }
        started = time.monotonic()
        try:
            logs = await endpoint.call("eth_getLogs", query, timeout_s=30)
        except RpcUnavailable:
            # Down, or busy with a range that is too wide for it.
            self.width = max(1, (last - cursor.number) // 2)
            raise
        except RpcError as error:
            self.width = max(1, (last - cursor.number) // 2)
            log.info("range_refused", blocks=last - cursor.number, problem=str(error)[:200])
            return None
        blocks: dict[tuple[int, str], list[ChainEvent]] = defaultdict(list)
        for event in await _decoded(logs):
            blocks[event.block_number, event.block_hash].append(event)
        places = sorted(blocks)
        seen = await _headers(endpoint, [cursor.number, *(n for n, _ in places), last])
        if [b.hash for b in seen] != [cursor.hash, *(hash_ for _, hash_ in places), end.hash]:
            raise RpcError(None, "the chain changed while a range of it was read")
        if time.monotonic() - started > SLOW_S:
            self.width = max(1, (last - cursor.number) // 2)
        else:
            self.widen()
        found = zip(seen[1:-1], (blocks[place] for place in places), strict=True)
        return Range(last=end, blocks=list(found))


async def _headers(endpoint: Endpoint, numbers: Sequence[int]) -> list[Block]:
    return [_header(a)[0] for a in await endpoint.batch([_by_number(n) for n in numbers])]


def _by_number(wanted: int) -> Call:
    return Call("eth_getBlockByNumber", (hex(wanted), False))


def _header(answer: object) -> tuple[Block, str, int]:
    """A block, its parent's hash and its base fee."""
    if isinstance(answer, Exception):
        raise answer
    if not isinstance(answer, dict):
        raise RpcError(None, "the node does not know a block below its own head yet")
    block = Block(
        number=number(answer.get("number")),
        hash=str(answer["hash"]),
        time=number(answer.get("timestamp")),
    )
    return block, str(answer["parentHash"]), number(answer.get("baseFeePerGas") or "0x0")
