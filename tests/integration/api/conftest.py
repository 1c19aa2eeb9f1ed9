"""One chain, one database and one HTTP server for all tests of a module."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from onsettle.api.app import create_app
from onsettle.runtime import Engine
from tests.harness.http import serving
from tests.harness.server import Server
from tests.harness.stack import Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A stack with an engine that does not settle, and a client of its API."""

    stack: Stack
    engine: Engine
    http: httpx.AsyncClient

    async def rows(self) -> int:
        return int(await self.engine.db.pool.fetchval("select count(*) from payment_queue"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    dsn = server.create()
    try:
        async with (
            Stack(dsn, tmp_path_factory.mktemp("api")) as stack,
            stack.engine(start=False) as engine,
            serving(create_app(engine)) as http,
        ):
            yield Api(stack=stack, engine=engine, http=http)
    finally:
        server.drop(dsn)


ADMIN = "admin-token-of-the-tests"
KEY = "api-key-of-the-tests"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """An engine that settles, whose API wants a key; the client sends the admin token."""
    dsn = server.create()
    try:
        async with (
            Stack(dsn, tmp_path_factory.mktemp("guarded")) as stack,
            stack.engine(admin_token=ADMIN, api_keys=KEY) as engine,
            serving(create_app(engine)) as http,
        ):
            http.headers["authorization"] = f"Bearer {ADMIN}"
            yield Api(stack=stack, engine=engine, http=http)
    finally:
        server.drop(dsn)
