"""A stack whose blocks are made by hand, and an engine that does not make a test wait."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness.proxy import FaultProxy
from tests.harness.stack import Stack


@pytest.fixture
async def held(dsn: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """One payment wallet; a block is made only when the test says so."""
    async with Stack(dsn, tmp_path) as whole:
        await whole.hold_blocks()
        yield whole


@pytest.fixture
async def strict(held: Stack) -> AsyncIterator[Stack]:
    """The same behind a node with the rules of geth's pool: 10 % on both fees for a replacement, 64
    transactions behind a gap. The local chain takes what pays one wei more."""
    async with FaultProxy(held.chain.rpc_url, geth=True) as node:
        held.rpc_url = node.url
        yield held
