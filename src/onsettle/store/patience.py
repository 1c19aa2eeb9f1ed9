"""Changes of the catalogue on tables that others are writing to."""

import asyncio
from typing import Any, TypeAlias

import asyncpg

# The driver's class takes a type argument for the type checker only.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# How long a change may wait for its lock, with every later writer behind it. Longer than
# deadlock_timeout (1 s), after which an autovacuum that is in the way gives up.
_LOCK_WAIT = "1500ms"
_TRIES = 120
_PAUSE_S = 0.5


#: What says only that somebody else was quicker.
IN_THE_WAY = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)


class Busy(Exception):
    """Somebody holds a table in a transaction that does not end."""


async def patiently(connection: Connection, *statements: str | tuple[Any, ...]) -> None:
    """Run these in one short transaction; a tuple is a statement with its arguments.

    The locks are asked for briefly, again and again: a statement that waits for an exclusive lock
    makes every writer wait behind it.
    """
    for _ in range(_TRIES):
        try:
            async with connection.transaction():
                await connection.execute(f"set local lock_timeout = '{_LOCK_WAIT}'")
                for statement in statements:
                    parts = (statement,) if isinstance(statement, str) else statement
                    await connection.execute(*parts)
        except IN_THE_WAY:
            await asyncio.sleep(_PAUSE_S)
        else:
            return
    raise busy()


def busy() -> Busy:
    return Busy(
        "a transaction holds a table and does not end: find it in pg_stat_activity, end it,"
        " and run `onsettle migrate` again"
    )


async def build_index(connection: Connection, name: str, definition: str) -> None:
    """Beside the writers. One whose building was interrupted stays behind, and nobody uses it."""
    half_built = await connection.fetchval(
        "select not indisvalid from pg_index where indexrelid = to_regclass($1)", name
    )
    if half_built:
        await connection.execute(f'drop index concurrently "{name}"')
    await connection.execute(definition)
