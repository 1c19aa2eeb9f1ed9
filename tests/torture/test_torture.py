"""One minute of every fault at once, the same one each time; `make torture SEED=n` draws others."""

import tempfile
from pathlib import Path

import pytest

from onsettle.local.place import let_pass
from tests.torture.count import compare
from tests.torture.plan import KINDS, lie, strikes
from tests.torture.run import torture

_SEED, _SECONDS = 697, 60


def test_the_minute_has_every_kind_of_fault_and_many_lies() -> None:
    """The fixed seed draws all seven kinds, and lies of both nodes, eight different ones."""
    drawn = strikes(_SEED, _SECONDS)
    assert {strike.kind for strike in drawn} == set(KINDS)
    lies = [lie(strike.throw()) for strike in drawn if strike.kind == "lying node"]
    assert len({each.name for each in lies}) >= 8
    assert {each.node for each in lies} == {0, 1}


def test_one_lost_and_one_doubled_do_not_make_up_for_each_other() -> None:
    """Counted one by one: what is missing, what is there twice, and what nobody asked for."""
    wanted = [("a", "1"), ("a", "2"), ("b", "1")]
    assert compare(wanted, wanted[::-1]) == compare([], [])
    found = compare(wanted, [("a", "1"), ("a", "1"), ("b", "1"), ("c", "9")])
    assert (found.lost, found.doubled) == (1, 2)


@pytest.mark.timeout(360)
async def test_a_minute_of_faults_loses_nothing_and_doubles_nothing() -> None:
    """Workers, database and chain fail together; all that was acknowledged is settled once, and a
    wallet that ran dry said so."""
    with tempfile.TemporaryDirectory(prefix="onsettle-torture-", ignore_cleanup_errors=True) as at:
        let_pass(Path(at))
        outcome = await torture(Path(at), seed=_SEED, seconds=_SECONDS)
    assert outcome.clean, outcome.summary()
    assert outcome.seen["wallets that said so"] > 0
