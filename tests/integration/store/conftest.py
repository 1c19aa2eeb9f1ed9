import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.harness.rows import Connection
from tests.harness.server import Server


@pytest.fixture
def dsn(empty: str) -> str:
    """What is tested here is the migrating."""
    return empty


@pytest.fixture
async def connection(server: Server, migrated: str) -> AsyncIterator[Connection]:
    """A hand on a migrated database: not the engine, so the journal says `manual`."""
    dsn = await asyncio.to_thread(server.create, like=migrated)
    hand = await asyncpg.connect(dsn)
    yield hand
    await hand.close()
    await asyncio.to_thread(server.drop, dsn)
