"""Every mint of our tokens, read from the chain itself: whoever made it, whatever the books say."""

from collections.abc import Sequence

from onsettle.chain import abi
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.chain.logs import decode_logs
from onsettle.domain.evidence import Minted
from onsettle.engine.audit.report import Report

_FIRST_SPAN = 5_000
_WIDEST = 100_000
#: Far below what nodes refuse to answer at once.
_MANY = 2_000


async def read_minted(
    endpoint: Endpoint, tokens: Sequence[str], first: int, last: int, report: Report
) -> list[Minted]:
    """Mints in blocks `first` to `last`; blocks that the node does not answer for are reported.

    A range that is refused is halved, down to one block.
    """
    found: list[Minted] = []
    span, low = _FIRST_SPAN, first
    while tokens and low <= last:
        high = min(last, low + span - 1)
        query = {
            "address": list(tokens),
            "topics": [abi.TOPIC_TOKENS_MINTED],
            "fromBlock": hex(low),
            "toBlock": hex(high),
        }
        try:
            logs = await endpoint.call("eth_getLogs", query, timeout_s=30)
            events = decode_logs(logs)
        except (RpcError, RpcUnavailable, ValueError) as error:
            if span > 1:
                span = max(1, (high - low + 1) // 2)
                continue
            report.not_checked.append(f"mints in blocks {low} to {last}: {error}")
            break
        found += [e for e in events if isinstance(e, Minted) and low <= e.block_number <= high]
        low = high + 1
        if len(events) < _MANY:
            span = min(2 * span, _WIDEST)
    return found
