"""The one place that touches the driver: a pool of connections and the queries by name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

import asyncpg
import orjson

from onsettle import points

Record = asyncpg.Record
# The driver's classes take type arguments for the type checker only.
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[Record] | asyncpg.Connection[Record]"

#: Everything that a lost or refusing database raises: the loops wait and try again.
UNAVAILABLE = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what the driver says when the server dies under a statement
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.UndefinedTableError,  # not migrated yet: whoever was first is at it
    TimeoutError,
)


class LostLease(Exception):
    """Somebody else holds the wallet or network now; nothing was written."""


@cache
def sql(name: str) -> str:
    """The text of `queries/<name>.sql`."""
    return files("onsettle.store").joinpath(f"queries/{name}.sql").read_text("utf-8")


async def _prepare(connection: "asyncpg.Connection[Record]") -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind, encoder=_encode, decoder=orjson.loads, schema="pg_catalog"
        )
    # Below the lease: a stopped process can't hold a wallet's rows. The actor tells the journal
    # that a status was written by the engine and not by hand.
    await connection.execute(
        "set timezone = 'UTC'; set idle_in_transaction_session_timeout = '4s';"
        " set lock_timeout = '3s'; set statement_timeout = '60s'; set onsettle.actor = 'engine';"
        # A plan made for a table of ten rows is kept while it grows to a million: plan each time.
        " set plan_cache_mode = force_custom_plan; set jit = off"
    )


def _encode(value: Any) -> str:
    return orjson.dumps(value).decode()


class Database:
    """A pool on one PostgreSQL. Every query is a file; every call may raise UNAVAILABLE."""

    def __init__(self, pool: "asyncpg.Pool[Record]") -> None:
        self.pool = pool

    @classmethod
    async def connect(cls, dsn: str, *, size: int = 10, lazy: bool = False) -> "Database":
        """A pool that has connected; a `lazy` one connects when it is first used."""
        pool = await asyncpg.create_pool(
            dsn,
            min_size=0 if lazy else 1,
            max_size=size,
            init=_prepare,
            timeout=10,
            command_timeout=60,
            reset=_keep,
        )
        return cls(pool)

    async def close(self) -> None:
        self.pool.terminate()
        # The transports close their sockets in the next round of the event loop.
        await asyncio.sleep(0)

    async def __aenter__(self) -> "Database":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def transaction(self, point: str = "") -> AbstractAsyncContextManager[Connection]:
        """A connection whose statements are committed together at the end, or not at all.

        `point` names the commit where the calling function does not.
        """
        return self._transaction(point or points.caller())

    @asynccontextmanager
    async def _transaction(self, point: str) -> AsyncIterator[Connection]:
        async with self.pool.acquire() as connection:
            async with connection.transaction():
                yield connection
                points.reached(f"{point}:before")
            points.reached(f"{point}:after")

    async def fetch(self, query: str, *args: Any) -> list[Record]:
        with points.around(query):
            return await self.pool.fetch(sql(query), *args)

    async def fetchrow(self, query: str, *args: Any) -> Record | None:
        with points.around(query):
            return await self.pool.fetchrow(sql(query), *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        with points.around(query):
            return await self.pool.fetchval(sql(query), *args)

    async def execute(self, query: str, *args: Any) -> int:
        """Run a statement; the number of rows it changed."""
        with points.around(query):
            return changed(await self.pool.execute(sql(query), *args))


async def _keep(connection: "asyncpg.Connection[Record]") -> None:
    """Keep a connection's settings when it goes back to the pool; nothing else is left on it."""


def changed(tag: str) -> int:
    """The row count of a command tag such as `UPDATE 3`."""
    return int(tag.rsplit(" ", 1)[-1]) if tag[-1].isdigit() else 0
