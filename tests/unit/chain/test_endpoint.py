"""One node, honest or not: what comes back is an answer, an error of the node, or unavailable."""

import asyncio
import gzip
import time
from email.utils import formatdate

import aiohttp
import orjson
import pytest
from aiohttp import web

from onsettle.chain import endpoint as endpoint_module
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RateLimited, RpcError, RpcUnavailable
from tests.unit.chain.fake_node import (
    FakeNode,
    Fault,
    NodeError,
    always,
    drop,
    reply,
    text,
    truncate,
)

NUMBER = Call("eth_blockNumber")
SECRET = "k3y-0123456789abcdef"


def echo(*calls: object) -> list[Call]:
    return [Call("echo", (call,)) for call in calls]


@pytest.fixture(autouse=True)
def methods(node: FakeNode) -> None:
    def fail(code: int, message: str, data: object = None) -> object:
        raise NodeError(code, message, data)

    node.methods |= {"echo": lambda value: value, "fail": fail}


class TestAnswers:
    async def test_a_call(self, node: FakeNode, endpoint: Endpoint) -> None:
        assert await endpoint.call("echo", {"a": [1, "0x2"]}) == {"a": [1, "0x2"]}
        [body] = node.bodies
        assert isinstance(body, dict)
        assert (body["jsonrpc"], body["method"]) == ("2.0", "echo")

    async def test_a_batch_is_one_request(self, node: FakeNode, endpoint: Endpoint) -> None:
        assert await endpoint.batch(echo(1, 2, 3)) == [1, 2, 3]
        assert len(node.bodies) == 1

    async def test_no_calls_are_no_request(self, node: FakeNode, endpoint: Endpoint) -> None:
        assert await endpoint.batch([]) == []
        assert node.bodies == []

    async def test_a_batch_of_one_is_no_array(self, node: FakeNode, endpoint: Endpoint) -> None:
        """Some nodes refuse arrays."""
        assert await endpoint.batch(echo("x")) == ["x"]
        assert isinstance(node.bodies[0], dict)

    async def test_null_is_an_answer(self, endpoint: Endpoint) -> None:
        assert await endpoint.call("echo", None) is None
        assert await endpoint.batch(echo(None, 1)) == [None, 1]

    async def test_an_error_of_the_node_is_an_answer(self, endpoint: Endpoint) -> None:
        with pytest.raises(RpcError, match=r"nonce too low \(code -32000\)") as caught:
            await endpoint.call("fail", -32000, "nonce too low", {"why": "x"})
        assert (caught.value.code, caught.value.data) == (-32000, {"why": "x"})

    async def test_one_failed_element_does_not_fail_the_others(self, endpoint: Endpoint) -> None:
        answers = await endpoint.batch([NUMBER, Call("fail", (3, "revert")), NUMBER])
        assert answers[0] == answers[2] == "0x10"
        assert isinstance(answers[1], RpcError)

    async def test_errors_of_the_node_say_nothing_about_its_health(
        self, endpoint: Endpoint
    ) -> None:
        for _ in range(5):
            await endpoint.batch([Call("fail", (-32000, "nonce too low"))])
        assert endpoint.stats.consecutive_failures == 0
        assert endpoint.stats.cooldown == endpoint.stats.resting == 0
        assert endpoint.stats.errors == 0

    async def test_answers_in_another_order_are_matched_by_id(
        self, node: FakeNode, endpoint: Endpoint
    ) -> None:
        async def reversed_(_request: web.Request, body: object) -> web.Response:
            answers = node.answer(body)
            assert isinstance(answers, list)
            return reply(answers[::-1])

        node.fault = reversed_
        assert await endpoint.batch(echo(*range(20))) == list(range(20))

    async def test_a_compressed_answer(self, node: FakeNode, endpoint: Endpoint) -> None:
        async def compressed(_request: web.Request, body: object) -> web.Response:
            packed = gzip.compress(orjson.dumps(node.answer(body)))
            return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

        node.fault = compressed
        assert await endpoint.call("eth_blockNumber") == "0x10"

    async def test_concurrent_batches_do_not_mix(self, endpoint: Endpoint) -> None:
        batches = [endpoint.batch(echo(n, n + 1000)) for n in range(50)]
        assert await asyncio.gather(*batches) == [[n, n + 1000] for n in range(50)]


