"""What a node can do wrong, by name.

Each fault stands around the next handler: it may delay, refuse, break the connection, or change
what is asked and what is answered.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Any, Protocol

from onsettle.chain.crypto import keccak
from tests.harness.lag import Lag

Request = dict[str, Any]
Answer = dict[str, Any]
Handler = Callable[[Sequence[Request]], Awaitable[list[Answer]]]
Hit = Callable[[Request], bool]


class Abort(Exception):
    """The connection breaks."""


class Raw(Exception):
    """An answer that is not what was asked for."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


class Fault(Protocol):
    """`hit(call)` says whether this call is to be struck, and counts it."""

    async def __call__(
        self, calls: Sequence[Request], *, then: Handler, hit: Hit
    ) -> list[Answer]: ...


Made = Callable[[Random, float | None], Fault]


def struck(calls: Sequence[Request], hit: Hit) -> bool:
    return any(hit(call) for call in calls)


def result(call: Request, value: object) -> Answer:
    return {"jsonrpc": "2.0", "id": call.get("id"), "result": value}


def error(call: Request, code: int, message: str) -> Answer:
    return {"jsonrpc": "2.0", "id": call.get("id"), "error": {"code": code, "message": message}}


def _delay(_random: Random, amount: float | None) -> Fault:
    async def fault(calls: Sequence[Request], *, then: Handler, hit: Hit) -> list[Answer]:
        if struck(calls, hit):
            await asyncio.sleep(1.0 if amount is None else amount)
        return await then(calls)

    return fault


def _before(what: Callable[[], Exception]) -> Made:
    """The request is not looked at."""

    def make(_random: Random, _amount: float | None) -> Fault:
        async def fault(calls: Sequence[Request], *, then: Handler, hit: Hit) -> list[Answer]:
            if struck(calls, hit):
                raise what()
            return await then(calls)

        return fault

    return make


def _after(what: Callable[[list[Answer]], Exception]) -> Made:
    """The request has had its effect, and the answer is lost."""

    def make(_random: Random, _amount: float | None) -> Fault:
        async def fault(calls: Sequence[Request], *, then: Handler, hit: Hit) -> list[Answer]:
            answers = await then(calls)
            if struck(calls, hit):
                raise what(answers)
            return answers

        return fault

    return make


def _timeout(_random: Random, amount: float | None) -> Fault:
    async def fault(calls: Sequence[Request], *, then: Handler, hit: Hit) -> list[Answer]:
        answers = await then(calls)
        if struck(calls, hit):
            await asyncio.sleep(30.0 if amount is None else amount)
            raise Abort
        return answers

    return fault


def _late(_random: Random, amount: float | None) -> Fault:
    """The node does what it is asked to at once, and says so when nobody waits any more."""

    async def fault(calls: Sequence[Request], *, then: Handler, hit: Hit) -> list[Answer]:
        answers = await then(calls)
        if struck(calls, hit):
            await asyncio.sleep(15.0 if amount is None else amount)
        return answers

    return fault


def _rate_limit(_random: Random, amount: float | None) -> Fault:
    async def fault(calls: Sequence[Request], *, then: Handler, hit: Hit) -> list[Answer]:
        if struck(calls, hit):
            seconds = "1" if amount is None else f"{amount:g}"
            raise Raw(429, b"slow down", {"Retry-After": seconds})
        return await then(calls)

    return fault


def _batch(change: Callable[[list[Answer], Random], list[Answer]]) -> Made:
    def make(random: Random, _amount: float | None) -> Fault:
        async def fault(calls: Sequence[Request], *, then: Handler, hit: Hit) -> list[Answer]:
            answers = await then(calls)
            return change(answers, random) if struck(calls, hit) else answers

        return fault

    return make


def _shuffled(answers: list[Answer], random: Random) -> list[Answer]:
    return random.sample(answers, len(answers))


def _wrong_id(answers: list[Answer], _random: Random) -> list[Answer]:
    return [dict(answer, id=987_654_321 + at) for at, answer in enumerate(answers)]


