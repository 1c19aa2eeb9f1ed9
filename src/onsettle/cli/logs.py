import asyncio
from typing import Any

import click

from onsettle.cli.session import json_option, opened, print_json

_EVERY_S = 0.5
_WHERE = """\
A process logs to its stderr: lines for people on a terminal, JSON elsewhere (ONSETTLE_LOG_FORMAT).
Whatever starts it keeps them: systemd (`journalctl -u onsettle`), a container, or `2>> file`.
The embedded PostgreSQL logs into the folder `cluster/log` below ONSETTLE_DATA_DIR.
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
        rows = [dict(row) for row in await db.fetch(query, lines, 0)][-lines:]
        if as_json:
            print_json(rows)
            return
        seen = 0
        while True:
            for row in rows:
                click.echo(_line(row))
                seen = row["id"]
            if not follow:
                return
            await asyncio.sleep(_EVERY_S)
            rows = [dict(r) for r in await db.fetch(query, 10_000, seen)]


def _line(row: dict[str, Any]) -> str:
    step = f"{row['from_status'] or 'new'} -> {row['to_status']}"
    words = [f"{row['at']:%Y-%m-%d %H:%M:%S}", str(row["payment_id"]), step, str(row["reason"])]
    words += [row[name] for name in ("tx_hash", "error") if row[name]]
    return "  ".join(words)
