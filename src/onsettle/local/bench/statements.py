"""Where the database's time goes: every statement of one run, from the server's own log."""

import asyncio
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import asyncpg

_DURATION = re.compile(
    r"duration: ([\d.]+) ms  (?:(parse|bind|execute) [^:]*|(statement)): (.*)", re.DOTALL
)
_SETTINGS = (
    "log_min_duration_statement = 0",
    # Without the values: an array of a thousand payments is longer than it takes to store it.
    "log_parameter_max_length = 0",
)
_PATIENCE_S = 20.0


class StatementLog:
    """The statements of one database between `begin` and `end`.

    The server has one log for all databases and all runs: a statement of its own marks where the
    run begins and where it ends.
    """

    def __init__(self, dsn: str, folder: Path) -> None:
        self._dsn = dsn
        self._folder = folder
        self.name = secrets.token_hex(6)

    @classmethod
    async def of(cls, dsn: str, folder: Path) -> Self:
        """From now on new connections to this database log how long each statement took."""
        connection = await asyncpg.connect(dsn, timeout=30)
        try:
            name = await connection.fetchval("select current_database()")
            for setting in _SETTINGS:
                await connection.execute(f"alter database {name} set {setting}")
        finally:
            await connection.close()
        return cls(dsn, folder)

    async def begin(self) -> None:
        await self._mark("begin")

    async def end(self) -> None:
        """Returns when the log has everything until now."""
        await self._mark("end")
        deadline = time.monotonic() + _PATIENCE_S
        while not any(self._marked(text, "end") for _, _, text in logged(self._folder)):
            if time.monotonic() > deadline:
                raise TimeoutError("the database's log does not say what it did")
            await asyncio.sleep(0.1)

    def spent(self, payments: int) -> list[dict[str, Any]]:
        """Milliseconds and calls by query name, the longest first."""
        names = {_plain(text): name for name, text in _queries()}
        spent: defaultdict[str, float] = defaultdict(float)
        calls: defaultdict[str, int] = defaultdict(int)
        for milliseconds, step, statement in self._of_the_run():
            name = names.get(_plain(statement), _plain(statement)[:60])
            spent[name] += milliseconds
            calls[name] += step in ("execute", "statement")
        return [
            {
                "query": name,
                "ms": round(spent[name], 1),
                "calls": calls[name],
                "us_per_payment": round(spent[name] * 1000 / payments, 1),
            }
            for name in sorted(spent, key=lambda each: -spent[each])
        ]

    def _of_the_run(self) -> Iterator[tuple[float, str, str]]:
        running = False
        for milliseconds, step, statement in logged(self._folder):
            if self._marked(statement, "end"):
                return
            if running:
                yield milliseconds, step, statement
            running = running or self._marked(statement, "begin")

    async def _mark(self, what: str) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=30)
        try:
            await connection.execute(f"select '{what} {self.name}'")
        finally:
            await connection.close()

    def _marked(self, statement: str, what: str) -> bool:
        return statement == f"select '{what} {self.name}'"


def logged(folder: Path) -> Iterator[tuple[float, str, str]]:
    """(milliseconds, step, text) of every statement in a server's log, the oldest first."""
    for log in sorted(folder.glob("*.log"), key=lambda each: each.stat().st_mtime):
        entry: list[str] = []
        for line in log.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("\t"):
                entry.append(line[1:])
                continue
            yield from _read("\n".join(entry))
            entry = [line]
        yield from _read("\n".join(entry))


def _read(entry: str) -> Iterator[tuple[float, str, str]]:
    if found := _DURATION.search(entry):
        yield float(found[1]), found[2] or found[3], found[4]


def _queries() -> Iterator[tuple[str, str]]:
    for path in files("onsettle.store").joinpath("queries").iterdir():
        yield path.name.removesuffix(".sql"), path.read_text("utf-8")


def _plain(text: str) -> str:
    return " ".join(text.split())
