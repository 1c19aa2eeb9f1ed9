"""Engine processes: started, waited for, asked for their counters, ended."""

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from onsettle.local.bench.ground import Site
from onsettle.store.database import Database

_PATIENCE_S = 60.0
_WORKER = (
    "from onsettle.local.bench.process import watch; watch();"
    "from onsettle.cli import main; main(['worker'])"
)


class WorkerFailed(Exception):
    """An engine process ended or never got ready; the text has the end of its log."""


class Workers:
    """`count` engines on one site, each in a process of its own."""

    def __init__(self, site: Site, count: int, folder: Path) -> None:
        self._site = site
        self._count = count
        self._folder = folder
        self._processes: list[asyncio.subprocess.Process] = []
        self._logs: list[Path] = []

    async def __aenter__(self) -> Self:
        for at in range(self._count):
            log = self._folder / f"worker-{time.monotonic_ns()}-{at}.log"
            with log.open("wb") as errors:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-c",
                    _WORKER,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=errors,
                    env=dict(self._site.environment),
                    cwd=self._folder,
                    start_new_session=True,
                )
            self._processes.append(process)
            self._logs.append(log)
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), 20)
                except TimeoutError:
                    process.kill()
                    await process.wait()

    async def ready(self, db: Database) -> None:
        """Wait until every wallet is held and the chain is followed at its head."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            self.check()
            live = await db.fetch("workers_live")
            wallets = await db.fetch("wallets_list", None)
            held = [w for w in wallets if w["lease_holder"]]
            if len(live) >= self._count and len(held) == len(wallets) > 0:
                return
            if time.monotonic() > deadline:
                raise WorkerFailed("the engine took no wallet" + self._end_of_logs())
            await asyncio.sleep(0.2)

    def check(self) -> None:
        """Raises WorkerFailed when one has ended."""
        if any(process.returncode is not None for process in self._processes):
            raise WorkerFailed("an engine process ended by itself" + self._end_of_logs())

    def sample(self) -> None:
        """From now on it is looked where their processor time goes."""
        for process in self._processes:
            process.send_signal(signal.SIGUSR2)

    async def samples(self) -> Counter[str]:
        """How often each function was seen, in all processes together."""
        return sum((Counter(told["samples"]) for told in await self._told()), Counter())

    async def counters(self) -> dict[str, float]:
        """The counters of all processes together; memory is that of the largest."""
        told = await self._told()
        return {
            "cpu_seconds": sum(each["cpu_seconds"] for each in told),
            "rpc_calls": sum(each["rpc_calls"] for each in told),
            "peak_memory_mb": max(each["peak_memory_mb"] for each in told),
        }

    async def _told(self) -> list[Mapping[str, Any]]:
        told = []
        for process in self._processes:
            process.send_signal(signal.SIGUSR1)
            assert process.stdout is not None
            line = await asyncio.wait_for(process.stdout.readline(), _PATIENCE_S)
            told.append(json.loads(line))
        return told

    def _end_of_logs(self) -> str:
        return "".join(f"\n{log.read_text(errors='replace')[-2000:]}" for log in self._logs)