def _truncated(answers: list[Answer], _random: Random) -> list[Answer]:
    return answers[: len(answers) // 2] if len(answers) > 1 else answers


def _instead(make: Callable[[Request], Answer]) -> Made:
    """Some calls are answered so and never reach the node."""

    def made(_random: Random, _amount: float | None) -> Fault:
        async def fault(calls: Sequence[Request], *, then: Handler, hit: Hit) -> list[Answer]:
            told = {at: make(call) for at, call in enumerate(calls) if hit(call)}
            honest = iter(await then([c for at, c in enumerate(calls) if at not in told]))
            return [told[at] if at in told else next(honest) for at in range(len(calls))]

        return fault

    return made


def _changed(change: Callable[[Request, Answer], Answer]) -> Made:
    """The node is asked, and some of its answers are changed."""

    def made(_random: Random, _amount: float | None) -> Fault:
        async def fault(calls: Sequence[Request], *, then: Handler, hit: Hit) -> list[Answer]:
            answers = await then(calls)
            return [
                change(call, answer) if hit(call) else answer
                for call, answer in zip(calls, answers, strict=True)
            ]

        return fault

    return made


def _taken(call: Request) -> Answer:
    raw = bytes.fromhex(str(call["params"][0])[2:])
    return result(call, "0x" + keccak(raw).hex())


def _missing(method: str, value: object) -> Callable[[Request, Answer], Answer]:
    def change(call: Request, answer: Answer) -> Answer:
        return result(call, value) if call.get("method") == method else answer

    return change


def _old_receipts(_random: Random, _amount: float | None) -> Fault:
    """The first receipt of each transaction is answered for ever, whatever a reorg did."""
    known: dict[str, Answer] = {}

    async def fault(calls: Sequence[Request], *, then: Handler, hit: Hit) -> list[Answer]:
        answers = await then(calls)
        for at, call in enumerate(calls):
            if call.get("method") != "eth_getTransactionReceipt":
                continue
            hash_ = str(call["params"][0])
            if answers[at].get("result") is not None:
                known.setdefault(hash_, answers[at])
            if hash_ in known and hit(call):
                answers[at] = dict(known[hash_], id=call.get("id"))
        return answers

    return fault


def _only(method: str, made: Made) -> Made:
    """This fault makes sense for one method only, whatever the rule names."""

    def make(random: Random, amount: float | None) -> Fault:
        inner = made(random, amount)

        async def fault(calls: Sequence[Request], *, then: Handler, hit: Hit) -> list[Answer]:
            return await inner(
                calls, then=then, hit=lambda call: call.get("method") == method and hit(call)
            )

        return fault

    return make


def _behind(_random: Random, amount: float | None) -> Fault:
    return Lag(lambda: 3 if amount is None else int(amount))


def _wobbling(random: Random, amount: float | None) -> Fault:
    return Lag(lambda: random.randint(0, 3 if amount is None else int(amount)))


def _frozen(_random: Random, _amount: float | None) -> Fault:
    return Lag(None)


def _range_limit(random: Random, amount: float | None) -> Fault:
    """Logs of more than so many blocks at once are refused, as hosted providers do."""
    widest = 1000 if amount is None else int(amount)
    inner = _instead(lambda call: error(call, -32005, f"query exceeds max block range {widest}"))(
        random, amount
    )

    def wide(call: Request) -> bool:
        if call.get("method") != "eth_getLogs" or "blockHash" in call["params"][0]:
            return False
        first, last = (int(call["params"][0][name], 16) for name in ("fromBlock", "toBlock"))
        return last - first + 1 > widest

    async def fault(calls: Sequence[Request], *, then: Handler, hit: Hit) -> list[Answer]:
        return await inner(calls, then=then, hit=lambda call: wide(call) and hit(call))

    return fault


def _no_hashes(_random: Random, _amount: float | None) -> Fault:
    """A node that does not take the hash of a block where a number can stand."""

    def named(call: Request) -> bool:
        return any(isinstance(p, dict) and "blockHash" in p for p in call.get("params", []))

    inner = _instead(lambda call: error(call, -32602, "invalid argument: not a block number"))(
        _random, _amount
    )

    async def fault(calls: Sequence[Request], *, then: Handler, hit: Hit) -> list[Answer]:
        return await inner(calls, then=then, hit=lambda call: named(call) and hit(call))

    return fault


def _pruned(_random: Random, amount: float | None) -> Fault:
    """A node that is no archive node: it keeps state for so many blocks below the head."""
    kept = 128 if amount is None else int(amount)

    async def fault(calls: Sequence[Request], *, then: Handler, hit: Hit) -> list[Answer]:
        answers = await then(calls)
        for at, call in enumerate(calls):
            place = call.get("params", [])[-1:]
            if not place or not isinstance(place[0], dict) or "blockHash" not in place[0]:
                continue
            asked = {"jsonrpc": "2.0", "id": 0, "method": "eth_getBlockByHash"}
            head, block = await then(
                [
                    {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []},
                    asked | {"params": [place[0]["blockHash"], False]},
                ]
            )
            number = int(block["result"]["number"], 16)
            if int(head["result"], 16) - number >= kept and hit(call):
                answers[at] = error(call, -32000, "missing trie node")
        return answers

    return fault


def _forked(call: Request, answer: Answer) -> Answer:
    """Blocks of another branch, above the first one."""
    if not isinstance(block := answer.get("result"), dict) or block.get("number") == "0x0":
        return answer
    return result(call, block | {"hash": "0x" + "f0" * 32})


_SEND = "eth_sendRawTransaction"

FAULTS: dict[str, Made] = {
    # the transport
    "delay": _delay,
    "drop": _before(Abort),
    "reset": _after(lambda _answers: Abort()),
    "timeout": _timeout,
    "rate_limit": _rate_limit,
    "server_error": _before(lambda: Raw(500, b"oops")),
    "malformed": _before(lambda: Raw(200, b'{"jsonrpc": "2.0", "id": 1, "result": ')),
    "malformed_after": _after(lambda answers: Raw(200, json.dumps(answers).encode()[:-9])),
    "wrong_id": _batch(_wrong_id),
    "truncated": _batch(_truncated),
    "shuffled": _batch(_shuffled),
    "internal_error": _instead(lambda call: error(call, -32603, "Internal error")),
    # what is said about bytes
    "accept_but_error": _only(
        _SEND, _changed(lambda call, _answer: error(call, -32000, "internal error"))
    ),
    "accept_but_timeout": _only(_SEND, _timeout),
    "accept_but_late": _only(_SEND, _late),
    "ok_but_dropped": _only(_SEND, _instead(_taken)),
    "already_known": _only(_SEND, _instead(lambda call: error(call, -32000, "already known"))),
    "nonce_too_low": _only(
        _SEND,
        _instead(lambda call: error(call, -32000, "nonce too low: next nonce 999, tx nonce 1")),
    ),
    "underpriced_replacement": _only(
        _SEND,
        _instead(lambda call: error(call, -32000, "replacement transaction underpriced")),
    ),
    "pool_full": _only(_SEND, _instead(lambda call: error(call, -32000, "txpool is full"))),
    # what is said about the chain
    "behind": _behind,
    "wobbling": _wobbling,
    "frozen": _frozen,
    "no_receipts": _only(
        "eth_getTransactionReceipt", _changed(_missing("eth_getTransactionReceipt", None))
    ),
    "no_logs": _only("eth_getLogs", _changed(_missing("eth_getLogs", []))),
    "range_limit": _range_limit,
    "old_receipts": _old_receipts,
    "no_hashes": _no_hashes,
    "pruned": _pruned,
    "forked": _only("eth_getBlockByNumber", _changed(_forked)),
    "old_nonce": _only(
        "eth_getTransactionCount", _changed(_missing("eth_getTransactionCount", "0x0"))
    ),
}
