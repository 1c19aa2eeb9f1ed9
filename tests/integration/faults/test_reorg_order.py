"""Blocks that come back with the same transactions in another order."""

from pathlib import Path
from uuid import UUID

import pytest

from onsettle.runtime import Engine
from onsettle.store.database import Record
from tests.harness.books import accepted, attempts, journal, payment, running, transactions
from tests.harness.moves import mining, reorg
from tests.harness.stack import PAYEE, PRICE, Stack, eventually

Placed = list[tuple[int, int, UUID]]


@pytest.mark.parametrize("completed", [False, True])
@pytest.mark.parametrize("depth", [1, 3, 10])
async def test_payments_mined_again_in_another_order_settle_once(
    dsn: str, tmp_path: Path, depth: int, completed: bool
) -> None:
    """A reorg of 1, 3 or 10 blocks, before the depth was reached or after completed, that mines the
    other wallet's transactions first: each payment points at its new place, and is delivered
    once."""
    async with Stack(dsn, tmp_path, wallets=2) as stack:
        await stack.hold_blocks()
        async with running(
            stack,
            payment_confirmations=1 if completed else depth + 1,
            finality_blocks=50,
            wallet_max_in_flight=2,
        ) as engine:
            bodies = [stack.body(engine, payer) for payer in await stack.payers(4)]
            ids = await accepted(engine, bodies)
            await stack.all_are(engine, ids, "sent")
            await stack.mine(depth)
            before = await _placed(engine, ids)
            await stack.all_are(engine, ids, "completed" if completed else "sent")
            swapped = await _other_wallet_first(engine, before)
            raws = ["0x" + raw.hex() for raw in await _bytes_of(engine, swapped)]
            await reorg(stack, depth, *zip(raws, (0, 0, depth - 1, depth - 1), strict=True))
            async with mining(stack, 0.05):
                after = await _placed(engine, ids, not_at=before)
                await stack.all_are(engine, ids, "completed")
                await stack.all_minted(engine, 4)
            assert [each for *_, each in after] == [row["payment_ids"][0] for row in swapped]
            assert [each for *_, each in after] != [each for *_, each in before]
            for each in ids:
                assert [to for to, _ in await journal(engine, each)].count("completed") == 1
            assert len(await transactions(engine)) == 4
            assert await stack.token_balance(PAYEE) == 4 * PRICE
            await stack.verified(engine)


async def _placed(engine: Engine, ids: list[UUID], *, not_at: Placed | None = None) -> Placed:
    """(block, log index, payment) of each transfer, in the chain's order, once all are seen; and
    none of them in a place of `not_at`."""

    async def there() -> Placed | None:
        rows = [await payment(engine, each) for each in ids]
        if any(row["block_number"] is None for row in rows):
            return None
        found = sorted((row["block_number"], row["log_index"], row["id"]) for row in rows)
        return None if set(found) & set(not_at or []) else found

    found = await eventually(there)
    assert found is not None
    return found


async def _other_wallet_first(engine: Engine, placed: Placed) -> list[Record]:
    """Our transactions, those of the wallet that came second before those of the first."""
    rows = await transactions(engine)
    assert sorted(row["nonce"] for row in rows) == [0, 0, 1, 1]
    [first] = [row["wallet"] for row in rows if row["payment_ids"] == [placed[0][-1]]]
    return sorted(rows, key=lambda row: (row["wallet"] == first, row["nonce"]))


async def _bytes_of(engine: Engine, rows: list[Record]) -> list[bytes]:
    return [bytes((await attempts(engine, row["id"]))[0]["raw"]) for row in rows]
