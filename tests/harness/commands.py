"""The command line as a process of its own, as an operator runs it."""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ENTRY = "from onsettle.cli import main; main()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def ok(self) -> "Answer":
        assert self.code == 0, (self.code, self.out[-2000:], self.err[-2000:])
        return self


async def start(environment: Mapping[str, str], *args: str) -> asyncio.subprocess.Process:
    """`onsettle <args>`, running; end it by its own pid only."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        ENTRY,
        *args,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def onsettle(environment: Mapping[str, str], *args: str, timeout_s: float = 60) -> Answer:
    """Run `onsettle <args>` to its end."""
    process = await start(environment, *args)
    try:
        out, err = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return Answer(code=process.returncode or 0, out=out.decode(), err=err.decode())
