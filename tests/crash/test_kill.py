"""A process that dies at any point of its work loses nothing and doubles nothing."""

import os

import pytest

from tests.crash.scan import every_point
from tests.crash.scenarios import SCENARIOS
from tests.crash.world import Scenario, World, converge, kill_at, trace
from tests.harness.receiver import receiving
from tests.harness.stack import Stack

#: Points that no scenario here meets, and what does.
NOT_MET = {
    "channel_disable": "an endpoint that says 410, in the tests of webhooks",
    "adoption.take_over_known": "a row of another program, submitted here before it is adopted",
    "recovery.Recovery._complete": "an operator who is quicker than the engine's own look-up",
    "mints_seen": "two wallets that mint one key at a time; the next look finds the mint",
}
_QUICK = {
    "fee_bump_after_ms": 1000,
    "payment_batch_interval_ms": 50,
    "payment_confirmation_interval_ms": 50,
    "mint_batch_interval_ms": 10,
}


_EFFECTS = ("sign", "replace", "fill", "broadcast", "handler")


def _both_sides(point: str) -> bool:
    """Where the two sides differ in what the database or the world knows.

    Before a single statement all is as after what came before it: that is a point of its own.
    """
    name, _, side = point.partition(":")
    return side == "after" or "." in name or name in _EFFECTS


async def _points(world: World, scenario: Scenario, met: set[str]) -> list[str]:
    reached = [p for p in await trace(world, scenario) if p in every_point()]
    if scenario.only:
        met.update(scenario.only)
        return [p for p in scenario.only if p in reached]
    new = [p for p in reached if p not in met or p in scenario.always]
    met.update(reached)
    if os.environ.get("ONSETTLE_EVERY_POINT"):
        return new
    return [p for p in new if _both_sides(p)]


@pytest.mark.timeout(900)
async def test_a_process_killed_at_each_point_in_turn_is_continued_by_the_next(
    stack: Stack,
) -> None:
    """Killed around every commit and every outside effect: all is settled once, and verified."""
    async with stack.engine(start=False) as engine, receiving() as receiver:
        await stack.set(engine, **_QUICK)
        world = World(stack, engine, receiver)
        met: set[str] = set()
        alive: list[str] = []
        for scenario in SCENARIOS:
            points = await _points(world, scenario, met)
            alive += [p for p in points if not await kill_at(world, scenario, p)]
        await converge(world)
        assert not alive, "these points were not met again"
        missed = {p.partition(":")[0] for p in every_point() - met}
        assert missed == set(NOT_MET), "every point is met, or says here why it is not"
