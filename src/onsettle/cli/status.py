import asyncio
from datetime import UTC, datetime
from typing import Any

import click

from onsettle.cli.session import json_option, opened, print_json, table
from onsettle.domain.payment import PaymentStatus
from onsettle.domain.settings import DEFAULTS, read

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
        counted = {row["status"]: row for row in await db.fetch("stats_counts")}
        mints = {row["status"]: row["count"] for row in await db.fetch("stats_mints")}
        wallets = await db.fetch("wallets_list", None)
        alarms = await db.fetch("alarms_open")
        workers = await db.fetch("workers_live")
        networks = await db.fetch("networks_all")
        marked = await db.fetchval("stuck_reprocess")
        stored = {row["key"]: row["value"] for row in await db.fetch("settings_read")}
    now = datetime.now(UTC)
    payments = {}
    for status in PaymentStatus:
        row = counted.get(status.value)
        payments[status.value] = {
            "count": row["count"] if row else 0,
            "oldest_age_s": int((now - row["oldest"]).total_seconds())
            if row and row["oldest"]
            else None,
        }
    return {
        "payments": payments,
        "mints": mints,
        "wallets": [_wallet(dict(row)) for row in wallets],
        "networks": [_network(dict(row), now) for row in networks],
        "alarms": [dict(row) for row in alarms],
        "workers": [dict(row) for row in workers],
        "hints": [*read(stored, DEFAULTS)[1], *([_reprocess(marked)] if marked else [])],
    }


def _wallet(row: dict[str, Any]) -> dict[str, Any]:
    keys = ("chain_id", "address", "role", "live", "paused", "balance", "needs_balance", "note")
    return {key: row[key] for key in keys}


def _network(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    looked = row["looked_at"]
    return {
        "network": f"eip155:{row['chain_id']}",
        "name": row["name"],
        "block_number": row["cursor_number"],
        "looked_ago_s": None if looked is None else round((now - looked).total_seconds(), 1),
    }


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
    if wallet["note"]:
        words.append(wallet["note"])
    return ", ".join(words)
