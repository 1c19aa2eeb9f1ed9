"""A burst after a quiet hour: statistics that saw no unfinished row must not cost a loop of loops.

The indexes of unfinished rows look empty to such statistics, so the planner would rather read all
of one, once for each id of a list, than look each id up: a thousand ids and twenty thousand
waiting payments are twenty million comparisons.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from onsettle.local.bench.growth import fill
from onsettle.store.database import sql
from tests.harness.server import Server

_IDS = [uuid4() for _ in range(50)]
_WORDS = ["0x" + each.hex * 2 for each in _IDS]
_NUMBERS = list(range(50))

#: Each takes a list of ids (or of transactions that hold some); with what it may be called.
_QUERIES: dict[str, tuple[Any, ...]] = {
    "attempts_answered": (_WORDS, ["ok"] * 50, [""] * 50, [True] * 50),
    "candidates_lock": (_IDS,),
    "mints_done": (_IDS, _NUMBERS, _WORDS, True),
    "mints_hold": (_IDS, "e"),
    "mints_lock": (_IDS,),
    "mints_signed": (_IDS, _NUMBERS, _WORDS),
    "payments_deep": (1, 10),
    "payments_fail_pending": (_IDS, ["r"] * 50, ["e"] * 50, [True] * 50),
    "payments_hold": (_IDS, [1.0] * 50, ["e"] * 50),
    "payments_landed": (_IDS, 10, "0x", True, _WORDS, _NUMBERS),
    "mints_rehashed": (_IDS, 7, "0x"),
    "payments_rehashed": (_IDS, 7, "0x"),
    "payments_signed": (_IDS, _NUMBERS, _WORDS),
    "payments_timed_out": (1, 300.0),
    "transactions_mined": (_WORDS, 10, "0x"),
    "transactions_resolved": (_NUMBERS, ["mined"] * 50, _WORDS, _NUMBERS, _WORDS),
    "unchecked_passed": (_IDS, _WORDS, _NUMBERS, [True] * 50),
}

#: Each reads a page of what waits, or what is late, while twenty thousand payments are unfinished.
_PAGES: dict[str, tuple[Any, ...]] = {
    "candidates": (1, 1_800_000_000, 100, []),
    "in_flight_of_payers": (1, ["0x" + "0" * 39 + "1"]),
    "mints_candidates": (1, 100),
    "mints_waiting": (1, 100),
    "payments_timed_out": (1, 300.0),
    "payments_unfinished_by_payer": ([1], ["0x" + "0" * 39 + "1"], 100),
    "pending_stats": (1, 100, []),
    "recovery_mints_open": (None, 100),
}
_BACKLOG = """
insert into payment_queue (id, chain_id, payment_type, token_address, "authorization", payer,
    amount, payment_token_address, pay_to, authorization_nonce, valid_after, valid_before, status,
    sent_at, processed_at)
select gen_random_uuid(), 1, 'mint', '0x' || repeat('22', 20), '{}', '0x' || lpad(to_hex(
    at % 1000), 40, '0'), 10000, '0x' || repeat('33', 20), '0x' || repeat('11', 20),
    '0x' || md5('a' || at) || md5('b' || at), 0, 4102444800,
    case when at % 2 = 0 then 'pending' else 'sent' end,
    case when at % 2 = 1 then now() end, case when at % 2 = 1 then now() end
