"""How the benchmark judges what it measured."""

from onsettle.local.bench.figures import percentiles
from onsettle.local.bench.targets import TARGETS, judged, ratios


def test_percentiles_are_values_that_were_measured() -> None:
    """A percentile is never made up between two values, and needs at least one."""
    assert percentiles([]) is None
    assert percentiles([3.0]) == {"p50": 3.0, "p95": 3.0, "p99": 3.0}
    assert percentiles([float(at) for at in range(1, 101)]) == {"p50": 50, "p95": 95, "p99": 99}


def test_ratios_compare_with_the_faster_peer_under_the_same_blocks() -> None:
    """Each ratio needs both of its figures; of the peers the faster one counts."""
    peer = {
        "slow": {"two_second_blocks": {"payments_per_second": 10}},
        "fast": {
            "two_second_blocks": {"payments_per_second": 20},
            "instant_blocks": {"payments_per_second": 80},
        },
    }
    found = ratios({"profiles": {"packed": {"payments_per_second": 400}}, "peer": peer})
    assert found["packed_to_peer"] == 20
    assert found["packed_to_peer_instant"] == 5
    assert found["packed_to_guide"] is None


def test_a_target_holds_at_its_bound_and_not_beyond() -> None:
    """A figure on the bound holds, one beyond does not, a missing one is not judged."""

    def verdict(rate: float) -> object:
        result = {"profiles": {"packed": {"payments_per_second": rate}}}
        return next(each["holds"] for each in judged(result) if each["name"] == TARGETS[0].name)

    assert verdict(2000) is True
    assert verdict(1999.9) is False
    assert all(each["holds"] is None for each in judged({}))
    assert all((target.least is None) != (target.most is None) for target in TARGETS)
