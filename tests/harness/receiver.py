"""A merchant's webhook endpoint: it checks signatures as the specification says, and counts."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    id: str
    body: dict[str, Any]
    raw: bytes
    path: str


@dataclass(slots=True)
class Receiver:
    """`answer` decides what is said to each request; the default is 204."""

    url: str = ""
    answer: Callable[[Message], web.StreamResponse] = field(
        default=lambda _: web.Response(status=204)
    )
    messages: list[Message] = field(default_factory=list)
    most_at_once: int = 0
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    #: These get no answer at all, until the receiver ends.
    hangs: Callable[[Message], bool] = field(default=lambda _: False)
    _end: asyncio.Event = field(default_factory=asyncio.Event)
    _now: int = 0

    @property
    def tries(self) -> Counter[str]:
        return Counter(message.id for message in self.messages)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        id_, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        assert abs(time.time() - int(at)) < 300
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        digest = hmac.new(key, f"{id_}.{at}.".encode() + raw, hashlib.sha256).digest()
        expected = "v1," + base64.b64encode(digest).decode()
        assert expected in request.headers["webhook-signature"].split(" ")
        assert request.headers["content-type"] == "application/json"
        message = Message(id=id_, body=json.loads(raw), raw=raw, path=request.path)
        self.messages.append(message)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            await (self._end if self.hangs(message) else self.hold).wait()
            return self.answer(message)
        finally:
            self._now -= 1


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    receiver.hold.set()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server = site._server
    assert isinstance(server, asyncio.Server)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        receiver._end.set()
        await runner.cleanup()
