from collections.abc import AsyncIterator

import pytest

from tests.harness.older import OlderServer
from tests.harness.stack import Stack


@pytest.fixture
async def older(stack: Stack) -> AsyncIterator[OlderServer]:
    """The older server on a database of its own making."""
    async with OlderServer.on(stack) as server:
        await server.make_tables()
        yield server
