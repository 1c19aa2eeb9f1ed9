"""`onsettle serve` in a process of its own, on a port of its own."""

import asyncio
import socket
import sys
import time
from pathlib import Path
from typing import Self

import aiohttp

from onsettle.local.bench.ground import Site
from onsettle.local.bench.workers import WorkerFailed

_PATIENCE_S = 60.0


class Service:
    """The API and one worker, as an operator starts them."""

    def __init__(self, site: Site, folder: Path) -> None:
        self._port = _free_port()
        self._environment = {**site.environment, "ONSETTLE_PORT": str(self._port)}
        self._log = folder / f"serve-{self._port}.log"
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> Self:
        start = "from onsettle.cli import main; main(['serve'])"
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                start,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self._folder,
                start_new_session=True,
            )
        try:
            await self._ready()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), 30)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _ready(self) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        async with aiohttp.ClientSession() as session:
            while True:
                if self._process is None or self._process.returncode is not None:
                    raise WorkerFailed("the service ended\n" + self.end_of_log())
                try:
                    async with session.get(f"{self.url}/readyz") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                if time.monotonic() > deadline:
                    raise WorkerFailed("the service is not ready\n" + self.end_of_log())
                await asyncio.sleep(0.1)

    def end_of_log(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
