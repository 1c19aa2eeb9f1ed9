"""Who opens connections and says nothing, or says it slowly, keeps nobody from anything."""

import asyncio
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import orjson
import pytest

from onsettle.cli import connections
from tests.harness.http import serving
from tests.harness.stack import eventually

_SLOW_S = 1.0


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with serving(_app) as client:
        yield client


async def _app(scope: Any, _receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    """Answers at once, and on `/slow` only after a while."""
    if scope["path"] == "/slow":
        await asyncio.sleep(_SLOW_S)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})


async def _open(http: httpx.AsyncClient) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(http.base_url.host, http.base_url.port)


@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"])
async def test_headers_that_trickle_in_are_given_up(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, before: bytes
) -> None:
    """A byte now and then does not keep a connection, neither a new one nor one that was served."""
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", 0.3)
    reader, writer = await _open(http)
    writer.write(before)
    if before:
        assert (await reader.readuntil(b"served")).startswith(b"HTTP/1.1 200")
    writer.write(b"GET / HTTP/1.1\r\nx-slow: ")

    async def closed() -> bool:
        writer.write(b"a")
        return reader.at_eof()

    reading = asyncio.create_task(reader.read())
    await eventually(closed, within_s=10)
    reading.cancel()
    writer.close()


async def test_an_answer_may_take_longer_than_a_request(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has arrived is served, however long that takes; a live timeline takes hours."""
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", _SLOW_S / 4)
    answer = await http.get("/slow")
    assert answer.text == "served"


async def test_connections_beyond_the_bound_are_told_to_come_back(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is reached by silent ones: one more gets a problem document at once; when one of
    them goes, the next is served."""
    monkeypatch.setattr(connections, "_MOST", 3)
    silent = [await _open(http) for _ in range(3)]
    reader, writer = await _open(http)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 2" in head
    assert orjson.loads(body)["code"] == "overloaded"
    writer.close()
    silent.pop()[1].close()

    async def served() -> bool:
        try:
            return (await http.get("/")).status_code == 200
        except httpx.HTTPError:
            return False

    await eventually(served)
    for _, each in silent:
        each.close()


def test_a_process_takes_the_files_that_it_may_have_and_leaves_half_to_the_engine() -> None:
    """A shell's limit of 1024 is raised as far as the system allows."""
    code = (
        "import resource as r; from onsettle.cli.connections import *;"
        "r.setrlimit(r.RLIMIT_NOFILE, (256, 2048)); before = most_connections(); raise_limit();"
        "print(before, r.getrlimit(r.RLIMIT_NOFILE)[0], most_connections())"
    )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= 2048, "the machine allows too few files"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.split() == ["128", "2048", "1024"]
