"""What a payment is known by: one form, one row, for ever."""

import secrets

import asyncpg
import pytest

from tests.harness.rows import Connection, force, insert_payment

_NOT_CANONICAL: dict[str, list[str | int | None]] = {
    "payer": ["0x" + "AB" * 20, "0x" + "ab" * 19, "ab" * 20],
    "payment_token_address": ["0x" + "aB" * 20, ""],
    "pay_to": ["0X" + "11" * 20, None],
    "authorization_nonce": ["0x" + "AA" * 32, "0x" + "aa" * 31, None],
    "token_address": ["0x" + "Fe" * 20, "vitalik.eth"],
    "valid_after": [None],
    "valid_before": [None],
    "quantity": [0, -1],
}


@pytest.mark.parametrize("column", _NOT_CANONICAL)
async def test_addresses_and_nonces_have_one_form(connection: Connection, column: str) -> None:
    """A row of a known chain in another form is refused, so that no identity has two spellings."""
    payment = await insert_payment(connection)
    for value in _NOT_CANONICAL[column]:
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await connection.execute(
                f"update payment_queue set {column} = $2 where id = $1", payment, value
            )
        assert refused.value.constraint_name == "payment_queue_canonical"


async def test_one_identity_is_one_row(connection: Connection) -> None:
    """The same chain, asset, payer and nonce can't stand twice unless one is marked a duplicate."""
    first, second = [await insert_payment(connection) for _ in range(2)]
    own = await connection.fetchrow("select * from payment_queue where id = $1", first)
    assert own is not None
    copy = "update payment_queue set payer = $2, authorization_nonce = $3 where id = $1"
    values = (second, own["payer"], own["authorization_nonce"])
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute(copy, *values)
    await connection.execute(
        "update payment_queue set duplicate_of = $2 where id = $1", second, first
    )
    await connection.execute(copy, *values)


async def test_identities_are_never_deleted(connection: Connection) -> None:
    """Neither a delete nor a truncate takes a payment away: it guards against a second charge."""
    payment = await insert_payment(connection)
    await force(connection, payment, status="failed", final=True)
    for statement in (
        f"delete from payment_queue where id = '{payment}'",
        "delete from payment_queue",
        "truncate payment_queue",
        "truncate payment_queue, payment_events cascade",
    ):
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await connection.execute(statement)
        assert refused.value.constraint_name == "payment_queue_identity"
    assert await connection.fetchval("select count(*) from payment_queue") == 1


async def test_a_mint_key_stands_once(connection: Connection) -> None:
    """Two mint rows can't share the key that makes a mint unique on chain."""
    key = "0x" + secrets.token_hex(32)
    insert = "insert into mint_queue (payer_address, tx_hash_bytes32) values ('0xaa', $1)"
    await connection.execute(insert, key)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute(insert, key)
