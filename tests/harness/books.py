"""What a test reads from the database, and what an operator writes there by hand."""

from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

from onsettle.domain.settings import render
from onsettle.engine.janitor import Janitor
from onsettle.runtime import Engine
from onsettle.store.database import Record
from tests.harness.stack import Stack, eventually, ids_of

#: What `capture_logs` collects.
LogLines = list[MutableMapping[str, Any]]

_QUICK: dict[str, object] = {
    "payment_batch_interval_ms": 10,
    "mint_batch_interval_ms": 10,
    "payment_confirmation_interval_ms": 50,
    "fee_bump_after_ms": 60_000,
}


@asynccontextmanager
async def running(
    stack: Stack,
    *,
    start: bool = True,
    environment: dict[str, str] | None = None,
    **settings: object,
) -> AsyncIterator[Engine]:
    """An engine under settings with which nothing waits for company and the loops look at once.

    They are written before the start, so that they are in force from its first look on.
    """
    async with stack.engine(start=False, **(environment or {})) as engine:
        await stack.set(engine, **(_QUICK | settings))
        if start:
            await engine.start()
        yield engine


async def quick(stack: Stack, engine: Engine, **settings: object) -> None:
    """The same settings for an engine that runs already."""
    await in_force(stack, engine, **(_QUICK | settings))


async def in_force(stack: Stack, engine: Engine, **settings: object) -> None:
    """Write settings, and wait until this engine works by them."""
    await stack.set(engine, **settings)
    await obeyed(engine, **settings)


async def obeyed(engine: Engine, **settings: object) -> None:
    """Wait until this engine works by settings that somebody else has written."""

    async def read() -> bool:
        found = await engine.settings.get()
        return all(render(getattr(found, k)) == _text(v) for k, v in settings.items())

    await eventually(read)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


async def accepted(engine: Engine, bodies: Sequence[dict[str, Any]]) -> list[UUID]:
    return ids_of(await engine.intake.submit_many(list(bodies)))


async def payment(engine: Engine, payment_id: UUID) -> Record:
    [row] = await engine.db.fetch("payments_by_ids", [payment_id])
    return row


async def journal(engine: Engine, payment_id: UUID) -> list[tuple[str, str]]:
    """(status, reason) of each event of a payment, in order."""
    rows = await engine.db.pool.fetch(
        "select to_status, reason from payment_events where payment_id = $1 order by id", payment_id
    )
    return [(row["to_status"], row["reason"]) for row in rows]


async def transactions(engine: Engine, kind: str = "payment") -> list[Record]:
    return await engine.db.pool.fetch(
        "select * from transactions where kind = $1 order by wallet, nonce", kind
    )


async def attempts(engine: Engine, transaction_id: int) -> list[Record]:
    """Oldest first."""
    return await engine.db.pool.fetch(
        "select * from attempts where transaction_id = $1 order by created_at, max_fee",
        transaction_id,
    )


async def mints(engine: Engine) -> list[Record]:
    return await engine.db.pool.fetch("select * from mint_queue order by created_at, unit")


async def alarms(engine: Engine, kind: str | None = None) -> list[Record]:
    """Alarms that nobody has cleared."""
    return await engine.db.pool.fetch(
        "select * from alarms where cleared_at is null and ($1::text is null or kind = $1)", kind
    )


def loud(lines: LogLines, kind: str) -> list[str]:
    """The subjects of alarms of this kind that the log told as errors, once for each time."""
    return [
        line["subject"]
        for line in lines
        if line["event"] == "alarm" and line["log_level"] == "error" and line["kind"] == kind
    ]


async def becomes(
    engine: Engine, payment_id: UUID, status: str, reason: str | None = None, **wanted: object
) -> Record:
    """Wait until a payment has this status (and reason, and other columns)."""
    row = await payment(engine, payment_id)

    async def there() -> bool:
        nonlocal row
        row = await payment(engine, payment_id)
        return (
            row["status"] == status
            and reason in (None, row["reason"])
            and all(row[name] == value for name, value in wanted.items())
        )

    try:
        await eventually(there, within_s=20)
    except AssertionError:
        shown = {name: row[name] for name in ("status", "reason", "final", "error", "rounds")}
        raise AssertionError(f"wanted {status} {reason} {wanted}, found {shown}") from None
    return row


async def by_hand(stack: Stack, statement: str, *arguments: object) -> str:
    """A statement that an operator types on the live database; what psql answers."""
    connection = await asyncpg.connect(stack.dsn)
    try:
        return str(await connection.execute(statement, *arguments))
    finally:
        await connection.close()


async def swept(engine: Engine) -> None:
    """Two whole walks of the janitor."""
    for _ in range(2):
        janitor = Janitor(engine.db)
        while await janitor.tick() < 10:
            pass
