import asyncio
from typing import Any

import click

from onsettle.cli.session import json_option, opened, print_json
from onsettle.cli.values import Duration
from onsettle.engine.stuck import AT_MOST, SHOWN, Stuck, read_stuck


@click.command()
@click.option(
    "--older-than", type=Duration(), default="5m", show_default=True,
    help="How long is too long for what is sent or queued.",
)  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(1, AT_MOST), default=SHOWN, show_default=True,
    help="Show the oldest so many payments, mints and webhooks.",
)  # fmt: skip
@json_option
def command(older_than: float, limit: int, as_json: bool) -> None:
    """What waits for too long: why, since when, and what the engine does next."""
    found = asyncio.run(_read(older_than, limit))
    if as_json:
        print_json({name: getattr(found, name) for name in found.__slots__})
    else:
        _print(found)


async def _read(older_than: float, limit: int) -> Stuck:
    async with opened() as db:
        return await read_stuck(db, older_than, limit)


def _print(found: Stuck) -> None:
    for row in found.payments:
        _row(f"payment {row['id']} ({row['status']})", row)
    for row in found.mints:
        of = f" of payment {row['payment_id']}" if row["payment_id"] else ""
        _row(f"mint {row['id']}{of} ({row['status']})", row)
    for row in found.wallets:
        _short(f"wallet {row['address']} ({row['role']})", row)
    for row in found.networks:
        _short(f"network {row['name']}", row)
    for row in found.webhooks:
        click.echo(
            f"webhook {row['id']} of payment {row['payment_id']} is dead after {row['tries']}"
            f" tries: {row['last_error']}"
        )
    for row in found.alarms:
        click.echo(f"ALARM {row['kind']} {row['subject']}: {row['message']}")
    for sentence in found.settings:
        click.echo(f"setting {sentence}")
    for kind, total in found.totals.items():
        if total > (shown := len(getattr(found, kind))):
            click.echo(f"The oldest {shown} of {total} {kind} are shown: --limit shows more.")
    if found.nothing:
        click.echo("Nothing is stuck.")
    elif any(row["status"] in ("failed", "confirmation_failed") for row in found.payments):
        click.echo("`onsettle reset-stuck --dry-run` shows what the chain says about these.")


def _row(name: str, row: dict[str, Any]) -> None:
    click.echo(f"{name}, for {row['seconds_waiting']} s")
    click.echo(f"    why   {row['why']}")
    when = "" if row["at"] is None else f" ({row['at']:%Y-%m-%d %H:%M:%S} UTC)"
    click.echo(f"    next  {row['next']}{when}")
    if row["command"]:
        click.echo(f"    type  {row['command']}")


def _short(name: str, row: dict[str, Any]) -> None:
    click.echo(f"{name}: {row['why']}")
    if row.get("command"):
        click.echo(f"    type  {row['command']}")
