"""Many nodes behave like the best of them."""

import asyncio

import pytest
from aiohttp import web

from onsettle.chain.answers import SendKind
from onsettle.chain.crypto import keccak
from onsettle.chain.jsonrpc import Call, RateLimited, RpcError, RpcUnavailable
from onsettle.chain.rpc import Pool
from tests.unit.chain.fake_node import FakeNode, NodeError, drop, reply, text

NUMBER = Call("eth_blockNumber")
RAWS = [b"one", b"two", b"three"]


def hash_of(raw: bytes) -> str:
    return "0x" + keccak(raw).hex()


def accept(hex_: str) -> str:
    return hash_of(bytes.fromhex(hex_[2:]))


class QuietPool(Pool):
    """A pool that asks for heights only when told to."""

    def __init__(self, *nodes: FakeNode, max_batch: int = 100) -> None:
        super().__init__([node.url for node in nodes], max_batch=max_batch, probe_interval_s=0)


class TestChoice:
    async def test_the_first_configured_at_the_start(self, node: FakeNode, other: FakeNode) -> None:
        async with QuietPool(node, other) as pool:
            assert pool.best() is pool.endpoints[0]

    async def test_it_stays_with_the_one_that_took_over(
        self, node: FakeNode, other: FakeNode
    ) -> None:
        async with QuietPool(node, other) as pool:
            node.fault = drop
            assert await pool.call("eth_blockNumber") == "0x10"
            node.fault = None
            pool.endpoints[0].stats.resting_until = 0.0
            assert pool.best() is pool.endpoints[1]

    async def test_a_cooling_endpoint_is_left_alone(self, node: FakeNode, other: FakeNode) -> None:
        async with QuietPool(node, other) as pool:
            node.fault = text("slow down", 429, {"Retry-After": "60"})
            for _ in range(3):
                assert await pool.call("eth_blockNumber") == "0x10"
            assert (len(node.bodies), len(other.bodies)) == (1, 3)

    @pytest.mark.parametrize(("lag", "stays"), [(2, True), (3, False)])
    async def test_a_lag_of_more_than_two_blocks_disqualifies(
        self, node: FakeNode, other: FakeNode, lag: int, stays: bool
    ) -> None:
        node.methods["eth_blockNumber"] = hex(100 - lag)
        other.methods["eth_blockNumber"] = hex(100)
        async with QuietPool(node, other) as pool:
            await pool.probe()
            assert [e.stats.height for e in pool.endpoints] == [100 - lag, 100]
            assert (pool.best() is pool.endpoints[0]) is stays

    async def test_a_dead_endpoint_does_not_make_others_lag(
        self, node: FakeNode, other: FakeNode
    ) -> None:
        node.methods["eth_blockNumber"] = hex(100)
        other.methods["eth_blockNumber"] = hex(50)
        async with QuietPool(node, other) as pool:
            await pool.probe()
            node.fault = drop
            assert await pool.call("eth_blockNumber") == hex(50)
            assert pool.best() is pool.endpoints[1]

    async def test_among_the_others_the_highest_takes_over(
        self, node: FakeNode, other: FakeNode
    ) -> None:
        async with FakeNode() as third, QuietPool(node, other, third) as pool:
            third.methods["eth_blockNumber"] = "0x11"
            await pool.probe()
            node.fault = drop
            await pool.call("eth_blockNumber")
            assert pool.best() is pool.endpoints[2]

    async def test_probing_goes_on_by_itself(self, node: FakeNode) -> None:
        async with Pool([node.url], probe_interval_s=0.01) as pool:
            for number in ("0x20", "0x21"):
                node.methods["eth_blockNumber"] = number
                seen = len(node.bodies)
                async with asyncio.timeout(5):
                    await node.heard(seen + 2)
                assert pool.endpoints[0].stats.height == int(number, 16)

    @pytest.mark.parametrize("height", ["zz", None, {}, -1])
    async def test_a_height_that_is_none_is_unknown(self, node: FakeNode, height: object) -> None:
        node.methods["eth_blockNumber"] = height
        async with QuietPool(node) as pool:
            pool.endpoints[0].stats.height = 7
            await pool.probe()
            assert pool.endpoints[0].stats.height is None

    def test_two_keys_at_one_provider_are_told_apart(self) -> None:
        pool = Pool(["https://rpc.example/key-one", "https://rpc.example/key-two"])
        names = [endpoint.name for endpoint in pool.endpoints]
        assert names == ["https://rpc.example:443", "https://rpc.example:443#2"]

    def test_a_pool_needs_an_endpoint(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            Pool([])


class TestReads:
    async def test_the_next_endpoint_answers_when_one_does_not(
        self, node: FakeNode, other: FakeNode
    ) -> None:
        async with QuietPool(node, other) as pool:
            node.fault = drop
            assert await pool.batch([NUMBER, NUMBER]) == ["0x10", "0x10"]

    async def test_an_error_of_a_node_is_an_answer(self, node: FakeNode, other: FakeNode) -> None:
        def fail() -> object:
            raise NodeError(-32000, "header not found")

        node.methods["eth_blockNumber"] = fail
        async with QuietPool(node, other) as pool:
            with pytest.raises(RpcError, match="header not found"):
                await pool.call("eth_blockNumber")
            assert other.bodies == []

    async def test_each_endpoint_is_asked_once(self, node: FakeNode, other: FakeNode) -> None:
        node.fault = other.fault = drop
        async with QuietPool(node, other) as pool:
            with pytest.raises(RpcUnavailable, match=pool.endpoints[0].name):
                await pool.call("eth_blockNumber")
            assert (len(node.bodies), len(other.bodies)) == (1, 1)

    async def test_a_limited_endpoint_is_passed_over(self, node: FakeNode, other: FakeNode) -> None:
        node.fault = other.fault = text("", 429)
        async with QuietPool(node, other) as pool:
            with pytest.raises(RateLimited):
                await pool.call("eth_blockNumber")
            with pytest.raises(RateLimited, match="not asked"):
                await pool.call("eth_blockNumber")

    async def test_answers_of_two_nodes_never_mix(self, node: FakeNode, other: FakeNode) -> None:
        """All reads of one decision come from one endpoint."""
        other.methods["eth_blockNumber"] = "0x11"

        async def forget_one(_request: web.Request, body: object) -> web.Response:
            answers = node.answer(body)
            assert isinstance(answers, list)
            return reply(answers[:1])

        node.fault = forget_one
        async with QuietPool(node, other) as pool:
            assert await pool.batch([NUMBER, NUMBER]) == ["0x11", "0x11"]
            other.fault = drop
            first, second = await pool.batch([NUMBER, NUMBER])
            assert first == "0x10"
            assert isinstance(second, RpcUnavailable)

    async def test_the_rate_is_for_each_endpoint(self, node: FakeNode, other: FakeNode) -> None:
        async with QuietPool(node, other) as pool:
            pool.set_rate(1)
            async with asyncio.timeout(0.9):
                for endpoint in pool.endpoints:
                    await endpoint.call("eth_blockNumber")


class TestBroadcast:
    async def test_one_answer_for_each_in_order(self, node: FakeNode) -> None:
        def send(hex_: str) -> str:
            if hex_ == "0x" + b"two".hex():
                raise NodeError(-32000, "nonce too low")
            return accept(hex_)

        node.methods["eth_sendRawTransaction"] = send
        async with QuietPool(node) as pool:
            answers = await pool.broadcast(RAWS)
            assert [answer.kind for answer in answers] == [
                SendKind.ACCEPTED,
                SendKind.NONCE_TOO_LOW,
                SendKind.ACCEPTED,
            ]
            assert {answer.endpoint for answer in answers} == {pool.endpoints[0].name}
            assert len(node.bodies) == 1

    async def test_nothing_to_send(self, node: FakeNode) -> None:
        async with QuietPool(node) as pool:
            assert await pool.broadcast([]) == []

    async def test_no_answer_is_unknown_and_never_an_exception(self, node: FakeNode) -> None:
        node.fault = drop
        async with QuietPool(node) as pool:
            answers = await pool.broadcast(RAWS)
        assert [answer.kind for answer in answers] == [SendKind.UNKNOWN] * 3

    async def test_what_nobody_answered_for_goes_once_to_the_next(
        self, node: FakeNode, other: FakeNode
    ) -> None:
        async def forget_two(_request: web.Request, body: object) -> web.Response:
            answers = node.answer(body)
            assert isinstance(answers, list)
            return reply(answers[:1])

        node.methods["eth_sendRawTransaction"] = accept
        other.methods["eth_sendRawTransaction"] = accept
        node.fault = forget_two
        async with QuietPool(node, other) as pool:
            answers = await pool.broadcast(RAWS)
            assert [answer.kind for answer in answers] == [SendKind.ACCEPTED] * 3
            first, second = pool.endpoints
            assert [a.endpoint for a in answers] == [first.name, second.name, second.name]
        assert other.calls == 2

    async def test_an_answer_of_a_node_is_never_taken_elsewhere(
        self, node: FakeNode, other: FakeNode
    ) -> None:
        def refuse(_hex: str) -> str:
            raise NodeError(-32603, "internal error")

        node.methods["eth_sendRawTransaction"] = refuse
        async with QuietPool(node, other) as pool:
            answers = await pool.broadcast(RAWS)
        assert [answer.kind for answer in answers] == [SendKind.UNKNOWN] * 3
        assert other.bodies == []

    async def test_a_limit_of_the_second_does_not_undo_the_doubt_of_the_first(
        self, node: FakeNode, other: FakeNode
    ) -> None:
        """The first node may have the bytes: "not looked at" by the second proves nothing."""
        node.fault, other.fault = drop, text("", 429)
        async with QuietPool(node, other) as pool:
            [answer] = await pool.broadcast(RAWS[:1])
            assert answer.kind is SendKind.UNKNOWN
            assert answer.endpoint == pool.endpoints[0].name

    async def test_doubt_of_the_second_outweighs_a_limit_of_the_first(
        self, node: FakeNode, other: FakeNode
    ) -> None:
        node.fault, other.fault = text("", 429), drop
        async with QuietPool(node, other) as pool:
            [answer] = await pool.broadcast(RAWS[:1])
            assert answer.kind is SendKind.UNKNOWN
            assert answer.endpoint == pool.endpoints[1].name

    async def test_the_limit_of_one_request_does_not_speak_for_another(
        self, node: FakeNode
    ) -> None:
        """The first bytes were not looked at; the second may have been taken."""

        async def limit_then_drop(request: web.Request, body: object) -> web.StreamResponse:
            limited = text("", 429, {"Retry-After": "0"})
            fault = limited if len(node.bodies) == 1 else drop
            response = await fault(request, body)
            assert response is not None
            return response

        node.fault = limit_then_drop
        async with QuietPool(node, max_batch=1) as pool:
            answers = await pool.broadcast(RAWS[:2])
        assert [answer.kind for answer in answers] == [SendKind.RATE_LIMITED, SendKind.UNKNOWN]

    async def test_nonces_arrive_in_order(self, node: FakeNode) -> None:
        """A node that refuses gaps must not see a later chunk first."""
        arrived: list[str] = []

        def send(hex_: str) -> str:
            arrived.append(hex_)
            return accept(hex_)

        node.methods["eth_sendRawTransaction"] = send
        raws = [bytes([n]) for n in range(25)]
        pool = QuietPool(node, max_batch=3)
        async with pool:
            await pool.broadcast(raws)
        assert arrived == ["0x" + raw.hex() for raw in raws]


class TestLife:
    async def test_start_and_close_may_be_repeated(self, node: FakeNode) -> None:
        pool = QuietPool(node)
        await pool.close()
        await pool.start()
        await pool.start()
        assert await pool.call("eth_blockNumber") == "0x10"
        await pool.close()
        await pool.close()
        with pytest.raises(RuntimeError, match="not started"):
            await pool.call("eth_blockNumber")
        await pool.start()
        assert await pool.call("eth_blockNumber") == "0x10"
        await pool.close()

    async def test_no_endpoint_needs_to_be_up_at_the_start(self) -> None:
        node = FakeNode()
        async with node:
            pass
        async with QuietPool(node) as pool:
            with pytest.raises(RpcUnavailable):
                await pool.call("eth_blockNumber")
            async with node:
                assert await pool.call("eth_blockNumber") == "0x10"
