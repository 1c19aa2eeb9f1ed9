"""The service as a process of its own, that a test may end, freeze and start again."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

_READY_S = 60.0


class Ended(Exception):
    """The process is gone; the text is the end of what it wrote."""


_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    ["onsettle.cli.serve", "onsettle.runtime", "onsettle.api.app", "onsettle.cli.http", "uvicorn"]
)


def _run(environment: Mapping[str, str], command: str, log: str) -> None:
    """The process itself: as if started by hand, but for its modules, which are there already."""
    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in (1, 2):
        os.dup2(file, number)
    os.environ.clear()
    os.environ.update(environment)

    from onsettle import points
    from onsettle.cli import main

    points.arm()
    main([command])


class Process:
    """`onsettle <command>`, with what it writes in a file. End it by its own pid only."""

    def __init__(self, environment: Mapping[str, str], command: str, log: Path) -> None:
        self.port = free_port()
        self._log = log
        environment = dict(environment, ONSETTLE_PORT=str(self.port))
        self._process = _forks.Process(
            target=_run, args=(environment, command, str(log)), daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    @property
    def killed(self) -> bool:
        """Whether it has ended by SIGKILL."""
        return self._process.exitcode == -signal.SIGKILL

    @property
    def tail(self) -> str:
        return self._log.read_text("utf-8", "replace")[-3000:] if self._log.exists() else ""

    def start(self) -> None:
        self._process.start()

    async def ready(self) -> None:
        """Wait until it answers over HTTP; raises Ended when it never will."""
        deadline = time.monotonic() + _READY_S
        async with aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(f"{self.url}/healthz") as answer:
                        if answer.status == 200:
                            return
                if not self.alive or time.monotonic() > deadline:
                    raise Ended(self.tail)
                await asyncio.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        if self._process.pid is not None and self.alive:
            os.kill(self._process.pid, number)

    async def kill(self) -> None:
        """As a power cut would."""
        self.signal(signal.SIGKILL)
        await self.died(10)

    async def stop(self) -> None:
        """As an operator would, and by force when that takes too long."""
        self.signal(signal.SIGTERM)
        if not await self.died(20):
            await self.kill()

    async def died(self, within_s: float) -> bool:
        """Whether it ends in time."""
        await asyncio.to_thread(self._process.join, within_s)
        return not self.alive


async def post(url: str, body: object, *, timeout_s: float = 20) -> tuple[int, Any]:
    """(HTTP status, JSON); (0, the reason) when no answer came: it may have been taken or not."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as session,
            session.post(url, json=body) as answer,
        ):
            return answer.status, await answer.json(content_type=None)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        return 0, f"{type(error).__name__}: {error}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
