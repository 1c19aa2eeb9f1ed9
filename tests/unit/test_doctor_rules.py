"""What the doctor makes of what it reads: gas that runs out, nodes behind, clocks apart."""

import time
from typing import Any

import pytest

from onsettle.chain.endpoint import Endpoint
from onsettle.engine.doctor.findings import Finding, Findings, State
from onsettle.engine.doctor.nodes import Seen, check_heads
from onsettle.engine.doctor.wallets import check_foreign_use, check_gas

_GWEI = 10**9


def only(found: Findings) -> Finding:
    [finding] = found.all
    return finding


def spent(**facts: Any) -> Any:
    """A row of what a wallet did lately."""
    return {"gas": 100_000, "mined": 0, "top": 5, "replaced": 0, **facts}


@pytest.mark.parametrize(
    ("balance", "mined", "state", "words"),
    [
        (10**14 - 1, 0, State.FAIL, "one transaction needs"),
        (10**16, 0, State.OK, "100 transactions"),
        (10**16, 2400, State.WARN, "1 hours at the rate of the last day"),
        (10**18, 2400, State.OK, "100 hours at the rate of the last day"),
    ],
)
def test_gas_is_told_in_transactions_and_hours(
    balance: int, mined: int, state: State, words: str
) -> None:
    """At the price of now and the rate of the last day; less than a day is a warning, less than
    one transaction a failure."""
    found = Findings()
    check_gas(found, "0xw", "payment", balance, _GWEI, spent(mined=mined))
    assert only(found).state is state
    assert words in only(found).found


@pytest.mark.parametrize(
    ("latest", "pending", "row", "words"),
    [
        (5, 5, spent(), ""),
        (6, 6, spent(), "the chain counts 6 transactions, our last is number 5"),
        (5, 7, spent(), "2 that are not ours wait in the pool"),
        (5, 5, spent(replaced=3), "3 nonces of ours were taken"),
        (9, 9, None, ""),
    ],
)
def test_foreign_use_of_a_key_is_told(latest: int, pending: int, row: Any, words: str) -> None:
    """By the chain's count, by the pool, and by what was taken from us."""
    found = Findings()
    check_foreign_use(found, "0xw", latest, pending, row)
    assert only(found).state is (State.WARN if words else State.OK)
    assert words in only(found).found


def test_nodes_behind_and_clocks_apart_are_told() -> None:
    """Each endpoint against the highest one, and its newest block against our clock."""
    now = int(time.time())
    ages = {
        "http://a": (100, 2),
        "http://b": (90, 2),
        "http://c": (100, 600),
        "http://d": (100, -60),
    }
    seen = {
        Endpoint(url): Seen(chain_id=1, genesis="0x", head=head, hash="0x", time=now - age)
        for url, (head, age) in ages.items()
    }
    found = Findings()
    check_heads(found, seen)
    told = {each.subject: each for each in found.all}
    assert told["http://a:80"].state is State.OK
    assert "10 blocks behind" in told["http://b:80"].found
    assert "its newest block 100 is" in told["http://c:80"].found
    assert told["http://d:80"].check == "clock"


def test_the_worst_finding_decides() -> None:
    """One failure among warnings fails the whole."""
    found = Findings()
    found.ok("a", "b")
    states = [found.worst]
    found.warn("a", "b", "c")
    states.append(found.worst)
    found.fail("a", "b", "c")
    found.ok("a", "b")
    assert [*states, found.worst] == [State.OK, State.WARN, State.FAIL]
