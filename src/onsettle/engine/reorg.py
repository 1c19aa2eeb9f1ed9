"""Where the chain that we followed and the chain that is part."""

from collections.abc import Sequence

from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcUnavailable
from onsettle.engine.named import Block
from onsettle.store.database import Record

_AT_ONCE = 20


async def newest_standing(endpoint: Endpoint, known: Sequence[Record], head: Block) -> Block | None:
    """The newest of these blocks (newest first) that is on this node's chain; None: not one is.

    A node that does not know a block below its own head has proved nothing: RpcUnavailable.
    """
    for at in range(0, len(known), _AT_ONCE):
        rows = known[at : at + _AT_ONCE]
        answers = await endpoint.batch(
            [Call("eth_getBlockByNumber", (hex(row["number"]), False)) for row in rows]
        )
        for row, answer in zip(rows, answers, strict=True):
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, dict) and answer.get("hash") == row["hash"]:
                return Block(number=row["number"], hash=row["hash"], time=row["time"])
            if not isinstance(answer, dict) and row["number"] <= head.number:
                raise RpcUnavailable(endpoint.name, f"block {row['number']} is not known there")
    return None
