"""The plans of the queries that loops run, and what they read of large tables."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any
from uuid import UUID

import asyncpg

from onsettle.store.database import sql
from tests.harness.rows import Connection

#: Finished payments that the tests of plans make.
ROWS = 300_000
# Far above what is unfinished here, far below what is finished.
_FEW = 5_000
LARGE = {"payment_queue", "mint_queue", "transactions", "attempts", "payment_events", "outbox"}

#: Run when a person asks, not by a loop: they may read everything, or a page of it.
ASKED = {"payments_list", "payments_of_payer", "wallets_list", "adoption_left"}
ASKED_PREFIXES = ("verify_", "recovery_", "doctor_", "stuck_")

#: Asked by a person who has no time.
IN_TROUBLE = (
    "stuck_payments", "stuck_mints", "stuck_reprocess", "stuck_outbox", "recovery_stuck",
    "recovery_like", "recovery_payments", "recovery_mints", "recovery_mints_open",
    "recovery_journal", "recovery_failures", "payments_retry", "mints_retry", "doctor_locks",
    "alarms_open",
)  # fmt: skip

_HEAD = ROWS // 50
_HASH = "0x" + hashlib.md5(b"hash7").hexdigest() * 2
_PAYMENT = UUID(hashlib.md5(b"payment7").hexdigest())
_OPEN = UUID(hashlib.md5(b"open7").hexdigest())
_MINT = UUID(hashlib.md5(b"mint7").hexdigest())
_PAYER = "0x" + hashlib.md5(b"payer7").hexdigest() + "00000000"
_ASSET, _WALLET, _WORD = "0x" + "aa" * 20, "0x" + "cc" * 20, "word"

#: Values by type, where a query names nothing special below.
_BY_TYPE: dict[str, Any] = {
    "int2": 1, "int4": 100, "int8": _HEAD, "float8": 300.0, "numeric": 1, "bool": True,
    "text": _WORD, "uuid": _OPEN, "timestamptz": None, "jsonb": "{}", "bytea": b"\0",
    "text[]": [_HASH], "uuid[]": [_OPEN, _PAYMENT], "int8[]": [7], "int4[]": [1],
    "bool[]": [False], "float8[]": [1.0], "numeric[]": [1], "bytea[]": [b"\0"], "jsonb[]": ["{}"],
}  # fmt: skip

#: The first argument of almost every query is the chain; these take something else first.
_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "in_flight_of_payers": (1, [_PAYER]),
    "landed_candidates": (1, [_ASSET], [_PAYER], ["0x" + hashlib.md5(b"nonce7").hexdigest() * 2]),
    "payments_by_identity": ([1], [_ASSET], [_PAYER], [_HASH]),
    "payments_unfinished_by_payer": ([1], [_PAYER], 100),
    "candidates": (1, 1_800_000_000, 100, []),
    "pending_stats": (1, 100, []),
    "expired_open": (1, 1_800_000_000, 200),
    "nonces_known": (1, _WALLET, ROWS, ROWS + 100),
    "mints_by_ids": ([_MINT],),
    "payment_get": (_PAYMENT,),
    "payments_pending_count": (1_000_000,),
    "recovery_journal": (100, 0, [7]),
    "recovery_failures": (100, 0, [7]),
    "janitor_attempts": (0, 604_800.0, 2000),
    "janitor_events": (0, 7_776_000.0, 2000),
}


def of_loops() -> list[str]:
    """Every query but those that a person asks."""
    names = [
        f.name.removesuffix(".sql")
        for f in files("onsettle.store").joinpath("queries").iterdir()
        if f.name.endswith(".sql")
    ]
    return sorted(n for n in names if n not in ASKED and not n.startswith(ASKED_PREFIXES))


async def _arguments(connection: Connection, name: str) -> tuple[Any, ...]:
    statement = await connection.prepare(sql(name))
    types = [parameter.name for parameter in statement.get_parameters()]
    values = [_BY_TYPE[kind] for kind in types]
    if types and types[0] == "int8":
        values[0] = 1
    listed = _ARGUMENTS.get(name, ())[: len(values)]
    return (*listed, *values[len(listed) :])


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def _reads(node: dict[str, Any]) -> float:
    """How many rows of its table a scan looked at."""
    if "Actual Rows" not in node:
        return float(node["Plan Rows"])
    seen = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return float((seen + node.get("Rows Removed by Index Recheck", 0)) * node["Actual Loops"])


async def _plan(connection: Connection, name: str) -> dict[str, Any]:
    """The plan as it ran, for any arguments of these types; what it changed is undone."""
    arguments = await _arguments(connection, name)
    trial = connection.transaction()
    await trial.start()
    try:
        text = await connection.fetchval(f"explain (analyze, format json) {sql(name)}", *arguments)
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
        # These arguments mean no row that could be written; its reading is planned all the same.
        await trial.rollback()
        text = await connection.fetchval(f"explain (format json) {sql(name)}", *arguments)
    else:
        await trial.rollback()
    return dict(json.loads(text)[0]["Plan"])


async def scans(dsn: str, mode: str, queries: Sequence[str]) -> list[str]:
    """Which of these queries read more of a large table than they should."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(f"set plan_cache_mode = {mode}; set onsettle.actor = 'engine'")
    found: list[str] = []
    try:
        for name in queries:
            for node in _nodes(await _plan(connection, name)):
                table = node.get("Relation Name")
                if table not in LARGE or node["Node Type"] == "ModifyTable":
                    continue
                if node["Node Type"] == "Seq Scan" or _reads(node) > _FEW:
                    found.append(f"{name}: {node['Node Type']} of {table}, {_reads(node):.0f} rows")
    finally:
        await connection.close()
    return found
