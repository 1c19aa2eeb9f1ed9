import asyncio
import logging
import sys
from typing import TYPE_CHECKING

import click

from onsettle.cli.session import agreed, dry_run_option, dsn_of, yes_option
from onsettle.config import Config
from onsettle.local.database import configured

if TYPE_CHECKING:
    from onsettle.runtime import Engine
    from onsettle.store.database import Database, Record


@click.command()
@dry_run_option
@yes_option
def command(dry_run: bool, yes: bool) -> None:
    """Bring the database to this version. Safe to repeat.

    At a terminal it asks before it changes a database with rows; a script is not asked.
    """
    asyncio.run(_migrate(dry_run=dry_run, yes=yes))


async def _migrate(*, dry_run: bool, yes: bool) -> None:
    from onsettle.config import load
    from onsettle.log import set_up
    from onsettle.store.migrate import holds_rows, migrate

    whole = load()
    set_up(whole.log_format, level=logging.INFO)
    async with configured(whole) as config:
        dsn = dsn_of(config)
        missing = await migrate(dsn, dry_run=True)
        if dry_run:
            for name in missing:
                click.echo(f"would apply {name}")
        elif missing and not yes and somebody_is_there() and await holds_rows(dsn):
            what = ", ".join(missing)
            agreed(f"Apply {what} to a database with rows", yes=False, dry_run=False)
        if not missing:
            click.echo("The database is up to date.")
        if not dry_run:
            for name in await migrate(dsn):
                click.echo(f"applied {name}")
            await _take_over(config)


def somebody_is_there() -> bool:
    """A deployment runs it without anybody to ask, as `serve` does at its start."""
    return sys.stdin.isatty()


async def _take_over(config: Config) -> None:
    """Rows of the older server get their chain, as far as a chain can be read now."""
    from onsettle.engine.adoption import tell_refused
    from onsettle.runtime import Engine
    from onsettle.store.database import Database

    async with await Database.connect(dsn_of(config), size=2) as db:
        before, refused = await _left(db), await db.fetch("adoption_refused")
        if not (before["open"] or before["finished"] or refused):
            return
        engine = await Engine.open(config)
        try:
            await _take(engine, db)
            why = "; ".join(engine.problems) or (
                "another process is taking them over" if engine.networks
                else "no network is configured"
            )  # fmt: skip
        finally:
            await engine.close()
        left = await _left(db)
        newly = -sum(row["unfinished"] for row in refused)
        refused = await tell_refused(db)
        newly += sum(row["unfinished"] for row in refused)
    _tell_taken(before["open"] - left["open"] - newly, refused)
    _tell_left(left, why)


async def _left(db: "Database") -> "Record":
    row = await db.fetchrow("adoption_left")
    assert row is not None
    return row


async def _take(engine: "Engine", db: "Database") -> None:
    from onsettle.engine.adoption import take_over_again, take_over_open

    while engine.networks and (
        await take_over_again(db, engine.assets) or await take_over_open(db, engine.assets)
    ):
        pass


def _tell_taken(taken: int, refused: "list[Record]") -> None:
    if taken > 0:
        click.echo(f"taken over: {taken} payments that are not completed")
    for row in refused:
        problem = row["problem"]
        click.echo(
            f"not taken over: {row['count']} payments ({problem}); {row['failed']} of them waited"
            " and are failed. They are listed by: select id, status, refused, error"
            f" from payment_queue where refused = '{problem}'"
        )


def _tell_left(left: "Record", why: str) -> None:
    if left["open"]:
        click.echo(
            f"left for later: {left['open']} payments that are not completed wait for their chain"
            f" ({why}). The engine takes them over, and looks them up, when it can read it."
        )
    if left["finished"]:
        click.echo(
            f"left for later: {left['finished']} completed payments. They are known by their"
            " authorization from now on; the engine gives them their chain as it runs."
        )
