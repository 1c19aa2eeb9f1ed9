"""What the engine makes of a local chain that came back as it was some seconds ago."""

import contextlib
import os
import signal
from pathlib import Path

from onsettle.chain.jsonrpc import RpcUnavailable
from onsettle.engine.verify import verify
from onsettle.local.chain import LocalChain
from tests.harness.stack import PAYEE, PRICE, Stack, eventually, ids_of


async def test_an_older_chain_is_a_reorg_and_nobody_is_charged_twice(
    dsn: str, tmp_path: Path
) -> None:
    """Payments that the chain forgot are sent again with the same bytes, and minted once."""
    stack = Stack(dsn, tmp_path)
    stack.chain = LocalChain(tmp_path, block_time=1, save_every_s=3600)
    stack.rpc_url = stack.chain.rpc_url
    async with stack, stack.engine() as engine:
        payers = await stack.payers(8)
        await stack.chain.save()
        bodies = [stack.body(engine, payer) for payer in payers]
        ids = ids_of(await engine.intake.submit_many(bodies))
        await stack.all_are(engine, ids, "completed")
        await stack.all_minted(engine, 8)
        height = await stack.height()
        os.kill(stack.chain.pid, signal.SIGKILL)

        async def overtaken() -> bool:
            with contextlib.suppress(RpcUnavailable):
                return await stack.height() > height + 2
            return False

        await eventually(overtaken, within_s=60)
        more = ids_of(await engine.intake.submit_many([stack.body(engine, p) for p in payers[:3]]))

        async def agreed() -> bool:
            return (await verify(engine.db, engine.networks)).ok

        await stack.all_are(engine, ids + more, "completed", within_s=60)
        await eventually(agreed, within_s=60, every_s=0.5)
        await stack.all_minted(engine, 11)
        assert await stack.token_balance(PAYEE) == 11 * PRICE
        await stack.verified(engine)