from generate_series(1, 20000) as at
"""
_WAITING_MINTS = """
insert into mint_queue (payment_id, unit, chain_id, payer_address, tx_hash_bytes32, token_address)
select id, 1, chain_id, payer, '0x' || md5(id::text) || md5(id || 'w'), token_address
from payment_queue where status = 'completed' order by created_at desc limit 5000
"""


@pytest.fixture(scope="module")
def quiet(server: Server, migrated: str) -> Iterator[str]:
    """A database whose statistics were made while nothing was unfinished."""
    dsn = server.create(like=migrated)
    asyncio.run(_history(dsn))
    yield dsn
    server.drop(dsn)


async def _history(dsn: str, rows: int = 20_000) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await fill(connection, rows, 1)
    finally:
        await connection.close()


@pytest.mark.parametrize("name", _QUERIES)
async def test_a_list_of_ids_is_looked_up_by_id(quiet: str, name: str) -> None:
    """Whatever drives the loop, its inner side is never an index of unfinished rows."""
    connection = await asyncpg.connect(quiet)
    try:
        await connection.execute("set plan_cache_mode = force_custom_plan; set jit = off")
        plan = await connection.fetchval(
            "explain (format json) " + sql(name), *_QUERIES[name], timeout=30
        )
    finally:
        await connection.close()
    looped = [node["Index Name"] for node in _joined_row_by_row(json.loads(plan)[0]["Plan"])]
    assert [index for index in looped if not index.endswith(("_pkey", "_live"))] == []


@pytest.fixture(scope="module")
def burst(server: Server, quiet: str) -> Iterator[str]:
    """The same database in the burst that follows, before anybody made statistics of it."""
    dsn = server.create(like=quiet)
    asyncio.run(_burst(dsn))
    yield dsn
    server.drop(dsn)


async def _burst(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("set session_replication_role = replica")
        await connection.execute("alter table payment_queue set (autovacuum_enabled = false)")
        await connection.execute("alter table mint_queue set (autovacuum_enabled = false)")
        await connection.execute(_BACKLOG)
        await connection.execute(_WAITING_MINTS)
        await connection.execute(
            "insert into networks (chain_id, name, genesis_hash, following_since)"
            " values (1, 'chain', '0x00', now() - interval '1 hour')"
        )
    finally:
        await connection.close()


@pytest.mark.parametrize("name", _PAGES)
async def test_a_backlog_is_read_a_page_at_a_time(burst: str, name: str) -> None:
    """However many wait behind however much history, a look reads about what it gives back."""
    connection = await asyncpg.connect(burst)
    try:
        await connection.execute("set plan_cache_mode = force_custom_plan; set jit = off")
        trial = connection.transaction()
        await trial.start()
        plan = await connection.fetchval(
            "explain (analyze, buffers, format json) " + sql(name), *_PAGES[name], timeout=30
        )
        await trial.rollback()
    finally:
        await connection.close()
    top = json.loads(plan)[0]["Plan"]
    assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < 1500


def _joined_row_by_row(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Scans of an index on either side of a nested loop of payments or mints with a list."""
    children = node.get("Plans", [])
    if node["Node Type"] == "Nested Loop" and not _has_networks(node):
        for child in children:
            if "Index Name" in child and child.get("Relation Name", "").endswith("_queue"):
                yield child
    if node["Node Type"] in ("Index Scan", "LockRows") and "ANY" in str(node.get("Filter", "")):
        yield node
    for child in children:
        yield from _joined_row_by_row(child)


def _has_networks(node: dict[str, Any]) -> bool:
    """The one row of the chain beside it: no list."""
    return any(child.get("Relation Name") == "networks" for child in node.get("Plans", []))


#: Each takes what one block settles, or one batch signs: thousands at once.
_MANY = 5000
_LONG: dict[str, str] = {
    "payments_landed": "select id from payment_queue where status = 'sent' limit $1",
    "payments_signed": "select id from payment_queue where status = 'pending' limit $1",
    "payments_fulfil": "select id from payment_queue where status = 'completed' limit $1",
    "mints_lock": "select id from mint_queue where status = 'pending' limit $1",
    "mints_signed": "select id from mint_queue where status = 'pending' limit $1",
    "mints_done": "select id from mint_queue where status = 'pending' limit $1",
}


@pytest.fixture(scope="module")
def long(server: Server, migrated: str) -> Iterator[str]:
    """A burst behind a hundred thousand finished payments: reading them all looks cheap."""
    dsn = server.create(like=migrated)
    asyncio.run(_history(dsn, 100_000))
    asyncio.run(_burst(dsn))
    yield dsn
    server.drop(dsn)


@pytest.mark.parametrize("name", _LONG)
async def test_a_long_list_is_never_compared_with_each_row(long: str, name: str) -> None:
    """Five thousand ids and a hundred thousand rows are half a billion comparisons."""
    connection = await asyncpg.connect(long)
    try:
        await connection.execute("set plan_cache_mode = force_custom_plan; set jit = off")
        await connection.execute("set onsettle.actor = 'engine'")
        ids = [row["id"] for row in await connection.fetch(_LONG[name], _MANY)]
        assert len(ids) == _MANY
        words, numbers = ["0x" + each.hex * 2 for each in ids], list(range(_MANY))
        arguments = {
            "payments_landed": (ids, 10, "0x", True, words, numbers),
            "payments_signed": (ids, numbers, words),
            "mints_signed": (ids, numbers, words),
            "mints_done": (ids, numbers, words, True),
        }
        trial = connection.transaction()
        await trial.start()
        plan = await connection.fetchval(
            "explain (analyze, timing off, format json) " + sql(name),
            *arguments.get(name, (ids,)),
            timeout=60,
        )
        await trial.rollback()
    finally:
        await connection.close()
    assert _compared(json.loads(plan)[0]["Plan"]) < 10 * _MANY


def _compared(node: dict[str, Any]) -> float:
    """Pairs of rows that a join looked at and threw away."""
    own = node.get("Rows Removed by Join Filter", 0) * node["Actual Loops"]
    return float(own) + sum(_compared(child) for child in node.get("Plans", []))
