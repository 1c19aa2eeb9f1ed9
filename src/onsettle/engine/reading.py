"""Reads of state at the very block that a wallet looks at."""

from collections.abc import Sequence

from onsettle.chain.jsonrpc import Call
from onsettle.engine.lookup import at_block
from onsettle.engine.unit import View


async def read_at(view: View, calls: Sequence[Call]) -> list[object]:
    """The answers to these reads, which come without their block, at the view's block.

    One URL may be many nodes, and the one that answers may be behind the one that showed the block:
    by hash it refuses instead of answering for an older one. Raises RpcUnavailable when nothing at
    all was answered.
    """
    at = at_block(view.block)
    return await view.endpoint.batch([Call(c.method, (*c.params, at)) for c in calls])
