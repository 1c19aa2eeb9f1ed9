"""JSON-RPC 2.0: calls, the three ways in which one can end, and the bytes in between."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson


@dataclass(frozen=True, slots=True)
class Call:
    """One method with its parameters; `params` must be JSON (bytes and addresses as 0x hex)."""

    method: str
    params: tuple[object, ...] = ()


class RpcError(Exception):
    """The node answered, with a JSON-RPC error. It says nothing about the health of the node."""

    def __init__(self, code: int | None, message: str, data: object = None) -> None:
        super().__init__(code, message, data)
        self.code = code
        self.message = message
        self.data = data

    def __str__(self) -> str:
        return self.message if self.code is None else f"{self.message} (code {self.code})"


class RpcUnavailable(Exception):
    """No usable answer, so nothing is known: a request may or may not have had its effect."""

    def __init__(self, endpoint: str, reason: str) -> None:
        super().__init__(endpoint, reason)
        self.endpoint = endpoint
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.endpoint}: {self.reason}"


class RateLimited(RpcUnavailable):
    """The node (or a limit of our own) refused to look at the request now: it had no effect."""


_RATE = re.compile(
    r"rate.?limit|rate exceeded|too many requests|request limit|requests? count exceeded"
    r"|(requests|credits|calls) (per|/) ?(second|minute|day)|throughput|compute units"
    r"|daily request|usage limit|quota|capacity limit"
)
# Providers use -32005 both for "too many requests" and for "too much in this one request"; Besu
# uses it for a gas limit. The second kind is an answer: asking again later changes nothing.
_SIZE = re.compile(r"result|logs|range|response size|query|gas limit|blocks")
_BATCH_SIZE = re.compile(r"too (large|big|many)|limit|maximum|max |exceed|at most|size")


def is_rate_limit(error: RpcError) -> bool:
    """Whether this error only says that we ask too often."""
    text = error.message.lower()
    if "revert" in text:
        return False
    if error.code in (429, -32029) or _RATE.search(text):
        return True
    return error.code == -32005 and not _SIZE.search(text)


def is_batch_too_large(error: RpcError) -> bool:
    """Whether the node would take a smaller batch."""
    text = error.message.lower()
    return "batch" in text and _BATCH_SIZE.search(text) is not None


def encode(calls: Sequence[Call], ids: Iterable[int]) -> bytes:
    """The body of a request. A single call is a plain object: some nodes refuse arrays."""
    requests = [
        {"jsonrpc": "2.0", "id": id_, "method": call.method, "params": call.params}
        for call, id_ in zip(calls, ids, strict=True)
    ]
    return orjson.dumps(requests[0] if len(requests) == 1 else requests)


@dataclass(frozen=True, slots=True)
class Missing:
    """A call without a usable answer in a body that has others."""

    reason: str


def decode(body: bytes, ids: Sequence[int]) -> list[object] | RpcError:
    """For each id its result, an RpcError, or Missing; one RpcError when a batch was refused.

    Raises ValueError when the body is no answer to these ids at all.
    """
    try:
        content: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ValueError("the answer is not JSON, or cut off") from None
    if isinstance(content, dict):
        return _decode_object(content, ids)
    if not isinstance(content, list) or len(ids) == 1:
        raise ValueError("the answer is not a JSON-RPC answer")
    if len(content) == 1 and (refusal := _refusal(content[0])) is not None:
        return refusal
    found: dict[int, object] = {}
    for element in content:
        id_ = element.get("id") if isinstance(element, dict) else None
        if type(id_) is int:
            doubled = id_ in found
            found[id_] = Missing("answered twice") if doubled else _outcome(element)
    return [found.get(id_, Missing("the answer to this call is missing")) for id_ in ids]


def _decode_object(content: dict[str, object], ids: Sequence[int]) -> list[object] | RpcError:
    error = content.get("error")
    if len(ids) > 1:
        if error is None:
            raise ValueError("a batch was answered by a single object")
        return _error(error)
    id_ = content.get("id")
    if type(id_) is not int or id_ != ids[0]:
        text = f": {_error(error).message}" if error is not None else ""
        raise ValueError(f"the answer has another id{text}")
    return [_outcome(content)]


def _refusal(element: object) -> RpcError | None:
    """An error about the batch as a whole; geth gives it the id of the first call."""
    error = element.get("error") if isinstance(element, dict) else None
    if error is None:
        return None
    refusal = _error(error)
    return refusal if "batch" in refusal.message.lower() else None


def _outcome(element: dict[str, object]) -> object:
    error = element.get("error")
    if error is not None:
        return _error(error)
    if "result" not in element:
        return Missing("the answer has neither a result nor an error")
    return element["result"]


def _error(error: object) -> RpcError:
    if not isinstance(error, dict):
        return RpcError(None, str(error))
    code = error.get("code")
    message = error.get("message")
    return RpcError(
        code if type(code) is int else None,
        message if isinstance(message, str) else "an error without a message",
        error.get("data"),
    )
