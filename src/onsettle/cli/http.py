"""uvicorn without its own signal handlers: the engine must stop after the API, not with it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import uvicorn

from onsettle.cli.connections import BoundedProtocol


class Server(uvicorn.Server):
    def __init__(self, app: Any, **more: Any) -> None:
        """`more` is of uvicorn's configuration."""
        super().__init__(
            uvicorn.Config(app, http=BoundedProtocol, log_config=None, access_log=False, **more)
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """The listening socket; says which address could not be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise click.ClickException(
            f"{host}:{port} can't be bound: {error.strerror}. Set ONSETTLE_HOST or ONSETTLE_PORT."
        ) from None


def address_of(listener: socket.socket) -> str:
    """Where it can be reached: with the port that it got, where 0 asked for any."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
