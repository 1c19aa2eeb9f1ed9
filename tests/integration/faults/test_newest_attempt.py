"""Which hash a payment and a mint show while they are on their way."""

from typing import Any

from onsettle.runtime import Engine
from tests.harness.books import accepted, attempts, becomes, mints, running, transactions
from tests.harness.moves import base_fee, mining
from tests.harness.stack import Stack, eventually


async def _bumped(stack: Stack, engine: Engine, transaction: Any) -> list[Any]:
    """Blocks too dear for it pass until it has another attempt; its attempts."""

    async def again() -> bool:
        await base_fee(stack, 20)
        await stack.mine()
        return len(await attempts(engine, transaction["id"])) > 1

    await eventually(again, every_s=0.2)
    return await attempts(engine, transaction["id"])


async def test_what_is_not_mined_yet_shows_its_newest_attempt(held: Stack) -> None:
    """A replaced payment, and a replaced mint, name the bytes that the node holds now, until one
    of them lands; then the one that landed."""
    # The cap stops the bumping where the base fee still keeps everything out of blocks.
    async with running(held, fee_bump_after_ms=300, max_fee_gwei=10) as engine:
        [payer] = await held.payers(1)
        [one] = await accepted(engine, [held.body(engine, payer)])
        await becomes(engine, one, "sent")
        [carrier] = await transactions(engine, "payment")
        await _bumped(held, engine, carrier)

        async def newest() -> bool:
            tries = await attempts(engine, carrier["id"])
            row = await engine.db.fetchrow("payment_get", one)
            return row is not None and len(tries) > 1 and row["tx_hash"] == tries[-1]["hash"]

        await eventually(newest)

        async def landed() -> bool:
            [status] = await held.statuses(engine, [one])
            if status != "completed":
                await base_fee(held, 0)
                await held.mine()
            return status == "completed"

        # Block by block, so that the mint that follows is not mined yet.
        await eventually(landed, every_s=0.3)
        row = await becomes(engine, one, "completed")
        assert row["tx_hash"] in [a["hash"] for a in await attempts(engine, carrier["id"])]

        async def minting() -> bool:
            return len(await transactions(engine, "mint")) == 1

        await eventually(minting)
        [minter] = await transactions(engine, "mint")
        await _bumped(held, engine, minter)

        async def named() -> bool:
            [mint] = await mints(engine)
            tries = await attempts(engine, minter["id"])
            return bool(mint["mint_tx_hash"] == tries[-1]["hash"])

        await eventually(named)
        await base_fee(held, 0)
        async with mining(held):
            await held.all_minted(engine, 1)
        await held.verified(engine)