class TestChunks:
    async def test_a_long_batch_is_cut(self, node: FakeNode, endpoint: Endpoint) -> None:
        assert await endpoint.batch(echo(*range(250))) == list(range(250))
        sizes = sorted(len(body) for body in node.bodies if isinstance(body, list))
        assert sizes == [50, 100, 100]

    async def test_at_most_four_requests_at_once(
        self, node: FakeNode, session: aiohttp.ClientSession
    ) -> None:
        running = most = 0

        async def slow(_request: web.Request, _body: object) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.02)
            running -= 1

        node.fault = slow
        small = Endpoint(node.url, session, max_batch=2)
        assert await small.batch(echo(*range(40))) == list(range(40))
        assert most == 4
        most = 0
        assert await small.batch(echo(*range(10)), in_order=True) == list(range(10))
        assert most == 1

    async def test_one_lost_request_leaves_the_answers_of_the_others(
        self, node: FakeNode, session: aiohttp.ClientSession
    ) -> None:
        async def lose_some(request: web.Request, body: object) -> web.StreamResponse | None:
            assert isinstance(body, list)
            return await drop(request, body) if body[0]["params"] == [2] else None

        node.fault = lose_some
        answers = await Endpoint(node.url, session, max_batch=2).batch(echo(*range(6)))
        assert answers[:2] == [0, 1]
        assert isinstance(answers[2], RpcUnavailable)
        assert isinstance(answers[3], RpcUnavailable)
        assert answers[4:] == [4, 5]


class TestBatchRefusal:
    @pytest.mark.parametrize("status", [200, 400, 500])
    async def test_a_node_without_batches_is_remembered(
        self, node: FakeNode, endpoint: Endpoint, status: int
    ) -> None:
        async def refuse(_request: web.Request, body: object) -> web.Response | None:
            if not isinstance(body, list):
                return None
            error = {"code": -32600, "message": "batch requests are not supported"}
            return reply({"jsonrpc": "2.0", "id": None, "error": error}, status)

        node.fault = refuse
        assert await endpoint.batch(echo(1, 2, 3)) == [1, 2, 3]
        assert await endpoint.batch(echo(4, 5)) == [4, 5]
        assert [isinstance(body, list) for body in node.bodies] == [True] + [False] * 5

    @pytest.mark.parametrize("status", [400, 415, 422, 501])
    async def test_a_proxy_that_refuses_arrays_without_json(
        self, node: FakeNode, endpoint: Endpoint, status: int
    ) -> None:
        async def refuse(_request: web.Request, body: object) -> web.Response | None:
            return web.Response(status=status) if isinstance(body, list) else None

        node.fault = refuse
        assert await endpoint.batch(echo(1, 2)) == [1, 2]

    @pytest.mark.parametrize("form", ["object", "array", "413"])
    async def test_a_node_with_small_batches_gets_smaller_ones(
        self, node: FakeNode, endpoint: Endpoint, form: str
    ) -> None:
        async def refuse(_request: web.Request, body: object) -> web.Response | None:
            if not isinstance(body, list) or len(body) <= 30:
                return None
            if form == "413":
                return web.Response(status=413, text="payload too large")
            error = {"code": -32600, "message": "batch too large"}
            answer = {"jsonrpc": "2.0", "id": body[0]["id"], "error": error}
            return reply([answer] if form == "array" else answer)

        node.fault = refuse
        assert await endpoint.batch(echo(*range(100))) == list(range(100))
        node.bodies.clear()
        assert await endpoint.batch(echo(*range(100))) == list(range(100))
        assert [len(body) for body in node.bodies if isinstance(body, list)] == [25] * 4

    async def test_a_failing_node_is_not_asked_again_for_each_element(
        self, node: FakeNode, endpoint: Endpoint
    ) -> None:
        node.fault = always({"error": {"code": -32603, "message": "no backend"}}, 500)
        with pytest.raises(RpcUnavailable):
            await endpoint.batch(echo(*range(50)))
        assert len(node.bodies) == 2
        node.fault = None
        assert await endpoint.batch(echo(1, 2)) == [1, 2]
        assert isinstance(node.bodies[-1], list), "batches are tried again"


