"""The feed that the wallets of one process share."""

import time

from onsettle.engine.network import Network
from onsettle.engine.sender import PaymentFeed
from onsettle.engine.unit import Unit, View
from tests.harness.books import accepted, running
from tests.harness.moves import block
from tests.harness.stack import PRICE, Stack

_GWEI = 10**9


async def _view(stack: Stack, network: Network) -> View:
    newest = await block(stack)
    return View(
        endpoint=network.pool.best(),
        number=int(newest["number"], 16),
        hash=newest["hash"],
        time=int(time.time()),
        base_fee=_GWEI,
        gas_price=_GWEI,
        gas_limit=400_000_000,
        latest=0,
        pending=0,
        balance=10**18,
        behind=False,
    )


def _count(units: list[Unit]) -> int:
    return sum(len(unit.payment_ids) for unit in units)


async def test_wallets_take_one_payers_payments_at_once_and_never_overdraw_together(
    stack: Stack,
) -> None:
    """What one wallet is about to sign for counts for the next, and holds up nothing else."""
    async with running(stack, start=False) as engine:
        [payer] = await stack.payers(1, PRICE * 7 // 2)
        ids = await accepted(engine, [stack.body(engine, payer) for _ in range(6)])
        [network] = engine.networks.values()
        feed, view = PaymentFeed(engine.db, network), await _view(stack, network)
        settings = await engine.settings.get()
        first, second = stack.wallets[0], "0x" + "77" * 20

        taken = await feed.units(view, first, 2, settings)
        assert _count(taken) == 2
        more = await feed.units(view, second, 2, settings)
        assert _count(more) == 1
        assert await feed.units(view, second, 2, settings) == []

        feed.give_back(taken)
        again = await feed.units(view, first, 4, settings)
        assert _count(again) == 2
        held = {i for unit in [*more, *again] for i in unit.payment_ids}
        assert len(held) == 3
        assert await stack.statuses(engine, ids) == ["pending"] * 6
