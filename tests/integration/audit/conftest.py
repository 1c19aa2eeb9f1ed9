from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness.audit import Books, audited_books


@pytest.fixture
async def books(dsn: str, tmp_path: Path) -> AsyncIterator[Books]:
    async with audited_books(dsn, tmp_path) as found:
        yield found
