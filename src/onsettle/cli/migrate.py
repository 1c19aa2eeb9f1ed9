import asyncio

import click

from onsettle.cli.session import agreed, dry_run_option, dsn_of, yes_option
from onsettle.config import Config
from onsettle.local.database import configured


@click.command()
@dry_run_option
@yes_option
def command(dry_run: bool, yes: bool) -> None:
    """Bring the database to this version. Safe to repeat; asks only where there are rows."""
    asyncio.run(_migrate(dry_run=dry_run, yes=yes))


async def _migrate(*, dry_run: bool, yes: bool) -> None:
    from onsettle.config import load
    from onsettle.store.migrate import holds_rows, migrate

    async with configured(load()) as config:
        dsn = dsn_of(config)
        missing = await migrate(dsn, dry_run=True)
        if dry_run:
            for name in missing:
                click.echo(f"would apply {name}")
        elif missing and not yes and await holds_rows(dsn):
            agreed(f"Apply {', '.join(missing)} to a database with rows", yes=False, dry_run=False)
        if not missing:
            click.echo("The database is up to date.")
        if not dry_run:
            for name in await migrate(dsn):
                click.echo(f"applied {name}")
            await _take_over(config)


async def _take_over(config: Config) -> None:
    """Rows of the older server get their chain, as far as a chain can be read now."""
    from onsettle.engine.adoption import take_over_open
    from onsettle.runtime import Engine
    from onsettle.store.database import Database

    async with await Database.connect(dsn_of(config), size=2) as db:
        left = await db.fetchrow("adoption_left")
        if left is None or not (left["open"] or left["finished"]):
            return
        engine = await Engine.open(config)
        try:
            while engine.networks and await take_over_open(db):
                pass
            problems = engine.problems
        finally:
            await engine.close()
        before, left = left, await db.fetchrow("adoption_left")
    assert left is not None
    if before["open"] > left["open"]:
        click.echo(f"taken over: {before['open'] - left['open']} payments that are not completed")
    if left["open"]:
        why = "; ".join(problems) or "no network is configured"
        click.echo(
            f"left for later: {left['open']} payments that are not completed wait for their chain"
            f" ({why}). The engine takes them over, and looks them up, when it can read it."
        )
    if left["finished"]:
        click.echo(
            f"left for later: {left['finished']} completed payments. They are known by their"
            " authorization from now on; the engine gives them their chain as it runs."
        )
