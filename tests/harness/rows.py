"""Rows written by plain SQL, as an operator's hand or a generator writes them."""

import secrets
import uuid
from typing import Any, TypeAlias

import asyncpg

# The driver's class takes a type argument for the type checker only.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

#: The guide's six, in the order of a payment's life.
STATUSES = ("pending", "processing", "sent", "completed", "failed", "confirmation_failed")

_INSERT = """
insert into payment_queue (id, chain_id, payment_type, "authorization", payer, amount,
    payment_token_address, pay_to, authorization_nonce, valid_after, valid_before)
values ($1, 1, 'deploy', '{}', $2, 10000, $3, $4, $5, 0, 4000000000)
"""


async def insert_payment(connection: Connection) -> uuid.UUID:
    """A pending payment on chain 1 in canonical form."""
    identity = uuid.uuid4()
    payer = "0x" + secrets.token_hex(20)
    nonce = "0x" + secrets.token_hex(32)
    await connection.execute(_INSERT, identity, payer, "0x" + "aa" * 20, "0x" + "11" * 20, nonce)
    return identity


async def force(connection: Connection, identity: uuid.UUID, **columns: Any) -> None:
    """Write columns past every trigger: a state that a test starts from."""
    names = ", ".join(f'"{name}" = ${at}' for at, name in enumerate(columns, 2))
    async with connection.transaction():
        await connection.execute("alter table payment_queue disable trigger user")
        await connection.execute(
            f"update payment_queue set {names} where id = $1", identity, *columns.values()
        )
        await connection.execute("alter table payment_queue enable trigger user")


async def status_of(connection: Connection, identity: uuid.UUID) -> str:
    return str(
        await connection.fetchval("select status from payment_queue where id = $1", identity)
    )
