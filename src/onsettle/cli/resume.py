import click

from onsettle.cli.session import dry_run_option, yes_option
from onsettle.cli.settings import change


@click.command()
@dry_run_option
@yes_option
def command(dry_run: bool, yes: bool) -> None:
    """Send payments again."""
    change("payments_paused", "false", dry_run=dry_run, yes=yes)
