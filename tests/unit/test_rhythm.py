"""When the confirmer looks for a block: soon after it is there, and not all the time."""

import pytest

from onsettle.engine.rhythm import Rhythm

_LONGEST_S = 2.0


def _watch(interval_s: float, blocks: int) -> tuple[list[float], int]:
    """How late each block of an even chain is seen, in seconds, and the number of looks."""
    rhythm = Rhythm()
    now, seen, looks = 0.0, -1, 0
    late: list[float] = []
    while len(late) < blocks:
        head = int(now / interval_s)
        looks += 1
        if head > seen:
            rhythm.arrived(head - seen, now)
            late.append(now - head * interval_s)
            seen = head
        else:
            now += rhythm.pause(now, _LONGEST_S)
    return late, looks


@pytest.mark.parametrize("interval_s", [0.25, 0.7, 1.3, 12.0])
def test_a_block_is_seen_soon_from_the_first_on(interval_s: float) -> None:
    late, _ = _watch(interval_s, 40)
    assert max(late) <= max(0.05, 0.06 * interval_s)


@pytest.mark.parametrize("interval_s", [0.7, 2.0, 12.0])
def test_it_does_not_look_all_the_time(interval_s: float) -> None:
    _, looks = _watch(interval_s, 40)
    assert looks / 40 < 8 + 3 * interval_s


def test_a_chain_that_stands_is_asked_seldom_and_never_less_than_told() -> None:
    rhythm = Rhythm()
    for at in range(10):
        rhythm.arrived(1, float(at))
    assert rhythm.pause(100.0, _LONGEST_S) >= 0.1
    assert rhythm.pause(100.0, 0.05) == 0.05
