"""A node that is behind: it answers everything as of an older head."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

Request = dict[str, Any]
Answer = dict[str, Any]
Handler = Callable[[Sequence[Request]], Awaitable[list[Answer]]]

#: Where the block stands in the parameters of a read of state.
_STATE = {
    "eth_getTransactionCount": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_call": 1,
    "eth_estimateGas": 1,
}
_PLACED = ("eth_getTransactionReceipt", "eth_getTransactionByHash", "eth_getBlockByHash")


class Lag:
    """`blocks()` says how far behind; None: the head stands still where it was first seen."""

    def __init__(self, blocks: Callable[[], int] | None) -> None:
        self._blocks = blocks
        self._stands: int | None = None

    async def __call__(
        self, calls: Sequence[Request], *, then: Handler, hit: Callable[[Request], bool]
    ) -> list[Answer]:
        if not any(hit(call) for call in calls):
            return await then(calls)
        seen = await self._head(then)
        asked = [self._ask(call, seen) for call in calls]
        answers = await then(asked)
        return [
            await self._tell(call, answer, seen, then)
            for call, answer in zip(calls, answers, strict=True)
        ]

    async def _head(self, then: Handler) -> int:
        [answer] = await then([{"jsonrpc": "2.0", "id": 0, "method": "eth_blockNumber"}])
        head = int(str(answer["result"]), 16)
        if self._blocks is not None:
            return max(0, head - self._blocks())
        if self._stands is None:
            self._stands = head
        return min(head, self._stands)

    def _ask(self, call: Request, seen: int) -> Request:
        method, params = call.get("method"), list(call.get("params", []))
        if method in _STATE:
            at = _STATE[method]
            if len(params) == at:
                params.append("latest")
            if params[at] in ("latest", "pending"):
                params[at] = hex(seen)
        elif method == "eth_getBlockByNumber" and params[0] in ("latest", "pending"):
            params[0] = hex(seen)
        elif method == "eth_getLogs" and "blockHash" not in params[0]:
            params[0] = self._range(params[0], seen)
        return dict(call, params=params)

    def _range(self, wanted: dict[str, Any], seen: int) -> dict[str, Any]:
        def number(place: str) -> int:
            return int(place, 16) if place.startswith("0x") else seen

        last = min(number(wanted.get("toBlock", "latest")), seen)
        first = min(number(wanted.get("fromBlock", "latest")), last)
        return dict(wanted, fromBlock=hex(first), toBlock=hex(last))

    async def _tell(self, call: Request, answer: Answer, seen: int, then: Handler) -> Answer:
        method, params = call.get("method"), call.get("params", [])
        if method == "eth_blockNumber":
            return dict(answer, result=hex(seen))
        if method == "eth_getBlockByNumber" and str(params[0]).startswith("0x"):
            return dict(answer, result=None) if int(params[0], 16) > seen else answer
        if method in _PLACED:
            found = answer.get("result")
            place = (found or {}).get("number" if "Block" in str(method) else "blockNumber")
            late = place is not None and int(place, 16) > seen
            return dict(answer, result=None) if late else answer
        hash_ = _named_block(method, params)
        if hash_ is not None and await _height(hash_, then) > seen:
            refusal = {"code": -32000, "message": "header not found"}
            return {"jsonrpc": "2.0", "id": call.get("id"), "error": refusal}
        return answer


def _named_block(method: object, params: Sequence[Any]) -> str | None:
    at = 0 if method == "eth_getLogs" else _STATE.get(str(method))
    if at is None or len(params) <= at or not isinstance(params[at], dict):
        return None
    hash_ = params[at].get("blockHash")
    return None if hash_ is None else str(hash_)


async def _height(hash_: str, then: Handler) -> int:
    call = {"jsonrpc": "2.0", "id": 0, "method": "eth_getBlockByHash", "params": [hash_, False]}
    [answer] = await then([call])
    block = answer.get("result")
    return int(block["number"], 16) if block else -1
