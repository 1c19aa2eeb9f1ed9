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

_COLUMNS = (
    "chain_id", "address", "role", "next_nonce", "live", "balance", "needs_balance", "paused",
    "lease_holder", "note",
)  # fmt: skip


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the wallets, or pause and resume one."""
    list_alone(ctx, list_, as_json=as_json)


@command.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """Every wallet with what it holds and needs."""
    rows = asyncio.run(_read())
    if as_json:
        print_json(rows)
    else:
        table(rows, {name: name.replace("_", " ") for name in _COLUMNS})


@command.command()
@click.argument("address")
@dry_run_option
@yes_option
def pause(address: str, dry_run: bool, yes: bool) -> None:
    """Give ADDRESS nothing new to send; what it has sent is followed to its end."""
    _set(address, paused=True, dry_run=dry_run, yes=yes)


@command.command()
@click.argument("address")
@dry_run_option
@yes_option
def resume(address: str, dry_run: bool, yes: bool) -> None:
    """Let ADDRESS send again."""
    _set(address, paused=False, dry_run=dry_run, yes=yes)


def _set(address: str, *, paused: bool, dry_run: bool, yes: bool) -> None:
    from onsettle.chain.crypto import parse_address

    try:
        wallet = parse_address(address)
    except ValueError as error:
        raise click.ClickException(f"{address[:60]} is not an address: {error}.") from None
    known = [row for row in asyncio.run(_read()) if row["address"] == wallet]
    if not known:
        raise click.ClickException(f"There is no wallet {wallet}; `onsettle wallets` lists them.")
    word = "Pause" if paused else "Resume"
    if agreed(f"{word} wallet {wallet}", yes=yes, dry_run=dry_run):
        asyncio.run(_write(wallet, paused))
        click.echo(f"Wallet {wallet} is {'paused' if paused else 'not paused'}.")


async def _read() -> list[dict[str, Any]]:
    async with opened() as db:
        rows = await db.fetch("wallets_list", None)
    return [{name: row[name] for name in _COLUMNS} for row in rows]


async def _write(wallet: str, paused: bool) -> None:
    async with opened() as db:
        await db.execute("wallet_pause", wallet, paused)
