"""How the benchmark judges what it measured."""

import dataclasses
from typing import Any

import pytest

from onsettle.local.bench import floor, settle
from onsettle.local.bench.figures import median_run, percentiles
from onsettle.local.bench.ground import PRICE
from onsettle.local.bench.plan import profile
from onsettle.local.bench.targets import TARGETS, judged, ratios

_CPU = {"engine": 2.0, "intake": 1.0, "database": 4.0, "node": 1.0}


def a_result(packed: float = 4000, **others: Any) -> dict[str, Any]:
    """A run that measured the packed profile, and what else is told."""
    found = {"payments": 10_000, "payments_per_second": packed, "with_mints_per_second": packed}
    return {
        "environment": {"cores": 2, "load_average_before": 0.1},
        "profiles": {"packed": found | {"cpu_seconds": _CPU}},
        **others,
    }


def verdict(result: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [each for each in judged(result) if each["name"] == name]
    return found


def test_percentiles_are_values_that_were_measured() -> None:
    """A percentile is never made up between two values, and needs at least one."""
    assert percentiles([]) is None
    assert percentiles([3.0]) == {"p50": 3.0, "p95": 3.0, "p99": 3.0}
    assert percentiles([float(at) for at in range(1, 101)]) == {"p50": 50, "p95": 95, "p99": 99}


def test_the_run_in_the_middle_counts_and_the_others_are_told() -> None:
    """Neither the best run nor the worst is the figure, and none is hidden."""
    runs = [{"payments_per_second": rate, "seconds": rate * 2} for rate in (30, 10, 20)]
    assert median_run(runs) == {"payments_per_second": 20, "seconds": 40, "runs": [30, 10, 20]}


_PEERS = {
    "slow": {"two_second_blocks": {"payments_per_second": 10}},
    "fast": {
        "two_second_blocks": {"payments_per_second": 20},
        "instant_blocks": {"payments_per_second": 80},
    },
}


class TestRatios:
    def test_they_compare_with_the_faster_peer_under_the_same_blocks(self) -> None:
        """Each ratio needs both of its figures; of the peers the faster one counts."""
        found = ratios(a_result(400, peer=_PEERS))
        assert found["packed_to_peer"] == 20
        assert found["packed_to_peer_instant"] == 5
        assert found["packed_to_guide"] is None

    def test_the_faster_peer_is_a_target_under_both_kinds_of_blocks(self) -> None:
        """Twenty times a peer that waits for two seconds is not twenty times one that does not."""
        result = a_result(400, peer=_PEERS)
        name = "packed, times the faster peer with"
        assert verdict(result, f"{name} 2-second blocks")["holds"] is True
        assert verdict(result, f"{name} instant blocks")["holds"] is False

    def test_a_share_is_judged_before_it_is_rounded(self) -> None:
        """0.3333 of the floor is less than a third, though both are told as 0.333."""
        name = "packed, share of its floor"
        below = a_result(3333, floor={"packed": {"payments_per_second": 10_000}})
        third = a_result(3333, floor={"packed": {"payments_per_second": 9_999}})
        assert verdict(below, name)["holds"] is False
        assert verdict(third, name)["holds"] is True
        assert {verdict(it, name)["measured"] for it in (below, third)} == {0.333}
        assert verdict(third, name)["target"] == "≥ 1/3"


class TestTargets:
    def test_one_holds_at_its_bound_and_not_beyond(self) -> None:
        """A figure on the bound holds, one beyond does not, a missing one is not judged."""
        name = TARGETS[0].name
        assert verdict(a_result(2000), name)["holds"] is True
        assert verdict(a_result(1999.9), name)["holds"] is False
        assert all(each["holds"] is None for each in judged({}))
        assert all((target.least is None) != (target.most is None) for target in TARGETS)

    def test_a_missed_one_says_by_how_much_and_why(self) -> None:
        """Half the target is half off; the processors are named when they were all in use."""
        busy, idle = a_result(1000), a_result(1000)
        busy["profiles"]["packed"]["cpu_seconds"] = {"engine": 10.0, "database": 9.0}
        found = verdict(busy, TARGETS[0].name)
        assert found["off"] == 0.5
        assert found["why"] == (
            "A payment with its mint takes 1,900 µs of processor (engine 1,000, database 900);"
            " 95% of 2 cores were in use: the processors are the limit."
        )
        assert "40% of 2 cores were in use" in verdict(idle, TARGETS[0].name)["why"]
        assert "why" not in verdict(a_result(2000), TARGETS[0].name)

    def test_every_one_has_a_reason_when_it_is_missed(self) -> None:
        """No reason asks for what is not there: a result of which nothing holds can be told."""
        slow = {
            "payments": 100,
            "payments_per_second": 1.0,
            "with_mints_per_second": 1.0,
            "seconds": 100.0,
            "rpc_calls_per_payment": 9.0,
            "gas_per_payment": 90_000,
            "peak_memory_mb": 900.0,
            "cpu_seconds": _CPU,
            "runs": [1.0],
        }
        late = {"p50": 1.0, "p95": 2.0, "p99": 3.0}
        fast = {"payments_per_second": 1000.0}
        names = ("guide", "single", "packed", "payments_only", "packed_50")
        rates = dict.fromkeys(names, slow)
        result = {
            "environment": {"cores": 2, "load_average_before": 0.1},
            "profiles": rates,
            "floor": {"single": fast, "packed": fast},
            "peer": {"x": {"instant_blocks": fast, "two_second_blocks": fast}},
            "idle": {
                "payments": 3,
                "accept_to_broadcast_s": late,
                "visible_to_completed_s": late,
            },
            "intake": {
                "payments_per_second": 1.0,
                "batch_payments_per_second": 1.0,
                "cpu_ms_per_payment": 1.0,
                "batch_cpu_ms_per_payment": 1.0,
            },
            "growth": {
                "finished_0": slow | fast,
                "finished_1000000": slow,
                "queued_100000": slow,
            },
        }
        found = list(judged(result))
        assert [each["name"] for each in found if each["holds"] is not False] == []
        assert [each["name"] for each in found if not each["why"]] == []


class TestARunThatWentWrong:
    @pytest.mark.parametrize(("completed", "mints"), [(99, 100), (100, 99), (0, 0)])
    def test_a_profile_whose_payments_failed_has_no_figure(
        self, completed: int, mints: int
    ) -> None:
        """What failed takes no time: a rate of the rest would be no rate."""
        short = dataclasses.replace(profile("packed"), payments=100)
        with pytest.raises(settle.Wrong, match="of 100 payments"):
            settle.check({"completed": completed, "mints": mints}, short)
        settle.check({"completed": 100, "mints": 100}, short)

    def test_a_floor_whose_payments_failed_has_no_figure(self) -> None:
        """A pack is mined even if no payment of it was made: what the payee got decides."""
        with pytest.raises(floor.NotPaid, match="for 100 payments"):
            floor.check(99 * PRICE, 100)
        floor.check(100 * PRICE, 100)
