"""A JSON-RPC node in this process, on a free loopback port, that can be told to misbehave."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Self

from aiohttp import web

Request = dict[str, object]
Fault = Callable[[web.Request, object], Awaitable[web.StreamResponse | None]]


class NodeError(Exception):
    """Makes a method answer a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.body = {"code": code, "message": message} | ({"data": data} if data else {})


class FakeNode:
    """Answers by `methods` (a value, or a function of the params), unless `fault` answers first."""

    def __init__(self) -> None:
        self.methods: dict[str, object] = {"eth_blockNumber": "0x10"}
        self.fault: Fault | None = None
        self.bodies: list[object] = []
        self.paths: list[str] = []
        self.authorizations: list[str | None] = []
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._heard = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def calls(self) -> int:
        """How many calls have arrived, counting the elements of batches."""
        return sum(len(body) if isinstance(body, list) else 1 for body in self.bodies)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        [address] = self._runner.addresses
        self.port = address[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body: object = await request.json()
        async with self._heard:
            self.bodies.append(body)
            self._heard.notify_all()
        self.paths.append(request.path_qs)
        self.authorizations.append(request.headers.get("Authorization"))
        if self.fault is not None:
            response = await self.fault(request, body)
            if response is not None:
                return response
        return reply(self.answer(body))

    async def heard(self, requests: int) -> None:
        """Wait until so many requests have arrived."""
        async with self._heard:
            await self._heard.wait_for(lambda: len(self.bodies) >= requests)

    def answer(self, body: object) -> object:
        """What an honest node answers to this body."""
        if isinstance(body, list):
            return [self.answer(one) for one in body]
        assert isinstance(body, dict)
        method = self.methods[str(body["method"])]
        try:
            result = method(*body["params"]) if callable(method) else method
        except NodeError as error:
            return {"jsonrpc": "2.0", "id": body["id"], "error": error.body}
        return {"jsonrpc": "2.0", "id": body["id"], "result": result}


def reply(
    content: object, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """A response with `content` as JSON."""
    return web.Response(
        body=json.dumps(content).encode(),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def always(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Fault:
    """A fault: this very answer, whatever was asked."""

    async def fault(_request: web.Request, _body: object) -> web.StreamResponse:
        return reply(content, status, headers)

    return fault


def text(body: str, status: int = 200, headers: dict[str, str] | None = None) -> Fault:
    """A fault: a body that is not JSON."""

    async def fault(_request: web.Request, _body: object) -> web.StreamResponse:
        return web.Response(text=body, status=status, headers=headers)

    return fault


async def drop(request: web.Request, _body: object) -> web.StreamResponse:
    """A fault: the connection breaks after the request was read."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def truncate(request: web.Request, _body: object) -> web.StreamResponse:
    """A fault: half of the promised body, then the connection breaks."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'[{"jsonrpc":"2.0","id":1,"result":"0x')
    assert request.transport is not None
    request.transport.close()
    return response
