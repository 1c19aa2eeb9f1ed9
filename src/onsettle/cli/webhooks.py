import asyncio
from typing import Any
from uuid import UUID

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

_COLUMNS = (
    "id", "payment_id", "channel", "event", "status", "tries", "last_error", "next_try_at",
    "created_at", "delivered_at",
)  # fmt: skip
_MOST = 1000


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Messages about completed payments: what was told, what waits, what was given up."""
    list_alone(ctx, list_, as_json=as_json)


@command.command(name="list")
@click.option("--dead", is_flag=True, help="Only what was given up.")
@click.option("--payment", type=click.UUID, help="Only those about this payment.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=100, show_default=True)
@json_option
def list_(dead: bool, payment: UUID | None, limit: int, as_json: bool) -> None:
    """The newest messages first."""
    rows = asyncio.run(_list("dead" if dead else None, payment, limit))
    if as_json:
        print_json(rows)
    elif rows:
        shown = ("id", "payment_id", "channel", "status", "tries", "created_at", "last_error")
        table(rows, {name: name.replace("_", " ") for name in shown})
    else:
        click.echo("No message was given up." if dead else "No messages.")


@command.command()
@click.argument("messages", metavar="[ID]...", nargs=-1, type=click.UUID)
@click.option("--dead", is_flag=True, help="Everything that was given up.")
@dry_run_option
@yes_option
def replay(messages: tuple[UUID, ...], dead: bool, dry_run: bool, yes: bool) -> None:
    """Deliver again, under the same id: those named, or all that were given up."""
    if bool(messages) == dead:
        raise click.UsageError("Name messages, or --dead.")
    what = "everything that was given up" if dead else f"{len(messages)} messages"
    if not agreed(f"Deliver {what} again", yes=yes, dry_run=dry_run):
        return
    count = asyncio.run(_replay(list(messages), dead=dead))
    click.echo(f"{count} messages will be delivered again.")
    if count < len(messages):
        raise click.ClickException(
            f"{len(messages) - count} of them are not there, or wait to be delivered already."
        )


@command.command()
@dry_run_option
@yes_option
def enable(dry_run: bool, yes: bool) -> None:
    """Send webhooks again after the endpoint had said that it is gone."""
    if agreed("Send webhooks again", yes=yes, dry_run=dry_run):
        asyncio.run(_change("channel_enable"))
        click.echo(
            "Webhooks are sent again; for what was given up: onsettle webhooks replay --dead"
        )


@command.command()
@click.option(
    "--channel", type=click.Choice(["webhook", "handler"]), default="webhook", show_default=True
)
@dry_run_option
@yes_option
def close(channel: str, dry_run: bool, yes: bool) -> None:
    """Write no more messages for a channel that nobody serves; a start that serves it opens it."""
    if agreed(f"Close the channel {channel}", yes=yes, dry_run=dry_run):
        asyncio.run(_change("channel_close", channel))
        click.echo(f"The channel {channel} is closed.")


async def _list(status: str | None, payment: UUID | None, limit: int) -> list[dict[str, Any]]:
    async with opened() as db:
        rows = await db.fetch("outbox_list", status, payment, limit)
    return [{name: row[name] for name in _COLUMNS} for row in rows]


async def _replay(messages: list[UUID], *, dead: bool) -> int:
    async with opened() as db:
        return len(await db.fetch("outbox_replay", messages, dead))


async def _change(query: str, channel: str = "webhook") -> None:
    async with opened() as db:
        await db.execute(query, channel)
        await db.execute("alarm_clear", "webhook_gone", channel)
