import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import settings

from onsettle.local.place import let_pass
from onsettle.store.migrate import migrate
from tests.harness.server import Server
from tests.harness.stack import Stack

# How long an example takes says nothing about it on a machine that is busy.
settings.register_profile("onsettle", deadline=None)
settings.load_profile("onsettle")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL with durable settings, for all tests of this run."""
    shared = Server()
    shared.start()
    yield shared
    shared.stop()


@pytest.fixture
def data_folder() -> Iterator[Path]:
    """A data folder that root's PostgreSQL, which runs as another user, can be kept in."""
    with tempfile.TemporaryDirectory(prefix="onsettle-test-") as made:
        let_pass(Path(made))
        yield Path(made)


@pytest.fixture(scope="session")
def migrated(server: Server) -> Iterator[str]:
    """A new database with every migration applied, to be copied."""
    url = server.create()
    asyncio.run(_migrate(url))
    yield url
    server.drop(url)


async def _migrate(url: str) -> None:
    await migrate(url)


@pytest.fixture
def dsn(server: Server, migrated: str) -> Iterator[str]:
    """A database of this test's own: a copy of one that is migrated, which is quicker."""
    url = server.create(like=migrated)
    yield url
    server.drop(url)


@pytest.fixture
def empty(server: Server) -> Iterator[str]:
    """A database of this test's own, with nothing in it."""
    url = server.create()
    yield url
    server.drop(url)


@pytest.fixture
async def stack(dsn: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A chain that mines every transaction at once, one payment wallet, and a database."""
    async with Stack(dsn, tmp_path) as whole:
        yield whole


@pytest.fixture
async def two_wallets(dsn: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """Blocks every second, two payment wallets."""
    async with Stack(dsn, tmp_path, block_time=1, wallets=2) as whole:
        yield whole


@pytest.fixture
def log_lines() -> Iterator[list[MutableMapping[str, Any]]]:
    """Every line that is logged in this test."""
    with structlog.testing.capture_logs() as lines:
        yield lines
