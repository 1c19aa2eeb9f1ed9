import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from onsettle.store.migrate import migrate
from tests.harness.rows import Connection
from tests.harness.server import Server


@pytest.fixture(scope="session")
def migrated(server: Server) -> Iterator[str]:
    """A new database with every migration applied, to be copied."""
    dsn = server.create()
    asyncio.run(_migrate(dsn))
    yield dsn
    server.drop(dsn)


async def _migrate(dsn: str) -> None:
    await migrate(dsn)


@pytest.fixture
async def connection(server: Server, migrated: str) -> AsyncIterator[Connection]:
    """A hand on a migrated database: not the engine, so the journal says `manual`."""
    dsn = await asyncio.to_thread(server.create, like=migrated)
    hand = await asyncpg.connect(dsn)
    yield hand
    await hand.close()
    await asyncio.to_thread(server.drop, dsn)
