"""Reads of state at one named block: by hash, or by number between two looks at the hash."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcError
from onsettle.chain.reverts import is_revert

# How nodes say that they do not read at a hash at all (EIP-1898, EIP-234).
_REFUSED = re.compile(
    r"invalid (argument|param|type|input)|unmarshal|deserializ|not supported|unsupported"
    r"|(cannot|can't|can not|could not|unable to|failed to) (wrap|parse|decode|convert)"
)
# Invalid params; and a parse error, though what we send is JSON: of what a parameter may be.
_REFUSING = {-32602, -32700}
# That they do not know this one is said with the same codes (Hardhat), and is another thing.
_NOT_KNOWN = re.compile(r"not found|can ?not be found|unknown block|header not found|missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A canonical block, named by hash."""

    number: int
    hash: str
    time: int


def at_block(block: Block) -> dict[str, object]:
    """EIP-1898: a read at exactly this block, refused when it is not canonical."""
    return {"blockHash": block.hash, "requireCanonical": True}


async def read_at(endpoint: Endpoint, block: Block, calls: Sequence[Call]) -> list[object]:
    """One answer each, or the RpcError or RpcUnavailable that stands for it.

    `calls` come without their last parameter, which names the block. Raises RpcUnavailable when
    nothing at all was answered.
    """
    if not calls:
        return []
    if endpoint.reads_by_hash:
        answers = await endpoint.batch([_at(call, at_block(block)) for call in calls])
        if not all(map(refuses_hashes, answers)):
            return answers
        endpoint.reads_by_hash = False
    changed = RpcError(None, f"block {block.number} is another one now")
    if await _hash_at(endpoint, block.number) != block.hash:
        return [changed] * len(calls)
    answers = await endpoint.batch([_at(call, hex(block.number)) for call in calls])
    if await _hash_at(endpoint, block.number) != block.hash:
        return [changed] * len(calls)
    return answers


def refuses_hashes(answer: object) -> bool:
    """Whether this answer says that blocks can't be named by their hash here."""
    if not isinstance(answer, RpcError) or is_revert(answer):
        return False  # a contract says what it likes
    text = answer.message.lower()
    if _NOT_KNOWN.search(text):
        return False
    return answer.code in _REFUSING or _REFUSED.search(text) is not None


def _at(call: Call, name: object) -> Call:
    return Call(call.method, (*call.params, name))


async def _hash_at(endpoint: Endpoint, number: int) -> object:
    header = await endpoint.call("eth_getBlockByNumber", hex(number), False)
    return header.get("hash") if isinstance(header, dict) else None
