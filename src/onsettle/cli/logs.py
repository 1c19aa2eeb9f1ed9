import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from onsettle.cli.session import json_option, opened, print_json

if TYPE_CHECKING:
    from onsettle.store.database import Database

_EVERY_S = 0.5
#: A line gets its number before its transaction commits, and so may show up after later ones.
_LATE_S = 10.0
_PAGE = 10_000
_WHERE = """\
A process logs to its stderr: lines for people on a terminal, JSON elsewhere (ONSETTLE_LOG_FORMAT).
Whatever starts it keeps them: systemd (`journalctl -u onsettle`), a container, or `2>> file`.
The embedded PostgreSQL logs into `postgres/cluster/log` below ONSETTLE_DATA_DIR.
What happened to payments is kept in the database, and is what follows here."""


@click.command()
@click.option(
    "--lines", type=click.IntRange(1, 100_000), default=100, show_default=True,
    help="How many of the newest lines.",
)  # fmt: skip
@click.option("--failed", is_flag=True, help="Only what failed.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens, until interrupted.")
@json_option
def command(lines: int, failed: bool, follow: bool, as_json: bool) -> None:
    """What happened to payments, newest last; and where the processes' own logs go."""
    if as_json and follow:
        raise click.UsageError("--json is one document: leave --follow out.")
    if not as_json:
        click.echo(_WHERE, err=True)
    asyncio.run(_tell(lines, failed, follow=follow, as_json=as_json))


async def _tell(lines: int, failed: bool, *, follow: bool, as_json: bool) -> None:
    query = "recovery_failures" if failed else "recovery_journal"
    async with opened() as db:
        page = max(lines, _PAGE) if follow else lines
        rows = [dict(row) for row in await db.fetch(query, page, 0, [])]
        if as_json:
            print_json(rows[-lines:])
            return
        _print(rows[-lines:])
        if follow:
            floor = 0 if len(rows) < page else rows[0]["id"] - 1
            await _follow(db, query, _Shown(floor, [row["id"] for row in rows]))


async def _follow(db: "Database", query: str, shown: "_Shown") -> None:
    while True:
        await asyncio.sleep(_EVERY_S)
        rows = [dict(row) for row in await db.fetch(query, _PAGE, shown.floor, shown.ids)]
        _print(rows)
        shown.add(row["id"] for row in rows)


class _Shown:
    """The lines that nobody has to see again, as far back as one may still come."""

    def __init__(self, floor: int, ids: Iterable[int]) -> None:
        #: Nothing is expected up to this line.
        self.floor = floor
        self._at = dict.fromkeys(ids, time.monotonic())

    @property
    def ids(self) -> list[int]:
        return list(self._at)

    def add(self, ids: Iterable[int]) -> None:
        now = time.monotonic()
        self._at |= dict.fromkeys(ids, now)
        settled = [line for line, at in self._at.items() if at < now - _LATE_S]
        self.floor = max([self.floor, *settled])
        self._at = {line: at for line, at in self._at.items() if line > self.floor}


def _print(rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        click.echo(_line(row))


def _line(row: dict[str, Any]) -> str:
    step = f"{row['from_status'] or 'new'} -> {row['to_status']}"
    words = [f"{row['at']:%Y-%m-%d %H:%M:%S}", str(row["payment_id"]), step, str(row["reason"])]
    words += [row[name] for name in ("tx_hash", "error") if row[name]]
    return "  ".join(words)
