"""Whether it stays fast: a million finished rows behind it, a hundred thousand ahead of it."""

import asyncio
import dataclasses
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from onsettle.local.bench.ground import Ground
from onsettle.local.bench.plan import Profile
from onsettle.local.bench.settle import measure
from onsettle.store.database import Database

FINISHED = (0, 100_000, 1_000_000)
QUEUED = 100_000
_AT_ONCE = 50_000

# Whole histories would take as long to make as to live through: the journal's triggers are off,
# and a finished payment has its mint and, with a hundred others, its transaction.
_PAYMENTS = """
insert into payment_queue (id, chain_id, payment_type, token_address, "authorization", payer,
    amount, payment_token_address, metadata, status, final, tx_hash, processed_at, created_at,
    sent_at, completed_at, pay_to, authorization_nonce, valid_after, valid_before, block_number,
    block_hash, log_index)
select gen_random_uuid(), $3, 'mint', '0x' || repeat('22', 20), '{}', '0x' || lpad(to_hex(
    at % 10000), 40, '0'), 10000, '0x' || repeat('33', 20), '{"quantity": 1}', 'completed', true,
    '0x' || lpad(to_hex(at / 100), 64, '0'), made, made, made, made, '0x' || repeat('11', 20),
    '0x' || md5(at::text) || $4, 0, 4102444800, 1, '0x' || repeat('00', 32), 0
from generate_series($1::int, $2::int - 1) as at,
    lateral (select now() - interval '30 days' + at * interval '1 second' as made) as times
"""
_MINTS = """
insert into mint_queue (payment_id, unit, chain_id, payer_address, tx_hash_bytes32, status,
    token_address, mint_tx_hash, created_at, updated_at, processed_at, block_number)
select id, 0, chain_id, payer, '0x' || md5(id::text) || md5(id::text), 'completed',
    token_address, tx_hash, created_at, created_at, created_at, 1
from payment_queue
"""
_TRANSACTIONS = """
insert into transactions (chain_id, wallet, nonce, kind, payment_ids, state, mined_hash,
    block_number, block_hash, created_at)
select $1, '0x' || repeat('44', 20), row_number() over (), 'payment', array_agg(id), 'mined',
    tx_hash, 1, '0x' || repeat('00', 32), min(created_at)
from payment_queue group by tx_hash
"""


async def growth(ground: Ground, profile: Profile, *, quick: bool) -> dict[str, Any]:
    """The packed profile's throughput behind more and more history, and its memory."""
    share = 10 if quick else 1
    found: dict[str, Any] = {}
    for rows in FINISHED:
        after = dataclasses.replace(profile, name=f"finished_{rows // share}")
        found[f"finished_{rows}"] = await measure(ground, after, prepare=_history(rows // share))
    rates = [found[f"finished_{rows}"]["payments_per_second"] for rows in (FINISHED[-1], 0)]
    found["million_to_empty"] = round(rates[0] / rates[1], 3)
    queue = dataclasses.replace(profile, name="queued", payments=QUEUED // share, payers=1200)
    found["queued_100000"] = await measure(ground, queue, queued=True)
    return found


def _history(rows: int) -> Callable[[Database, int], Awaitable[None]]:
    async def make(db: Database, chain_id: int) -> None:
        if not rows:
            return
        async with db.pool.acquire() as connection:
            await connection.execute("set session_replication_role = replica")
            salt = secrets.token_hex(16)
            for at in range(0, rows, _AT_ONCE):
                end = min(rows, at + _AT_ONCE)
                await connection.execute(_PAYMENTS, at, end, chain_id, salt)
                await asyncio.sleep(0)
            await connection.execute(_MINTS, timeout=600)
            await connection.execute(_TRANSACTIONS, chain_id, timeout=600)
            await connection.execute("set session_replication_role = origin")
            await connection.execute("vacuum analyze", timeout=600)

    return make
