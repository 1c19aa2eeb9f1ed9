"""Every event of some contracts in a range of blocks, read from one node."""

from collections.abc import Sequence

from onsettle.chain.abi import (
    TOPIC_AUTHORIZATION_CANCELED,
    TOPIC_AUTHORIZATION_USED,
    TOPIC_TOKENS_MINTED,
    TOPIC_TRANSFER,
)
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.chain.logs import decode_logs
from onsettle.domain.evidence import ChainEvent

_TOPICS = [
    TOPIC_AUTHORIZATION_USED,
    TOPIC_AUTHORIZATION_CANCELED,
    TOPIC_TRANSFER,
    TOPIC_TOKENS_MINTED,
]
_WIDEST = 5000


async def read_events(
    endpoint: Endpoint, addresses: Sequence[str], first: int, last: int
) -> tuple[list[ChainEvent], str | None]:
    """The events, and why they are not all (None: they are). Refused ranges are halved."""
    events: list[ChainEvent] = []
    width = _WIDEST
    start = first
    while addresses and start <= last:
        end = min(start + width - 1, last)
        try:
            answer = await endpoint.call(
                "eth_getLogs",
                {
                    "address": list(addresses),
                    "topics": [_TOPICS],
                    "fromBlock": hex(start),
                    "toBlock": hex(end),
                },
                timeout_s=30,
            )
            events.extend(decode_logs(answer))
        except (RpcError, RpcUnavailable, ValueError) as error:
            if start == end:
                return events, f"blocks {start} to {last}: {error}"
            width = (end - start + 1) // 2
            continue
        start = end + 1
        width = min(width * 2, _WIDEST)
    return events, None
