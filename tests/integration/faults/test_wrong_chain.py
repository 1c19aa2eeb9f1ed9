"""An endpoint of another chain in the list of a network."""

from pathlib import Path

from onsettle.chain.rpc import Pool
from onsettle.local.chain import LocalChain
from tests.harness.books import accepted, alarms, becomes, running, transactions
from tests.harness.proxy import FaultProxy
from tests.harness.stack import Stack, eventually


async def test_an_endpoint_of_another_chain_is_never_used(dsn: str, tmp_path: Path) -> None:
    """The second endpoint is of another chain, where our wallet has used forty nonces; the first is
    away for a moment: nothing is read from the second and no nonce is skipped; it is named."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = LocalChain(elsewhere, block_time=0, chain_id=137, save_every_s=None)
    await other.start()
    try:
        async with Stack(dsn, tmp_path) as stack, FaultProxy(stack.chain.rpc_url) as proxy:
            async with Pool([other.rpc_url], probe_interval_s=0) as their:
                await their.call("anvil_setNonce", stack.wallets[0], hex(40))
                await their.call("anvil_mine", hex(500))
            stack.rpc_url = f"{proxy.url},{other.rpc_url}"
            async with running(stack) as engine:
                payers = await stack.payers(4)
                [one] = await accepted(engine, [stack.body(engine, payers[0])])
                await becomes(engine, one, "completed")
                proxy.script("drop")
                ids = await accepted(engine, [stack.body(engine, p) for p in payers[1:]])

                async def named() -> bool:
                    return any("of another chain" in problem for problem in engine.problems)

                await eventually(named)
                proxy.clear()
                await stack.all_are(engine, ids, "completed")
                assert [row["nonce"] for row in await transactions(engine)] == [0, 1, 2, 3]
                assert await transactions(engine, "noop") == []
                assert await alarms(engine) == []
                await stack.all_minted(engine, 4)
                await stack.verified(engine)
    finally:
        await other.stop()
