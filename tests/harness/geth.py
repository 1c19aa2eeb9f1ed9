"""The rules of geth's transaction pool, which anvil does not have."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from eth_account import Account

from onsettle.chain.crypto import keccak
from onsettle.chain.transaction import decode_transaction

Request = dict[str, Any]
Answer = dict[str, Any]
Handler = Callable[[Sequence[Request]], Awaitable[list[Answer]]]

#: Both fees of a replacement must be so many percent higher.
PRICE_BUMP = 10
#: So many transactions of one sender may wait behind a gap.
ACCOUNT_QUEUE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pooled:
    hash: str
    max_fee: int
    priority_fee: int


class GethRules:
    """Refuses, in geth's words, what geth would refuse; drops silently what geth would drop."""

    def __init__(self) -> None:
        self._pool: dict[str, dict[int, _Pooled]] = defaultdict(dict)

    async def answer(self, calls: Sequence[Request], then: Handler) -> list[Answer]:
        answers: list[Answer] = []
        for call in calls:
            if call.get("method") == "eth_sendRawTransaction":
                answers.append(await self._send(call, then))
            else:
                answers += await then([call])
        return answers

    async def _send(self, call: Request, then: Handler) -> Answer:
        raw = bytes.fromhex(str(call["params"][0])[2:])
        tx, hash_ = decode_transaction(raw), "0x" + keccak(raw).hex()
        sender = str(Account.recover_transaction(raw)).lower()
        used = await self._used(sender, then)
        pool = self._pool[sender]
        for nonce in [n for n in pool if n < used]:
            del pool[nonce]
        if tx.nonce < used:
            return _refuse(call, f"nonce too low: next nonce {used}, tx nonce {tx.nonce}")
        held = pool.get(tx.nonce)
        if held is not None and held.hash == hash_ and await self._knows(hash_, then):
            return _refuse(call, "already known")
        # The local chain forgets what a rising base fee has priced out; geth keeps it.
        if (
            held is not None
            and held.hash != hash_
            and not _pays_more(tx.max_fee, tx.priority_fee, held)
        ):
            return _refuse(call, "replacement transaction underpriced")
        if held is None and self._gapped(pool, used, tx.nonce) >= ACCOUNT_QUEUE:
            return {"jsonrpc": "2.0", "id": call.get("id"), "result": hash_}
        [answer] = await then([call])
        if "result" in answer:
            pool[tx.nonce] = _Pooled(hash=hash_, max_fee=tx.max_fee, priority_fee=tx.priority_fee)
        return answer

    async def _knows(self, hash_: str, then: Handler) -> bool:
        """Whether the node behind still has it: a reorg or a test may have dropped it."""
        call = {"jsonrpc": "2.0", "id": 0, "method": "eth_getTransactionByHash"}
        [answer] = await then([dict(call, params=[hash_])])
        return answer.get("result") is not None

    async def _used(self, sender: str, then: Handler) -> int:
        call = {"jsonrpc": "2.0", "id": 0, "method": "eth_getTransactionCount"}
        [answer] = await then([dict(call, params=[sender, "latest"])])
        return int(str(answer["result"]), 16)

    def _gapped(self, pool: dict[int, _Pooled], used: int, nonce: int) -> int:
        """How many wait behind a gap already, when this one would wait too; else 0."""
        executable = used
        while executable in pool:
            executable += 1
        return sum(n > executable for n in pool) if nonce > executable else 0


def _pays_more(max_fee: int, priority_fee: int, held: _Pooled) -> bool:
    return (
        max_fee * 100 >= held.max_fee * (100 + PRICE_BUMP)
        and priority_fee * 100 >= held.priority_fee * (100 + PRICE_BUMP)
        and max_fee > held.max_fee
    )


def _refuse(call: Request, message: str) -> Answer:
    return {"jsonrpc": "2.0", "id": call.get("id"), "error": {"code": -32000, "message": message}}
