"""A stack whose blocks are made by hand."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness.stack import Stack


@pytest.fixture
async def held(dsn: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """One payment wallet; a block is made only when the test says so."""
    async with Stack(dsn, tmp_path) as whole:
        await whole.hold_blocks()
        yield whole
