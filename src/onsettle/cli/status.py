import asyncio
from typing import Any

import click

from onsettle.cli.session import json_option, opened, print_json, table
from onsettle.engine.insights import Insights, public

#: The longest gap between looks is two seconds by default.
_LATE_S = 10


@click.command()
@json_option
def command(as_json: bool) -> None:
    """What is waiting, what is wrong, who is working."""
    state = asyncio.run(_read())
    if as_json:
        print_json(state)
    else:
        _print(state)


async def _read() -> dict[str, Any]:
    async with opened() as db:
        state = public(await Insights(db).read())
        marked = await db.fetchval("stuck_reprocess")
    hints = [*state["settings"]["refused"], *([_reprocess(marked)] if marked else [])]
    return {**state, "hints": hints}


def network_words(network: dict[str, Any]) -> str:
    """How far a network has been read, and whether anybody reads it."""
    ago = network["looked_ago_s"]
    if ago is None:
        return "not read yet"
    words = f"block {network['block_number']}, read {ago:g} s ago"
    if ago > _LATE_S:
        words += ": no worker runs, or no RPC endpoint answers it; their logs say which"
    return words


def _reprocess(count: int) -> str:
    return (
        f"{count} payments were marked as failed by hand or timed out, and may still complete;"
        " to reprocess them: onsettle reset-stuck"
    )


def _print(state: dict[str, Any]) -> None:
    click.echo(state["health"])
    for reason in state["reasons"]:
        click.echo(f"  {reason}")
    click.echo()
    lines = [{"status": name, **row} for name, row in state["payments"].items()]
    table(lines, {"status": "payments", "count": "count", "oldest_age_s": "oldest (s)"})
    click.echo("\nmints: " + (_counts(state["mints"]) or "none"))
    click.echo()
    for network in state["networks"]:
        name = f"{network['name']} ({network['network']})"
        click.echo(f"network {name}: {network_words(network)}")
    for wallet in state["wallets"]:
        click.echo(f"wallet {wallet['address']} ({wallet['role']}): {wallet_words(wallet)}")
    if not state["wallets"]:
        click.echo("No wallets yet.")
    for alarm in state["alarms"]:
        click.echo(f"ALARM {alarm['kind']} {alarm['subject']}: {alarm['message']}")
    click.echo(f"workers: {len(state['workers'])}")
    for hint in state["hints"]:
        click.echo(hint)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))


def wallet_words(wallet: dict[str, Any]) -> str:
    """What a wallet is doing and what it needs."""
    words = [f"{wallet['live']} in flight"]
    if wallet["paused"]:
        words.append("paused")
    if wallet["needs_balance"] is not None:
        held = wallet["balance"] if wallet["balance"] is not None else "unknown"
        words.append(f"needs {wallet['needs_balance']} wei, has {held}")
    return ", ".join(words)
