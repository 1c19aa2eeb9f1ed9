"""Whether it stays fast: a million finished rows behind it, a hundred thousand ahead of it."""

import dataclasses
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from onsettle.local.bench.ground import Ground
from onsettle.local.bench.plan import Profile
from onsettle.local.bench.settle import measure
from onsettle.store.database import Connection, Database

Say = Callable[[str], None]
FINISHED = (0, 100_000, 1_000_000)
QUEUED = 100_000
_LONG_S = 900.0

# Whole histories would take as long to make as to live through: the journal's triggers are off,
# and a finished payment has its mint and, with a hundred others, its transaction.
_PAYMENTS = """
insert into payment_queue (id, chain_id, payment_type, token_address, "authorization", payer,
    amount, payment_token_address, metadata, status, final, tx_hash, processed_at, created_at,
    sent_at, completed_at, pay_to, authorization_nonce, valid_after, valid_before, block_number,
    block_hash, log_index)
select gen_random_uuid(), $2, 'mint', '0x' || repeat('22', 20), '{}', '0x' || lpad(to_hex(
    at % 10000), 40, '0'), 10000, '0x' || repeat('33', 20), '{"quantity": 1}', 'completed', true,
    '0x' || lpad(to_hex(at / 100), 64, '0'), made, made, made, made, '0x' || repeat('11', 20),
    '0x' || md5(at::text) || $3, 0, 4102444800, 1, '0x' || repeat('00', 32), 0
from generate_series(1, $1::int) as at,
    lateral (select now() - interval '30 days' + at * interval '1 second' as made) as times
"""
_MINTS = """
insert into mint_queue (payment_id, unit, chain_id, payer_address, tx_hash_bytes32, status,
    token_address, mint_tx_hash, created_at, updated_at, processed_at, block_number)
select id, 0, chain_id, payer, '0x' || md5(id::text) || md5(id::text), 'completed',
    token_address, tx_hash, created_at, created_at, created_at, 1
from payment_queue
"""
_INDEXES = """
select indexname as name, indexdef as definition from pg_indexes
where tablename in ('payment_queue', 'mint_queue', 'transactions') and indexname not in (
    select conname from pg_constraint)
"""
_TRANSACTIONS = """
insert into transactions (chain_id, wallet, nonce, kind, payment_ids, state, mined_hash,
    block_number, block_hash, created_at)
select $1, '0x' || repeat('44', 20), row_number() over (), 'payment', array_agg(id), 'mined',
    tx_hash, 1, '0x' || repeat('00', 32), min(created_at)
from payment_queue group by tx_hash
"""


async def growth(
    ground: Ground, profile: Profile, found: dict[str, Any], *, quick: bool, say: Say
) -> None:
    """Throughput behind more and more history, and memory with a long queue, into `found`."""
    share = 10 if quick else 1
    for rows in FINISHED:
        say(f"  behind {rows // share} finished payments ...")
        after = dataclasses.replace(profile, name=f"finished_{rows // share}")
        once = await measure(ground, after, prepare=_history(rows // share))
        found[f"finished_{rows}"] = once
        say(f"    {once['payments_per_second']} payments/s")
    rates = [found[f"finished_{rows}"]["payments_per_second"] for rows in (FINISHED[-1], 0)]
    found["million_to_empty"] = round(rates[0] / rates[1], 3)
    say(f"  with {QUEUED // share} queued ...")
    queue = dataclasses.replace(profile, name="queued", payments=QUEUED // share, payers=1200)
    once = await measure(ground, queue, queued=True)
    found["queued_100000"] = once
    say(f"    {once['payments_per_second']} payments/s, {once['peak_memory_mb']} MB at most")


def _history(rows: int) -> Callable[[Database, int], Awaitable[None]]:
    async def make(db: Database, chain_id: int) -> None:
        if rows:
            async with db.pool.acquire() as connection:
                await fill(connection, rows, chain_id)

    return make


async def fill(connection: Connection, rows: int, chain_id: int) -> None:
    """So many finished payments with their mints and transactions, and statistics of them."""
    await connection.execute("set session_replication_role = replica; set statement_timeout = 0")
    # Indexes are built after the rows: that takes a third of the time.
    indexes = await connection.fetch(_INDEXES)
    for index in indexes:
        await connection.execute(f"drop index {index['name']}")
    salt = secrets.token_hex(16)
    await connection.execute(_PAYMENTS, rows, chain_id, salt, timeout=_LONG_S)
    await connection.execute(_MINTS, timeout=_LONG_S)
    await connection.execute(_TRANSACTIONS, chain_id, timeout=_LONG_S)
    for index in indexes:
        await connection.execute(index["definition"], timeout=_LONG_S)
    await connection.execute("vacuum analyze", timeout=_LONG_S)
    await connection.execute(
        "set session_replication_role = origin; set statement_timeout = '60s'; checkpoint"
    )
