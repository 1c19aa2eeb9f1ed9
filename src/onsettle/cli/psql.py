import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from urllib.parse import unquote

import click

from onsettle.cli.session import dsn_of
from onsettle.config import load
from onsettle.local.database import configured

# Where DATABASE_URL leaves these open, the engine reads them too. The others, such as PGHOST and
# PGOPTIONS, would have psql look at something else than the engine does.
_SHARED = ("PGPASSWORD", "PGPASSFILE", "PGSSL")
_PARTS = re.compile(r"(\w+://)([^/?]*)([^?]*)(?:\?(.*))?", re.DOTALL)
_OPTION = "password="


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Open the database with psql; ARGUMENTS go to it, such as -c "select 1"."""
    raise SystemExit(asyncio.run(_psql(arguments)))


async def _psql(arguments: tuple[str, ...]) -> int:
    from onsettle.local.binaries import find_postgres_bin

    program = find_postgres_bin() / "psql"
    async with configured(load()) as config:
        dsn, environment = apart(dsn_of(config), os.environ)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # psql's own: it ends a query
        try:
            done = await asyncio.to_thread(
                subprocess.run,
                [str(program), dsn, *arguments],
                env={**environment, "PGAPPNAME": "onsettle psql"},
                check=False,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        return done.returncode


def apart(dsn: str, environment: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The DSN without its password, and an environment with it.

    Every user of a machine can read the arguments of a process; its environment, only its owner.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith("PG") or name.startswith(_SHARED)
    }
    parts = _PARTS.fullmatch(dsn)
    if parts is None:
        raise click.ClickException("DATABASE_URL is not an address that psql understands.")
    scheme, authority, path, query = parts.groups("")
    login, at, hosts = authority.rpartition("@")
    user, *found = login.split(":", 1)
    options = query.split("&") if query else []
    found += [each.removeprefix(_OPTION) for each in options if each.startswith(_OPTION)]
    if found:
        kept["PGPASSWORD"] = unquote(found[-1])
    others = "&".join(each for each in options if not each.startswith(_OPTION))
    return f"{scheme}{user}{at}{hosts}{path}" + (f"?{others}" if others else ""), kept
