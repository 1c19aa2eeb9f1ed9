"""Connections, bounded in number and in the time that their requests take to arrive.

Each holds one of the files that a process may have open, and the engine needs some as well: who
opens many connections and says nothing must not keep it from the database and the nodes.
"""

import asyncio
import contextlib
import resource
from http import HTTPStatus

import orjson
from uvicorn.protocols.http.h11_impl import H11Protocol

from onsettle.api.problems import document
from onsettle.engine.request import Refused

#: The line and the headers of a request that take longer than this are given up.
HEAD_TIMEOUT_S = 20.0
#: Open files that a process asks for, where the system lets it have more than it gave.
_FILES = 65_536
_MOST = 10_000


def raise_limit() -> None:
    """As many open files as the system lets this process have, up to what it can use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # some systems promise more than they give
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections() -> int:
    """Half of the files that this process may have open; the rest is the engine's."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else min(_MOST, soft // 2)


class BoundedProtocol(H11Protocol):
    """uvicorn bounds only how long a connection is idle after a request, until its next byte."""

    _arriving: asyncio.TimerHandle | None = None

    # uvicorn takes a narrower type here than asyncio's own protocol does.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            transport.write(_full())
            transport.close()
            return
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # A body that is on its way has a limit of its own.
        if self.cycle is None or self.cycle.response_complete:
            self._expect()
        else:
            self._expect_nothing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    def _expect(self) -> None:
        """A request, from now on: bytes that trickle in do not give it more time."""
        if self._arriving is None and not self.transport.is_closing():
            self._arriving = self.loop.call_later(HEAD_TIMEOUT_S, self._too_late)

    def _expect_nothing(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None

    def _too_late(self) -> None:
        self._arriving = None
        self.transport.close()


def _full() -> bytes:
    refused = Refused("overloaded", "too many connections are open: try again later", 503)
    body = orjson.dumps(document(refused))
    status = HTTPStatus(refused.status)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "content-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\n"
        "retry-after: 2\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + body
