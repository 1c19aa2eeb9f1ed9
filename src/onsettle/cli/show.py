import asyncio
from typing import Any
from uuid import UUID

import click

from onsettle.cli.session import json_option, opened, print_json, table

_FACTS = (
    "id", "status", "final", "reason", "error", "payment_type", "chain_id",
    "payment_token_address", "payer", "pay_to", "amount", "authorization_nonce", "valid_before",
    "tx_hash", "block_number", "token_address", "quantity", "metadata", "result", "created_at",
    "sent_at", "completed_at", "processed_at",
)  # fmt: skip


@click.command()
@click.argument("payment", metavar="ID", type=click.UUID)
@json_option
def command(payment: UUID, as_json: bool) -> None:
    """Everything about one payment; as JSON, the object of `GET /v1/payments/{id}`."""
    found = asyncio.run(_read(payment, as_json=as_json))
    if found is None:
        raise click.ClickException(f"There is no payment {payment}.")
    if as_json:
        print_json(found)
    else:
        _print(found)


async def _read(payment: UUID, *, as_json: bool) -> dict[str, Any] | None:
    from onsettle.api.views import whole

    async with opened() as db:
        row = await db.fetchrow("payment_get", payment)
        if row is None:
            return None
        if as_json:
            return await whole(db, row)
        return {
            **{name: row[name] for name in _FACTS},
            "mints": [dict(mint) for mint in await db.fetch("payment_mints", payment)],
            "attempts": [dict(each) for each in await db.fetch("payment_attempts", payment)],
            "events": [dict(event) for event in await db.fetch("payment_events", payment)],
        }


def _print(found: dict[str, Any]) -> None:
    for name in _FACTS:
        if found[name] is not None:
            click.echo(f"{name:22} {found[name]}")
    for title, columns in (
        ("events", ("at", "from_status", "to_status", "reason")),
        ("attempts", ("sent_at", "wallet", "nonce", "hash", "state", "answer")),
        ("mints", ("unit", "status", "mint_tx_hash", "retry_count", "error_message")),
    ):
        if found[title]:
            click.echo(f"\n{title}")
            table(found[title], {name: name for name in columns})
