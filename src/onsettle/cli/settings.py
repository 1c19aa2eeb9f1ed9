import asyncio
from typing import Any

import click

from onsettle.cli.session import (
    agreed,
    dry_run_option,
    json_option,
    opened,
    print_json,
    table,
    yes_option,
)
from onsettle.domain.settings import DEFAULTS, SPECS, InvalidSetting, parse, render


@click.command()
@click.argument("key", required=False)
@click.argument("value", required=False)
@dry_run_option
@yes_option
@json_option
def command(key: str | None, value: str | None, dry_run: bool, yes: bool, as_json: bool) -> None:
    """List the runtime settings, read one (KEY), or change one (KEY VALUE)."""
    if key is not None and key not in SPECS:
        raise click.ClickException(f"{key} is not a setting; `onsettle settings` lists them.")
    if key is not None and value is not None:
        if as_json and not (yes or dry_run):
            raise click.UsageError("--json asks nothing: add --yes or --dry-run.")
        change(key, value, dry_run=dry_run, yes=yes, as_json=as_json)
        return
    rows = asyncio.run(_read())
    if key is not None:
        rows = [row for row in rows if row["key"] == key]
    if as_json:
        print_json(rows)
    elif key is not None:
        click.echo(rows[0]["value"])
    else:
        table(rows, {"key": "setting", "value": "value", "default": "default", "about": "about"})


def change(key: str, text: str, *, dry_run: bool, yes: bool, as_json: bool = False) -> None:
    """Validate, ask, write. Workers see it at their next tick."""
    try:
        value = render(parse(key, text))
    except InvalidSetting as error:
        raise click.ClickException(f"{error}.") from None
    before = next(row["value"] for row in asyncio.run(_read()) if row["key"] == key)
    if as_json:
        if before != value and not dry_run:
            asyncio.run(_write(key, value))
        print_json({"dry_run": dry_run, "key": key, "before": before, "value": value})
        return
    if before == value:
        click.echo(f"{key} is {value} already.")
        return
    if agreed(f"Change {key} from {before} to {value}", yes=yes, dry_run=dry_run):
        asyncio.run(_write(key, value))
        click.echo(f"{key} = {value}")


async def _read() -> list[dict[str, Any]]:
    async with opened() as db:
        stored = {row["key"]: row["value"] for row in await db.fetch("settings_read")}
    return [
        {
            "key": key,
            "value": stored.get(key, render(getattr(DEFAULTS, key))),
            "default": render(getattr(DEFAULTS, key)),
            "about": f"{spec.description} ({spec.allowed()})",
        }
        for key, spec in SPECS.items()
    ]


async def _write(key: str, value: str) -> None:
    async with opened() as db:
        await db.execute("setting_write", key, value)
