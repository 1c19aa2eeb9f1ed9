"""Whether it stays fast: a million finished rows behind it, a hundred thousand ahead of it."""

import dataclasses
import secrets
from collections.abc import Callable
from typing import Any

from onsettle.local.bench.figures import median_run
from onsettle.local.bench.ground import Ground
from onsettle.local.bench.plan import Profile
from onsettle.local.bench.settle import measure, run, staged
from onsettle.store.database import Connection
from onsettle.store.migrate import counted

Say = Callable[[str], None]
#: Finished payments, and how often the load behind them is measured: the two ends are compared.
FINISHED = {0: 3, 100_000: 1, 1_000_000: 3}
QUEUED = 100_000
_LONG_S = 900.0

# Whole histories would take as long to make as to live through: the journal's triggers are off.
# A finished payment has the four lines of its journal, its mint and, with a hundred others, its
# transaction with one attempt.
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
_EVENTS = """
insert into payment_events (payment_id, from_status, to_status, reason, evidence, at)
select p.id, step.old, step.new, step.reason,
    case when step.old is not null then jsonb_build_object('tx_hash', p.tx_hash) end, p.created_at
from payment_queue p, lateral (values
    (null, 'pending', 'accepted'), ('pending', 'processing', 'signed'),
    ('processing', 'sent', 'broadcast'), ('sent', 'completed', 'landed')
) as step (old, new, reason)
"""
_TRANSACTIONS = """
insert into transactions (chain_id, wallet, nonce, kind, payment_ids, state, mined_hash,
    block_number, block_hash, created_at)
select $1, '0x' || repeat('44', 20), row_number() over (), 'payment', array_agg(id), 'mined',
    tx_hash, 1, '0x' || repeat('00', 32), min(created_at)
from payment_queue group by tx_hash
"""
# The bytes of a pack of a hundred, as far as they can't be compressed away.
_ATTEMPTS = """
insert into attempts (hash, transaction_id, raw, max_fee, priority_fee, gas_limit, created_at,
    tries, tried_at, sent_at, answer)
select t.mined_hash, t.id, bytes.raw, 1000000000, 10000000, 8000000, t.created_at, 1,
    t.created_at, t.created_at, 'accepted'
from transactions t, lateral (
    select string_agg(sha256(int8send(t.id * 1000 + part)), '') as raw
    from generate_series(1, 400) as part) as bytes
"""
_INDEXES = """
select indexname as name, indexdef as definition from pg_indexes
where tablename in ('payment_queue', 'payment_events', 'mint_queue', 'transactions', 'attempts')
    and indexname not in (select conname from pg_constraint)
"""


async def growth(
    ground: Ground, profile: Profile, found: dict[str, Any], *, scale: float, say: Say
) -> None:
    """Throughput behind more and more history, and memory with a long queue, into `found`.

    `scale` 1 is the full size; smaller ones are measured once each.
    """
    for rows, repeats in FINISHED.items():
        behind = round(rows * scale)
        say(f"  behind {behind} finished payments ...")
        runs = await _behind(ground, profile, behind, repeats if scale >= 1 else 1)
        found[f"finished_{rows}"] = {"finished": behind, **median_run(runs)}
        say(f"    {', '.join(str(once['payments_per_second']) for once in runs)} payments/s")
    rates = [found[f"finished_{rows}"]["payments_per_second"] for rows in (max(FINISHED), 0)]
    found["million_to_empty"] = round(rates[0] / rates[1], 3)
    queued = round(QUEUED * scale)
    say(f"  with {queued} queued ...")
    queue = dataclasses.replace(profile, name="queued", payments=queued, payers=1200)
    once = await measure(ground, queue, queued=True)
    found["queued_100000"] = once
    say(f"    {once['payments_per_second']} payments/s, {once['peak_memory_mb']} MB at most")


async def _behind(
    ground: Ground, profile: Profile, rows: int, repeats: int
) -> list[dict[str, Any]]:
    """The same load several times, one behind the other: the history is made once."""
    async with staged(ground, dataclasses.replace(profile, name=f"finished_{rows}")) as stage:
        if rows:
            async with stage.engine.db.pool.acquire() as connection:
                await fill(connection, rows, stage.network.chain_id)
        return [await run(stage) for _ in range(repeats)]


async def fill(connection: Connection, rows: int, chain_id: int) -> None:
    """So many finished payments with all that belongs to them, and statistics of them."""
    await connection.execute(
        "set session_replication_role = replica; set statement_timeout = 0;"
        " set maintenance_work_mem = '512MB'"
    )
    # Indexes are built after the rows: that takes a third of the time.
    indexes = await connection.fetch(_INDEXES)
    for index in indexes:
        await connection.execute(f"drop index {index['name']}", timeout=_LONG_S)
    salt = secrets.token_hex(16)
    await connection.execute(_PAYMENTS, rows, chain_id, salt, timeout=_LONG_S)
    await connection.execute(_MINTS, timeout=_LONG_S)
    await connection.execute(_EVENTS, timeout=_LONG_S)
    await connection.execute(_TRANSACTIONS, chain_id, timeout=_LONG_S)
    await connection.execute(_ATTEMPTS, timeout=_LONG_S)
    for index in indexes:
        await connection.execute(index["definition"], timeout=_LONG_S)
    # The triggers that count were off too.
    await connection.execute(counted(), timeout=_LONG_S)
    await connection.execute("vacuum analyze", timeout=_LONG_S)
    await connection.execute(
        "set session_replication_role = origin; set statement_timeout = '60s';"
        " reset maintenance_work_mem; checkpoint",
        timeout=_LONG_S,
    )
