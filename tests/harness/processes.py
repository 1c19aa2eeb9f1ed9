"""Processes of the product, with what they say kept in a file: nobody has to read along."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.harness.stack import eventually

ROOT = Path(__file__).parents[2]
ONSETTLE = str(Path(sys.executable).with_name("onsettle"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bare_environment() -> dict[str, str]:
    """This process's own, without anything that configures the product but where anvil is."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("ONSETTLE_", "DATABASE_"))}
    anvil = os.environ.get("ONSETTLE_ANVIL")
    return kept | ({"ONSETTLE_ANVIL": anvil} if anvil else {})


def onsettle(
    folder: Path, environment: Mapping[str, str], *arguments: str
) -> "subprocess.CompletedProcess[str]":
    """Run `onsettle <arguments>` to its end."""
    return subprocess.run(
        [ONSETTLE, *arguments],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def is_ready(environment: Mapping[str, str]) -> None:
    """Wait until the service of this environment says that it is ready."""
    url = f"http://127.0.0.1:{environment['ONSETTLE_PORT']}/readyz"
    async with httpx.AsyncClient() as client:

        async def ready() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return (await client.get(url)).status_code == 200
            return False

        await eventually(ready)


async def pay(environment: Mapping[str, str]) -> dict[str, Any]:
    """The README's example in this environment: the payment that it made."""
    return dict(json.loads(await script("examples/pay.sh", environment)))


async def script(command: str, environment: Mapping[str, str]) -> str:
    """What a shell command of the repository's folder prints."""
    shell = await asyncio.create_subprocess_shell(
        command,
        cwd=ROOT,
        env={**environment, "PYTHON": sys.executable},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(shell.communicate(), 60)
    assert shell.returncode == 0, (out.decode(), err.decode()[-2000:])
    return out.decode()


class Process:
    """A running `onsettle <arguments>`."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *arguments: str) -> None:
        self._said = folder / f"{'-'.join(arguments[:1])}-{os.urandom(4).hex()}.err"
        with self._said.open("w") as err:
            self.popen = subprocess.Popen(
                [ONSETTLE, *arguments],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
            )

    @property
    def said(self) -> str:
        return self._said.read_text(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of this name in its log, where that is JSON."""
        found = []
        for line in self.said.splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                found.append(event)
        return [event for event in found if event.get("event") == name]

    def end(self, number: signal.Signals = signal.SIGTERM, *, within_s: float = 60) -> int:
        """Send a signal and wait; the exit code."""
        self.popen.send_signal(number)
        self.popen.communicate(timeout=within_s)
        return self.popen.returncode


@contextlib.contextmanager
def running(folder: Path, environment: Mapping[str, str], *arguments: str) -> Iterator[Process]:
    """The process for a while; it is killed at the end if the test did not end it."""
    process = Process(folder, environment, *arguments)
    try:
        yield process
    finally:
        if process.popen.poll() is None:
            process.popen.kill()
        process.popen.communicate()
