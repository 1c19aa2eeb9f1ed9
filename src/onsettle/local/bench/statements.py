"""Where the database's time goes: every statement of one run, from the server's own log."""

import re
from collections import defaultdict
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import asyncpg

_DURATION = re.compile(r"duration: ([\d.]+) ms  (?:(?:parse|bind|execute) [^:]*|statement): (.*)")
_SETTINGS = (
    "log_min_duration_statement = 0",
    # Without the values: an array of a thousand payments is longer than it takes to store it.
    "log_parameter_max_length = 0",
)


async def log_all(dsn: str) -> None:
    """From now on new connections to this database log how long each statement took."""
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        name = await connection.fetchval("select current_database()")
        for setting in _SETTINGS:
            await connection.execute(f"alter database {name} set {setting}")
    finally:
        await connection.close()


def read(folder: Path, payments: int) -> list[dict[str, Any]]:
    """Milliseconds and calls by query name, the longest first, since the server started."""
    names = {_plain(text): name for name, text in _queries()}
    spent: defaultdict[str, float] = defaultdict(float)
    calls: defaultdict[str, int] = defaultdict(int)
    for milliseconds, statement in _logged(folder):
        name = names.get(_plain(statement), _plain(statement)[:60])
        spent[name] += milliseconds
        calls[name] += 1
    return [
        {
            "query": name,
            "ms": round(spent[name], 1),
            "calls": calls[name],
            "us_per_payment": round(spent[name] * 1000 / payments, 1),
        }
        for name in sorted(spent, key=lambda each: -spent[each])
    ]


def _logged(folder: Path) -> Iterator[tuple[float, str]]:
    for log in sorted(folder.glob("*.log")):
        duration, lines = 0.0, [""]
        for line in log.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("\t"):
                lines.append(line)
                continue
            if duration:
                yield duration, " ".join(lines)
            found = _DURATION.search(line)
            duration, lines = (float(found[1]), [found[2]]) if found else (0.0, [""])
        if duration:
            yield duration, " ".join(lines)


def _queries() -> Iterator[tuple[str, str]]:
    for path in files("onsettle.store").joinpath("queries").iterdir():
        yield path.name.removesuffix(".sql"), path.read_text("utf-8")


def _plain(text: str) -> str:
    return " ".join(text.split())