class TestUnavailable:
    @pytest.mark.parametrize("size", [1, 3])
    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            (drop, "the connection broke"),
            (truncate, "the answer was cut off"),
            (text("<html>hello</html>"), "not JSON"),
            (text(""), "not JSON"),
            (text('[{"jsonrpc":"2.0","id":1,"resu'), "not JSON"),
            (text("Service Unavailable", 503), "HTTP 503"),
            (text("Unauthorized", 401), "HTTP 401"),
            (text("Found", 302, {"Location": "http://127.0.0.1:1/"}), "HTTP 302"),
            (always("hello"), "not a JSON-RPC answer"),
            (always(7), "not a JSON-RPC answer"),
            (always(None), "not a JSON-RPC answer"),
        ],
    )
    async def test_faults(
        self, node: FakeNode, endpoint: Endpoint, fault: Fault, reason: str, size: int
    ) -> None:
        node.fault = fault
        with pytest.raises(RpcUnavailable, match=reason) as caught:
            await endpoint.batch([NUMBER] * size)
        assert str(caught.value).startswith(f"http://127.0.0.1:{node.port}: ")
        assert caught.value.__context__ is None or caught.value.__suppress_context__
        assert endpoint.stats.consecutive_failures == 1
        assert endpoint.stats.errors == size
        assert endpoint.stats.last_error is not None
        assert endpoint.stats.resting > 0

    async def test_a_refused_connection(self, session: aiohttp.ClientSession) -> None:
        with pytest.raises(RpcUnavailable, match=r"http://127\.0\.0\.1:9: no connection"):
            await Endpoint(f"http://127.0.0.1:9/{SECRET}", session).call("eth_blockNumber")

    async def test_a_name_that_does_not_resolve(self, session: aiohttp.ClientSession) -> None:
        with pytest.raises(RpcUnavailable, match="can't be resolved"):
            await Endpoint(f"http://nowhere.invalid/{SECRET}", session).call("eth_blockNumber")

    async def test_a_node_that_is_no_http_server(self, session: aiohttp.ClientSession) -> None:
        async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 smtp ready\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(RpcUnavailable, match="not HTTP"):
                await Endpoint(f"http://127.0.0.1:{port}", session).call("eth_blockNumber")

    async def test_a_slow_node_times_out(self, node: FakeNode, endpoint: Endpoint) -> None:
        async def hang(_request: web.Request, _body: object) -> None:
            await asyncio.sleep(2)

        node.fault = hang
        begun = time.monotonic()
        with pytest.raises(RpcUnavailable, match=r"no answer within 0.1 s"):
            await endpoint.call("eth_blockNumber", timeout_s=0.1)
        assert time.monotonic() - begun < 1.5

    async def test_a_body_that_drips_times_out_too(
        self, node: FakeNode, endpoint: Endpoint
    ) -> None:
        async def drip(request: web.Request, _body: object) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(10):
                await response.write(b" ")
                await asyncio.sleep(0.05)
            return response

        node.fault = drip
        with pytest.raises(RpcUnavailable, match=r"no answer within 0.1 s"):
            await endpoint.call("eth_blockNumber", timeout_s=0.1)

    async def test_an_endless_answer_is_not_read(
        self, node: FakeNode, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(endpoint_module, "MAX_BODY_BYTES", 100_000)
        with pytest.raises(RpcUnavailable, match="larger than"):
            await endpoint.call("echo", "x" * 200_000)

    async def test_a_compressed_bomb_is_not_read(
        self, node: FakeNode, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(endpoint_module, "MAX_BODY_BYTES", 1_000_000)
        bomb = gzip.compress(b" " * 50_000_000)

        async def explode(_request: web.Request, _body: object) -> web.Response:
            return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

        node.fault = explode
        with pytest.raises(RpcUnavailable):
            await endpoint.call("eth_blockNumber")

    async def test_a_success_ends_the_rest(self, node: FakeNode, endpoint: Endpoint) -> None:
        node.fault = drop
        for _ in range(3):
            with pytest.raises(RpcUnavailable):
                await endpoint.call("eth_blockNumber")
        assert endpoint.stats.consecutive_failures == 3
        node.fault = None
        await endpoint.call("eth_blockNumber")
        assert (endpoint.stats.consecutive_failures, endpoint.stats.resting) == (0, 0)


class TestMismatch:
    @pytest.mark.parametrize("id_", [None, 0, 999, "1", 1.0, True])
    async def test_an_answer_with_another_id_is_none(
        self, node: FakeNode, endpoint: Endpoint, id_: object
    ) -> None:
        """A proxy that mixes up two clients must not make one read the other's answer."""
        node.fault = always({"jsonrpc": "2.0", "id": id_, "result": "0x1"})
        await self._fails(endpoint, "another id")

    async def test_an_error_without_an_id_is_quoted(
        self, node: FakeNode, endpoint: Endpoint
    ) -> None:
        error = {"code": -32000, "message": "invalid project id"}
        node.fault = always({"id": None, "error": error}, 403)
        await self._fails(endpoint, "HTTP 403, the answer has another id: invalid project id")

    async def test_neither_result_nor_error(self, node: FakeNode, endpoint: Endpoint) -> None:
        node.fault = always({"jsonrpc": "2.0", "id": 1})
        await self._fails(endpoint, "neither a result nor an error")

    async def test_elements_that_are_missing_doubled_or_foreign(
        self, node: FakeNode, endpoint: Endpoint
    ) -> None:
        async def mangle(_request: web.Request, body: object) -> web.Response:
            answers = node.answer(body)
            assert isinstance(answers, list)
            answers[2]["id"] = 10**9  # foreign, so the third is missing
            return reply([*answers, answers[1], "noise", None, {"id": [1]}])  # the second twice

        node.fault = mangle
        answers = await endpoint.batch(echo(*range(4)))
        assert (answers[0], answers[3]) == (0, 3)
        assert isinstance(answers[1], RpcUnavailable)
        assert "twice" in str(answers[1])
        assert isinstance(answers[2], RpcUnavailable)
        assert "missing" in str(answers[2])
        assert endpoint.stats.errors == 2

    async def test_an_empty_batch_answer(self, node: FakeNode, endpoint: Endpoint) -> None:
        node.fault = always([])
        with pytest.raises(RpcUnavailable, match="missing"):
            await endpoint.batch(echo(1, 2))

    @pytest.mark.parametrize("status", [400, 404, 500, 503])
    async def test_an_answer_counts_under_any_status(
        self, node: FakeNode, endpoint: Endpoint, status: int
    ) -> None:
        """Some nodes answer HTTP 400 or 500 with a whole JSON-RPC error."""

        async def honest(_request: web.Request, body: object) -> web.Response:
            return reply(node.answer(body), status)

        node.fault = honest
        with pytest.raises(RpcError, match="nonce too low"):
            await endpoint.call("fail", -32000, "nonce too low")
        assert endpoint.stats.consecutive_failures == 0

    @pytest.mark.parametrize("error", ["text", 7, ["x"], {}, {"code": "x", "message": None}])
    async def test_an_error_of_any_form_is_an_error(
        self, node: FakeNode, endpoint: Endpoint, error: object
    ) -> None:
        node.fault = always({"jsonrpc": "2.0", "id": 1, "error": error})
        with pytest.raises(RpcError):
            await endpoint.call("eth_blockNumber")

    async def _fails(self, endpoint: Endpoint, reason: str) -> None:
        with pytest.raises(RpcUnavailable, match=reason):
            await endpoint.call("eth_blockNumber")


class TestRateLimits:
    async def test_429_is_obeyed(self, node: FakeNode, endpoint: Endpoint) -> None:
        node.fault = text("slow down", 429, {"Retry-After": "7"})
        with pytest.raises(RateLimited, match="HTTP 429"):
            await endpoint.call("eth_blockNumber")
        assert 6 < endpoint.stats.cooldown <= 7
        assert endpoint.stats.consecutive_failures == 0
        with pytest.raises(RateLimited, match="not asked"):
            await endpoint.call("eth_blockNumber")
        assert len(node.bodies) == 1, "nothing is sent while the node wants quiet"

    @pytest.mark.parametrize(
        ("header", "least", "most"),
        [
            ("3600", 59, 60),
            ("9" * 400, 59, 60),
            ("0", 0, 0),
            ("-5", 0.5, 1),
            ("soon", 0.5, 1),
            ("", 0.5, 1),
            pytest.param(formatdate(time.time() + 3600, usegmt=True), 59, 60, id="in an hour"),
            (formatdate(0, usegmt=True), 0, 0),
        ],
    )
    async def test_retry_after_is_bounded(
        self, node: FakeNode, endpoint: Endpoint, header: str, least: float, most: float
    ) -> None:
        node.fault = text("slow down", 429, {"Retry-After": header})
        with pytest.raises(RateLimited):
            await endpoint.call("eth_blockNumber")
        assert least <= endpoint.stats.cooldown <= most

    async def test_without_retry_after_the_wait_doubles_until_an_answer(
        self, node: FakeNode, endpoint: Endpoint
    ) -> None:
        async def limited() -> float:
            node.fault = text("slow down", 429)
            with pytest.raises(RateLimited):
                await endpoint.call("eth_blockNumber")
            waits = endpoint.stats.cooldown
            endpoint.stats.cooldown_until = 0.0
            return waits

        waits = [await limited() for _ in range(8)]
        assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60], abs=0.5)
        node.fault = None
        await endpoint.call("eth_blockNumber")
        assert await limited() == pytest.approx(1, abs=0.5)

    async def test_one_refusal_of_many_requests_doubles_once(
        self, node: FakeNode, session: aiohttp.ClientSession
    ) -> None:
        node.fault = text("slow down", 429)
        small = Endpoint(node.url, session, max_batch=1)
        with pytest.raises(RateLimited):
            await small.batch(echo(*range(4)))
        assert small.stats.cooldown <= 1

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            (-32005, "limit exceeded"),
            (-32005, "project ID request rate exceeded"),
            (-32029, "Too many requests"),
            (429, "Your app has exceeded its compute units per second capacity"),
            (-32000, "over rate limit"),
            (-32007, "50/second request limit reached"),
        ],
    )
    async def test_some_errors_are_rate_limits(
        self, endpoint: Endpoint, code: int, message: str
    ) -> None:
        with pytest.raises(RateLimited):
            await endpoint.call("fail", code, message)
        assert endpoint.stats.cooldown > 0.5

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            (-32005, "query returned more than 10000 results"),
            (-32005, "Transaction gas limit exceeds block gas limit"),
            (-32005, "eth_getLogs is limited to a 10,000 range"),
            (-32000, "execution reverted: rate limit exceeded"),
            (-32000, "nonce too low"),
            (3, "execution reverted: RateLimiter: too many requests"),
        ],
    )
    async def test_others_are_answers(self, endpoint: Endpoint, code: int, message: str) -> None:
        with pytest.raises(RpcError):
            await endpoint.call("fail", code, message)
        assert endpoint.stats.cooldown == 0

    async def test_infura_says_how_long(self, endpoint: Endpoint) -> None:
        data = {"rate": {"backoff_seconds": 30.0, "current_rps": 13.3}}
        with pytest.raises(RateLimited):
            await endpoint.call("fail", -32005, "project ID request rate exceeded", data)
        assert 29 < endpoint.stats.cooldown <= 30

    async def test_one_limited_element_does_not_lose_the_others(self, endpoint: Endpoint) -> None:
        """QuickNode answers the first 25 of a batch and refuses the 26th."""
        answers = await endpoint.batch([NUMBER, Call("fail", (429, "too many requests"))])
        assert answers[0] == "0x10"
        assert isinstance(answers[1], RateLimited)
        assert endpoint.stats.cooldown > 0.5

    async def test_a_limited_batch_is_not_taken_for_a_refusal_of_batches(
        self, node: FakeNode, endpoint: Endpoint
    ) -> None:
        node.fault = always({"id": None, "error": {"code": 429, "message": "too many requests"}})
        with pytest.raises(RateLimited):
            await endpoint.batch(echo(1, 2))
        assert len(node.bodies) == 1

    async def test_503_with_retry_after_is_obeyed(self, node: FakeNode, endpoint: Endpoint) -> None:
        node.fault = text("maintenance", 503, {"Retry-After": "7"})
        with pytest.raises(RpcUnavailable, match="HTTP 503"):
            await endpoint.call("eth_blockNumber")
        assert 6 < endpoint.stats.cooldown <= 7


