"""One bare chain for the tests of the contracts; each test uses contracts and keys of its own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from onsettle.chain.rpc import Pool
from onsettle.local.chain import LocalChain


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rpc(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """A chain that mines every transaction at once."""
    chain = LocalChain(tmp_path_factory.mktemp("chain"), block_time=0, save_every_s=None)
    await chain.start()
    async with Pool([chain.rpc_url], probe_interval_s=0) as pool:
        yield pool
    await chain.stop()
