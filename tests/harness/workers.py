"""Workers as processes of their own, frozen or killed at a named point, and their leases."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from onsettle.runtime import Engine
from tests.harness.books import by_hand
from tests.harness.commands import ENTRY
from tests.harness.stack import Stack, eventually


class WorkerProcess:
    """`onsettle worker`. `point` is an `ONSETTLE_POINT`: where it freezes or dies by itself."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def said(self) -> str:
        """What it has written so far."""
        return self._log.read_text("utf-8", "replace")

    @property
    def frozen(self) -> bool:
        """Whether it has stopped itself at its point."""
        assert self._process.returncode is None, self.said
        return _state(self._process.pid) == "T"

    async def died(self) -> None:
        """Wait until it has killed itself at its point."""
        assert await asyncio.wait_for(self._process.wait(), 30) == -signal.SIGKILL, self.said

    async def froze(self) -> None:
        async def stopped() -> bool:
            return self.frozen

        await eventually(stopped, within_s=30)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def _state(pid: int) -> str:
    """The state is the third field, after a name in parentheses."""
    return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]


@asynccontextmanager
async def worker(stack: Stack, point: str | None = None) -> AsyncIterator[WorkerProcess]:
    """A worker that goes on until the block ends."""
    environment = stack.process_environment()
    if point is not None:
        environment["ONSETTLE_POINT"] = point
    log = stack.folder / f"worker-{len(list(stack.folder.glob('worker-*')))}.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            ENTRY,
            "worker",
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    found = WorkerProcess(process, log)
    try:
        yield found
    finally:
        await found.end()


async def end_leases(stack: Stack) -> None:
    """As if the time of every lease had passed: nobody waits for those of the dead."""
    for table in ("wallets", "networks"):
        await by_hand(stack, f"update {table} set lease_until = now() - interval '1 second'")
    # A worker that is gone takes no share of the wallets.
    await by_hand(stack, "update workers set seen_at = now() - interval '1 hour'")


async def seen_again(engine: Engine) -> None:
    """Wait until a worker that was taken for dead has worked on."""

    async def there() -> bool:
        rows = await engine.db.pool.fetch(
            "select 1 from workers where seen_at > now() - interval '5 seconds'"
        )
        return len(rows) > 1

    await eventually(there)