class TestOwnRate:
    async def test_elements_are_counted(self, node: FakeNode, endpoint: Endpoint) -> None:
        endpoint.set_rate(20)
        begun = time.monotonic()
        assert await endpoint.batch(echo(*range(50))) == list(range(50))
        assert 2 < time.monotonic() - begun < 5
        assert max(len(body) for body in node.bodies if isinstance(body, list)) == 20

    async def test_zero_is_no_limit(self, endpoint: Endpoint) -> None:
        endpoint.set_rate(1)
        endpoint.set_rate(0)
        begun = time.monotonic()
        for _ in range(20):
            await endpoint.call("eth_blockNumber")
        assert time.monotonic() - begun < 1

    async def test_a_wait_is_bounded(self, node: FakeNode, endpoint: Endpoint) -> None:
        endpoint.set_rate(1)
        await endpoint.call("eth_blockNumber")
        with pytest.raises(RateLimited, match="our own limit of 1 per second"):
            await endpoint.call("eth_blockNumber", timeout_s=0.1)
        assert len(node.bodies) == 1
        assert endpoint.stats.errors == 0


class TestSecrets:
    @pytest.mark.parametrize(
        "form",
        [
            "http://127.0.0.1:{port}/v2/{key}",
            "http://127.0.0.1:{port}/?apikey={key}",
            "http://u:{key}@127.0.0.1:{port}/",
        ],
    )
    async def test_no_fault_shows_the_key(
        self,
        node: FakeNode,
        session: aiohttp.ClientSession,
        form: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(0)
        url = form.format(port=node.port, key=SECRET)
        faults = [
            drop,
            truncate,
            text(f"no such path: {url}"),
            text(f"bad key {SECRET}", 401),
            text(SECRET, 429),
            always({"id": None, "error": {"message": f"key {SECRET} is blocked"}}, 403),
            always({"id": None, "error": {"code": 429, "message": f"rate limit of {SECRET}"}}),
            always([{"id": 7, "error": {"code": 1, "message": SECRET, "data": [SECRET]}}] * 2),
        ]
        endpoint = Endpoint(url, session)
        for fault in faults:
            node.fault = fault
            for calls in ([NUMBER], [NUMBER, NUMBER]):
                endpoint.stats.cooldown_until = 0.0
                with pytest.raises((RpcUnavailable, RpcError)) as caught:
                    await endpoint.batch(calls)
                assert SECRET not in repr(caught.getrepr(showlocals=False))
                assert SECRET not in repr(caught.value)
                assert SECRET not in str(endpoint.stats)
        node.fault = None
        endpoint.stats.cooldown_until = 0.0
        with pytest.raises(RpcError) as quoted:
            await endpoint.call("fail", -32000, f"key {SECRET}", {"url": url})
        assert SECRET not in repr(quoted.value)
        assert SECRET not in caplog.text

    async def test_basic_authorization_reaches_the_node(
        self, node: FakeNode, session: aiohttp.ClientSession
    ) -> None:
        endpoint = Endpoint(f"http://alice:secret@127.0.0.1:{node.port}/path?a=b", session)
        assert await endpoint.call("eth_blockNumber") == "0x10"
        assert node.authorizations == ["Basic YWxpY2U6c2VjcmV0"]
        assert node.paths == ["/path?a=b"]


class TestStats:
    async def test_they_count_elements(self, endpoint: Endpoint) -> None:
        await endpoint.batch(echo(1, 2, 3))
        await endpoint.call("eth_blockNumber")
        assert endpoint.stats.requests == 4
        assert endpoint.stats.errors == 0
        assert endpoint.stats.last_latency_ms is not None
        assert endpoint.stats.last_latency_ms > 0

    async def test_an_endpoint_that_is_not_started_says_so(self) -> None:
        with pytest.raises(RuntimeError, match="not started"):
            await Endpoint("http://127.0.0.1:1").call("eth_blockNumber")
