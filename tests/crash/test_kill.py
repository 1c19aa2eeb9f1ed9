"""A process that dies at any point of its work loses nothing and doubles nothing."""

import pytest

from tests.crash.scan import every_point
from tests.crash.scenarios import SCENARIOS
from tests.crash.world import Scenario, World, converge, kill_at, trace
from tests.harness.receiver import receiving
from tests.harness.stack import Stack

# Of one point, in its scenario.
_TRIES = 4
_QUICK = {
    "fee_bump_after_ms": 1000,
    "payment_batch_interval_ms": 50,
    "payment_confirmation_interval_ms": 50,
    "mint_batch_interval_ms": 10,
}


async def _points(world: World, scenario: Scenario, met: set[str]) -> list[str]:
    reached = [p for p in await trace(world, scenario) if p in every_point()]
    asked = {*scenario.only, *scenario.always}
    assert asked <= set(reached), (scenario.name, asked - set(reached))
    if scenario.only:
        met.update(scenario.only)
        return list(scenario.only)
    new = [p for p in reached if p not in met or p in scenario.always]
    met.update(reached)
    return new


async def _killed(world: World, scenario: Scenario, point: str) -> bool:
    """What stands between two blocks or two looks is not met every time: it is tried again."""
    for _ in range(_TRIES):
        if await kill_at(world, scenario, point):
            return True
    return False


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
            alive += [p for p in points if not await _killed(world, scenario, p)]
        await converge(world)
        assert not alive, "these points were not met again"
        missed = sorted(every_point() - met)
        assert missed == [], "every point is met"
