"""A search on a node that answers for few blocks at a time: bounded, remembered, shared."""

import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from onsettle.chain import abi
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import RpcError
from onsettle.engine.search import REQUESTS, Search
from onsettle.store.database import Record

_ASSET = "0x" + "aa" * 20
_HEIGHT = 10_000_000
# Two seconds a block.
_GENESIS = 1_700_000_000


def _time(block: int) -> int:
    return _GENESIS + 2 * block


_HEAD = (_HEIGHT, _time(_HEIGHT))


class _Node:
    """Knows which authorization was used in which block, and refuses wide ranges."""

    name = "node"

    def __init__(self, *, widest: int) -> None:
        self.widest = widest
        self.uses: dict[str, int] = {}
        self.asked: Counter[str] = Counter()
        self.read: Counter[int] = Counter()
        self.refuses: list[bool] = []

    async def call(self, method: str, *params: Any) -> object:
        self.asked[method] += 1
        if method == "eth_getBlockByNumber":
            return {"timestamp": hex(_time(int(params[0], 16)))}
        assert method == "eth_getLogs"
        [query] = params
        low, high = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        if self.refuses and self.refuses.pop():
            raise RpcError(-32603, "Internal error")
        if high - low + 1 > self.widest:
            raise RpcError(-32005, f"query exceeds max block range {self.widest}")
        self.read.update([low])
        _, payers, nonces = query["topics"]
        return [
            _log(nonce, block, payers[0])
            for nonce, block in self.uses.items()
            if low <= block <= high and nonce in nonces
        ]


def _log(nonce: str, block: int, payer: str) -> dict[str, object]:
    return {
        "address": _ASSET, "topics": [abi.TOPIC_AUTHORIZATION_USED, payer, nonce], "data": "0x",
        "blockNumber": hex(block), "blockHash": "0x" + "bb" * 32, "logIndex": "0x0",
        "transactionHash": "0x" + "cc" * 32, "removed": False,
    }  # fmt: skip


def _row(at: int, *, lifetime: int = 3600) -> Record:
    """A payment taken in when block `at` was made."""
    row = {
        "id": uuid.uuid4(), "payment_token_address": _ASSET, "payer": "0x" + "11" * 20,
        "authorization_nonce": "0x" + uuid.uuid4().hex * 2, "valid_after": 0,
        "valid_before": _time(at) + lifetime, "created_at": datetime.fromtimestamp(_time(at), UTC),
    }  # fmt: skip
    return cast("Record", row)


async def _found(search: Search, node: _Node, rows: list[Record]) -> int:
    """How many tries it takes to find them all."""
    left = list(rows)
    for tries in range(1, 3000):
        before = node.asked.total()
        found = await search.run(cast("Endpoint", node), left, _HEAD)
        assert node.asked.total() - before <= REQUESTS + 80
        left = [row for row in left if row["id"] not in found]
        if not left:
            return tries
    raise AssertionError(f"{len(left)} were not found")


@pytest.mark.parametrize(("widest", "tries"), [(10_000, 1), (1000, 1), (100, 2)])
async def test_a_use_near_its_payment_is_found_at_once(widest: int, tries: int) -> None:
    """Ten million blocks are not read for a transfer of a known hour."""
    node, row = _Node(widest=widest), _row(4_000_000)
    node.uses[row["authorization_nonce"]] = 4_000_007
    assert await _found(Search(), node, [row]) <= tries


async def test_a_search_goes_on_where_it_stopped() -> None:
    """A use long before its payment was written down: no range is read twice on the way to it."""
    node, row = _Node(widest=10_000), _row(8_000_000)
    node.uses[row["authorization_nonce"]] = 1_234_567
    search = Search()
    assert search.pause(row["id"]) == 2
    tries = await _found(search, node, [row])
    assert tries > 2
    assert max(node.read.values()) == 1
    assert len(node.read) <= _HEIGHT // 10_000


async def test_one_range_is_read_for_many() -> None:
    """Payments of the same day and asset share their requests."""
    node = _Node(widest=1000)
    rows = [_row(4_000_000 + 10 * at) for at in range(50)]
    node.uses = {row["authorization_nonce"]: 4_000_100 + at for at, row in enumerate(rows)}
    assert await _found(Search(), node, rows) == 1
    assert len(node.read) <= 10


async def test_what_is_not_found_is_asked_for_ever_more_seldom() -> None:
    """A node that has lost its logs is not asked the same thing in every round."""
    node, row = _Node(widest=_HEIGHT * 2), _row(4_000_000)
    search, pauses = Search(), []
    for _ in range(8):
        await search.run(cast("Endpoint", node), [row], _HEAD)
        pauses.append(search.pause(row["id"]))
    assert pauses == [4, 8, 16, 32, 60, 60, 60, 60]
    assert node.asked["eth_getLogs"] == 8


async def test_a_hiccup_does_not_narrow_what_a_node_is_asked_for() -> None:
    """One refusal is tried again; only two of the same range are its limit."""
    node, row = _Node(widest=10_000), _row(4_000_000, lifetime=200_000)
    node.uses[row["authorization_nonce"]] = 4_050_000
    node.refuses = [False, True, False, True, False, True]
    await _found(Search(), node, [row])
    assert len(node.read) <= 12


async def test_a_long_search_holds_no_other_up() -> None:
    """One whose use is far away shares each try with one whose use is near."""
    node = _Node(widest=1000)
    far, search = _row(9_000_000), Search()
    node.uses[far["authorization_nonce"]] = 3
    for _ in range(3):
        await search.run(cast("Endpoint", node), [far], _HEAD)
    near = _row(4_000_000)
    node.uses[near["authorization_nonce"]] = 4_000_010
    found = await search.run(cast("Endpoint", node), [far, near], _HEAD)
    assert set(found) == {near["id"]}
