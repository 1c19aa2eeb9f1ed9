from collections.abc import AsyncIterator

import pytest

from tests.harness.older import OlderServer
from tests.harness.stack import Stack


@pytest.fixture
def dsn(empty: str) -> str:
    """The older server's tables are made here first."""
    return empty


@pytest.fixture
async def older(stack: Stack) -> AsyncIterator[OlderServer]:
    """The older server on a database of its own making."""
    async with OlderServer.on(stack) as server:
        await server.make_tables()
        yield server
