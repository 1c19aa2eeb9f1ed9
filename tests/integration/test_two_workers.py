"""Two worker processes share one database and two wallets."""

from pathlib import Path

import pytest

from onsettle.engine.verify import verify
from onsettle.runtime import Engine
from tests.harness.processes import running
from tests.harness.stack import PAYEE, PRICE, Stack, eventually, ids_of

_COUNT = 300


@pytest.mark.timeout(240)
async def test_two_workers_settle_three_hundred_payments_together(
    two_wallets: Stack, tmp_path: Path
) -> None:
    """300 transfers, none reverted; the wallets' nonces add up to 300; both workers sent some."""
    stack, environment = two_wallets, two_wallets.process_environment(log_format="json")
    async with stack.engine(start=False) as engine:
        payers = await stack.payers(_COUNT, PRICE)
        with (
            running(tmp_path, environment, "worker") as first,
            running(tmp_path, environment, "worker") as second,
        ):
            await eventually(lambda: _share(engine))
            bodies = [stack.body(engine, payer, payment_type="plain") for payer in payers]
            ids = ids_of(await engine.intake.submit_many(bodies))
            await stack.all_are(engine, ids, "completed", within_s=180)
            assert [first.end(), second.end()] == [0, 0]
        assert await stack.token_balance(PAYEE) == _COUNT * PRICE
        nonces = [await stack.nonce(wallet) for wallet in stack.wallets]
        assert sum(nonces) == _COUNT
        assert all(nonces)
        for worker in (first, second):
            assert sum(event["payments"] for event in worker.events("batch_sent")) > 0
        assert await _reverted(stack) == 0
        assert (await verify(engine.db, engine.networks)).ok


async def _share(engine: Engine) -> bool:
    """Whether each worker holds a payment wallet."""
    rows = await engine.db.fetch("wallets_list", None)
    holders = {row["lease_holder"] for row in rows if row["role"] == "payment"}
    return len(holders - {None}) == 2


async def _reverted(stack: Stack) -> int:
    """How many transactions on the chain reverted, whoever sent them."""
    count = 0
    for height in range(await stack.height() + 1):
        receipts = await stack.rpc.call("eth_getBlockReceipts", hex(height))
        assert isinstance(receipts, list)
        count += sum(receipt["status"] == "0x0" for receipt in receipts)
    return count
