import asyncio

import click

from onsettle.cli.session import configured, dry_run_option, dsn_of


@click.command()
@dry_run_option
def command(dry_run: bool) -> None:
    """Bring the database to this version. Safe to repeat."""
    for name in (names := asyncio.run(_migrate(dry_run))):
        click.echo(f"{'would apply' if dry_run else 'applied'} {name}")
    if not names:
        click.echo("The database is up to date.")


async def _migrate(dry_run: bool) -> list[str]:
    from onsettle.config import load
    from onsettle.store.migrate import migrate

    async with configured(load()) as config:
        return await migrate(dsn_of(config), dry_run=dry_run)
