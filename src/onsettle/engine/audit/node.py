"""What one node says, read for an audit: nothing that the engine has stored is believed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcError
from onsettle.chain.logs import decode_logs
from onsettle.domain.evidence import ChainEvent, Minted
from onsettle.engine.named import Block
from onsettle.engine.network import number

_CHUNK = 1000


class ChainMoved(Exception):
    """The books stand on a block that the chain has dropped: read both again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A mined transaction. `cost` in wei: gas, and on a rollup the fee for its data."""

    hash: str
    block_number: int
    sender: str
    success: bool
    cost: int
    events: list[ChainEvent]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """One endpoint's view up to `head`.

    `unread` hashes are those it did not answer for; `counts`, the nonces that each wallet has used;
    `foreign`, transactions of our wallets that are in no row; `minted`, all mints of our tokens.
    """

    endpoint: Endpoint
    head: Block
    receipts: Mapping[str, Receipt]
    unread: frozenset[str]
    counts: Mapping[str, int]
    foreign: Mapping[str, Receipt]
    minted: Sequence[Minted]

    @property
    def events(self) -> list[ChainEvent]:
        return [event for receipt in self.receipts.values() for event in receipt.events]


async def ask(endpoint: Endpoint, calls: Sequence[Call]) -> list[object]:
    """For each call its result, or the exception that says why there is none."""
    answers: list[object] = []
    for at in range(0, len(calls), _CHUNK):
        answers += await endpoint.batch(calls[at : at + _CHUNK], timeout_s=30)
    return answers


async def block_at(endpoint: Endpoint, place: str) -> Block | None:
    answer = await endpoint.call("eth_getBlockByNumber", place, False)
    if not isinstance(answer, dict):
        return None
    return Block(
        number=number(answer.get("number")),
        hash=str(answer["hash"]),
        time=number(answer.get("timestamp")),
    )


async def read_receipts(
    endpoint: Endpoint, hashes: Sequence[str], last: int
) -> tuple[dict[str, Receipt], set[str]]:
    """Receipts in blocks up to `last`, and the hashes that were not answered for."""
    answers = await ask(endpoint, [Call("eth_getTransactionReceipt", (h,)) for h in hashes])
    found: dict[str, Receipt] = {}
    unread: set[str] = set()
    for hash_, answer in zip(hashes, answers, strict=True):
        if answer is None:
            continue
        try:
            receipt = _receipt(hash_, answer)
        except (RpcError, KeyError, ValueError):
            unread.add(hash_)
            continue
        if receipt.block_number <= last:
            found[hash_] = receipt
    return found, unread


def _receipt(hash_: str, answer: object) -> Receipt:
    if not isinstance(answer, dict) or str(answer.get("transactionHash")).lower() != hash_:
        raise ValueError("not a receipt of this transaction")
    price = answer.get("effectiveGasPrice") or answer.get("gasPrice")
    cost = number(answer["gasUsed"]) * number(price)
    # Rollups of the OP kind take a second fee from the wallet, for the data they post.
    return Receipt(
        hash=hash_,
        block_number=number(answer["blockNumber"]),
        sender=str(answer["from"]).lower(),
        success=number(answer["status"]) == 1,
        cost=cost + _quantity(answer.get("l1Fee")),
        events=decode_logs(answer["logs"]),
    )


def _quantity(answer: Any) -> int:
    return number(answer) if answer is not None else 0


async def balances(
    endpoint: Endpoint, places: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], int]:
    """Wei of each (address, block), where the node still keeps that state."""
    order = sorted(set(places))
    answers = await ask(endpoint, [Call("eth_getBalance", (a, hex(n))) for a, n in order])
    return {
        place: int(answer, 16)
        for place, answer in zip(order, answers, strict=True)
        if isinstance(answer, str)
    }
