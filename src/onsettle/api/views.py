"""A payment as the API shows it."""

from typing import Any

from onsettle.api.answers import text, when
from onsettle.store.database import Database, Record

_FAILED = ("failed", "confirmation_failed")


def summary(row: Record) -> dict[str, Any]:
    """What a row of the queue says by itself: an element of the list."""
    failed = row["status"] in _FAILED
    chain = row["chain_id"]
    return {
        "id": str(row["id"]),
        "status": row["status"],
        "final": row["final"],
        "payment_type": row["payment_type"],
        "network": None if chain is None else f"eip155:{chain}",
        "asset": row["payment_token_address"],
        "payer": row["payer"],
        "pay_to": row["pay_to"],
        "amount": format(row["amount"], "f"),
        "authorization_nonce": row["authorization_nonce"],
        "token_address": row["token_address"],
        "tx_hash": row["tx_hash"],
        "block_number": row["block_number"],
        "error": {"code": row["reason"], "message": row["error"]} if failed else None,
        "metadata": row["metadata"] or {},
        "result": row["result"],
        "created_at": when(row["created_at"]),
        "processed_at": when(row["processed_at"]),
        "completed_at": when(row["completed_at"]),
    }


async def whole(db: Database, row: Record) -> dict[str, Any]:
    """The payment with its mints, attempts and events."""
    return {
        **summary(row),
        "mints": [mint(m) for m in await db.fetch("payment_mints", row["id"])],
        "attempts": [attempt(a) for a in await db.fetch("payment_attempts", row["id"])],
        "events": [event(e) for e in await db.fetch("payment_events", row["id"])],
    }


def mint(row: Record) -> dict[str, Any]:
    return {
        "id": text(row["id"]),
        "status": row["status"],
        "mint_tx_hash": row["mint_tx_hash"],
        "error": row["error_message"],
    }


def attempt(row: Record) -> dict[str, Any]:
    return {
        "hash": row["hash"],
        "nonce": row["nonce"],
        "wallet": row["wallet"],
        "max_fee": format(row["max_fee"], "f"),
        "priority_fee": format(row["priority_fee"], "f"),
        "noop": row["noop"],
        "sent_at": when(row["sent_at"]),
    }


def event(row: Record) -> dict[str, Any]:
    return {
        "from": row["from_status"],
        "to": row["to_status"],
        "reason": row["reason"],
        "at": when(row["at"]),
    }
