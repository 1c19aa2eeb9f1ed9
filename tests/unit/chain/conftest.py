"""Nodes and clients for the tests of the chain package."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from onsettle.chain.endpoint import Endpoint
from tests.unit.chain.fake_node import FakeNode


@pytest.fixture
async def node() -> AsyncIterator[FakeNode]:
    async with FakeNode() as node:
        yield node


@pytest.fixture
async def other() -> AsyncIterator[FakeNode]:
    async with FakeNode() as node:
        yield node


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def endpoint(node: FakeNode, session: aiohttp.ClientSession) -> Endpoint:
    return Endpoint(node.url, session)
