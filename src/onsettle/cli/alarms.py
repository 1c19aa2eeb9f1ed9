import asyncio
from typing import Any

import click

from onsettle.cli.session import (
    agreed,
    dry_run_option,
    json_option,
    list_alone,
    opened,
    print_json,
    table,
    yes_option,
)


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List what an operator must know, or clear what has been seen to."""
    list_alone(ctx, list_, as_json=as_json)


@command.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """Every open alarm."""
    rows = asyncio.run(_read())
    if as_json:
        print_json(rows)
    elif rows:
        table(rows, {name: name for name in ("raised_at", "kind", "subject", "message")})
    else:
        click.echo("No alarm is open.")


@command.command()
@click.argument("kind", required=False)
@click.argument("subject", required=False)
@click.option("--all", "every", is_flag=True, help="All of them.")
@dry_run_option
@yes_option
def clear(kind: str | None, subject: str | None, every: bool, dry_run: bool, yes: bool) -> None:
    """Clear alarms of KIND, or the one of SUBJECT. A cause that stays raises it again."""
    if bool(kind) == every:
        raise click.UsageError("Name a KIND, or --all.")
    meant = [
        row
        for row in asyncio.run(_read())
        if kind in (None, row["kind"]) and subject in (None, row["subject"])
    ]
    if not meant:
        raise click.ClickException("There is no such alarm; `onsettle alarms` lists them.")
    names = ", ".join(f"{row['kind']} {row['subject']}" for row in meant)
    if agreed(f"Clear {names}", yes=yes, dry_run=dry_run):
        asyncio.run(_clear(kind, subject))
        click.echo(f"Cleared {names}.")


async def _read() -> list[dict[str, Any]]:
    async with opened() as db:
        return [dict(row) for row in await db.fetch("alarms_open")]


async def _clear(kind: str | None, subject: str | None) -> None:
    async with opened() as db:
        await db.execute("alarms_seen", kind, subject)
