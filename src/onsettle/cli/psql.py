import asyncio
import os
import signal
import subprocess

import click

from onsettle.cli.session import dsn_of
from onsettle.config import load
from onsettle.local.database import configured


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Open the database with psql; ARGUMENTS go to it, such as -c "select 1"."""
    raise SystemExit(asyncio.run(_psql(arguments)))


async def _psql(arguments: tuple[str, ...]) -> int:
    from onsettle.local.binaries import find_postgres_bin

    program = find_postgres_bin() / "psql"
    async with configured(load()) as config:
        # The DSN by environment would be mixed with PGHOST and the like; it holds no secret that
        # the operator who set it does not know.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # psql's own: it ends a query
        try:
            done = await asyncio.to_thread(
                subprocess.run,
                [str(program), dsn_of(config), *arguments],
                env={**os.environ, "PGAPPNAME": "onsettle psql"},
                check=False,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        return done.returncode
