"""A reorg takes back a mint that no event told of."""

from onsettle.chain.abi import TOPIC_TOKENS_MINTED
from onsettle.runtime import Engine
from tests.harness.books import accepted, attempts, becomes, mints, running, transactions
from tests.harness.faults import Answer, Request
from tests.harness.moves import base_fee, mining, reorg
from tests.harness.proxy import FaultProxy
from tests.harness.stack import Stack, eventually


def _without_events(_call: Request, honest: Answer) -> Answer:
    """The logs of a token that has no such event."""
    if not isinstance(honest.get("result"), list):
        return honest
    return dict(
        honest, result=[log for log in honest["result"] if log["topics"][0] != TOPIC_TOKENS_MINTED]
    )


async def _mined_at(stack: Stack, hash_: str) -> int:
    receipt = await stack.rpc.call("eth_getTransactionReceipt", hash_)
    assert isinstance(receipt, dict)
    return int(receipt["blockNumber"], 16)


async def _noops(engine: Engine) -> list[bool]:
    """Which attempts of the mint's transaction are no-ops."""
    [row] = await transactions(engine, "mint")
    return [attempt["noop"] for attempt in await attempts(engine, row["id"])]


async def test_a_mint_without_an_event_that_a_reorg_takes_back_is_made_again(held: Stack) -> None:
    """The token's event is not the one that we know, so `hasMinted` completed the mint. A reorg
    drops its block and its transaction is priced out for a while: it is never replaced by a
    no-op, and the unit is minted in the end."""
    async with FaultProxy(held.chain.rpc_url) as proxy:
        held.rpc_url = proxy.url
        proxy.lie(lambda call: call["method"] == "eth_getLogs", _without_events)
        async with running(held, finality_blocks=50, fee_bump_after_ms=300) as engine:
            await held.mine(3)
            [payer] = await held.payers(1)
            [one] = await accepted(engine, [held.body(engine, payer)])
            await becomes(engine, one, "sent")
            async with mining(held):
                await becomes(engine, one, "completed")
                await held.all_minted(engine, 1)
            [unit] = await mints(engine)
            assert unit["block_number"] is not None
            [row] = await transactions(engine, "mint")
            at = await _mined_at(held, row["mined_hash"])
            before = len(await _noops(engine))
            await reorg(held, await held.height() - at + 1)

            async def replaced() -> bool:
                await base_fee(held, 50)
                await held.mine()
                return len(await _noops(engine)) > before

            await eventually(replaced, every_s=0.4)
            assert not any(await _noops(engine))
            await base_fee(held, 1)
            async with mining(held):
                await becomes(engine, one, "completed")

                async def minted_again() -> bool:
                    [unit] = await mints(engine)
                    [row] = await transactions(engine, "mint")
                    return bool(unit["status"] == "completed" and row["state"] == "mined")

                await eventually(minted_again)
            await held.verified(engine)
