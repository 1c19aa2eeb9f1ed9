"""A node of another chain is never used, whenever it became one."""

from collections.abc import AsyncIterator

import pytest

from onsettle.chain.jsonrpc import RpcUnavailable
from onsettle.chain.rpc import Pool
from tests.unit.chain.fake_node import FakeNode, drop

_OURS = (1, "0x" + "aa" * 32)
_THEIRS = (137, "0x" + "bb" * 32)


def _becomes(node: FakeNode, chain: tuple[int, object]) -> None:
    node.methods |= {"eth_chainId": hex(chain[0]), "eth_getBlockByNumber": {"hash": chain[1]}}


@pytest.fixture
async def nodes() -> AsyncIterator[tuple[FakeNode, FakeNode]]:
    async with FakeNode() as first, FakeNode() as second:
        _becomes(first, _OURS)
        _becomes(second, _OURS)
        yield first, second


def _pool(*nodes: FakeNode) -> Pool:
    return Pool([node.url for node in nodes], probe_interval_s=0)


def _calls(body: object) -> list[dict[str, str]]:
    return body if isinstance(body, list) else [body]  # type: ignore[list-item]


@pytest.mark.parametrize("theirs", [_THEIRS, (1, "0x" + "bb" * 32), (137, _OURS[1])])
async def test_another_chain_is_told_apart_by_its_id_and_its_first_block(
    nodes: tuple[FakeNode, FakeNode], theirs: tuple[int, str]
) -> None:
    """The second node is of another chain, and far higher: the first one's is settled on, the
    second is named and asked for nothing, even when it is the only one left."""
    first, second = nodes
    _becomes(second, theirs)
    second.methods["eth_blockNumber"] = "0xffff"
    async with _pool(first, second) as pool:
        assert await pool.identify([]) == _OURS
        await pool.probe()
        assert pool.best() is pool.endpoints[0]
        [problem] = pool.problems
        assert str(theirs[0]) in problem
        first.fault = drop
        with pytest.raises(RpcUnavailable):
            await pool.call("eth_blockNumber")
        asked = {call["method"] for body in second.bodies for call in _calls(body)}
        assert asked == {"eth_chainId", "eth_getBlockByNumber"}


async def test_a_url_that_comes_back_as_another_node_is_not_used(
    nodes: tuple[FakeNode, FakeNode],
) -> None:
    """After a failure a node shows again which chain it is of, before it is asked anything; when it
    is of ours again, it is used."""
    node, _ = nodes
    async with _pool(node) as pool:
        await pool.identify([])
        assert await pool.call("eth_blockNumber") == "0x10"
        node.fault = drop
        with pytest.raises(RpcUnavailable):
            await pool.call("eth_blockNumber")
        node.fault = None
        _becomes(node, _THEIRS)
        with pytest.raises(RpcUnavailable, match="of another chain"):
            await pool.call("eth_blockNumber")
        _becomes(node, _OURS)
        assert await pool.call("eth_blockNumber") == "0x10"
        assert pool.problems == []


async def test_a_chain_that_is_known_is_waited_for(nodes: tuple[FakeNode, FakeNode]) -> None:
    """The node of the chain that was settled on before is away: another chain's node beside it is
    not taken for it; when it is back it is found, wherever it stands in the list."""
    first, second = nodes
    _becomes(first, _THEIRS)
    second.fault = drop
    async with _pool(first, second) as pool:
        with pytest.raises(RpcUnavailable):
            await pool.identify([_OURS])
        second.fault = None
        assert await pool.identify([_OURS]) == _OURS
        assert await pool.call("eth_blockNumber") == "0x10"
        assert pool.best() is pool.endpoints[1]


async def test_a_node_that_does_not_show_its_first_block_is_not_used(
    nodes: tuple[FakeNode, FakeNode],
) -> None:
    """What can't be told apart is not trusted."""
    node, _ = nodes
    node.methods["eth_getBlockByNumber"] = None
    async with _pool(node) as pool:
        with pytest.raises(RpcUnavailable, match="first block"):
            await pool.identify([])
