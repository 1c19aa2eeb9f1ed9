"""The command line as a process of its own, as an operator runs it."""

import asyncio
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENTRY = "from onsettle.cli import main; main()"
# Forked from a process that has imported everything: importing is most of what a command costs.
_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(
    ["onsettle.cli.recovering", "onsettle.runtime", "onsettle.engine.recovery", __name__]
)


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
    return await asyncio.to_thread(_run, dict(environment), args, timeout_s)


def _run(environment: dict[str, str], args: Sequence[str], timeout_s: float) -> Answer:
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = _FORKED.Process(target=_command, args=(environment, list(args), out, err))
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"onsettle {' '.join(args)}: {err.read_text('utf-8')[-2000:]}")
        return Answer(code=process.exitcode, out=out.read_text("utf-8"), err=err.read_text("utf-8"))


def _command(environment: dict[str, str], args: list[str], out: Path, err: Path) -> None:
    """In the new process: its environment, its streams, its command line."""
    os.environ.clear()
    os.environ.update(environment)
    for path, number in ((out, 1), (err, 2)):
        written = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(written, number)
        os.close(written)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)

    from onsettle import points
    from onsettle.cli import main

    points.arm()
    try:
        main(args, prog_name="onsettle")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
