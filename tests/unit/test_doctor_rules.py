"""What the doctor makes of what it reads: gas that runs out, nodes behind, clocks apart."""

import time
from typing import Any

import pytest

from onsettle.chain.endpoint import Endpoint
from onsettle.engine.doctor.database import judge_server
from onsettle.engine.doctor.findings import Finding, Findings, State
from onsettle.engine.doctor.nodes import Seen, check_heads
from onsettle.engine.doctor.wallets import check_foreign_use, check_gas

_GWEI = 10**9
_DAY_S = 86_400.0


def only(found: Findings) -> Finding:
    [finding] = found.all
    return finding


def spent(**facts: Any) -> Any:
    """A row of what a wallet did lately."""
    return {"gas": 100_000, "mined": 0, "age_s": 7 * _DAY_S, "top": 5, "replaced": 0, **facts}


@pytest.mark.parametrize(
    ("balance", "mined", "age_s", "state", "words"),
    [
        (10**14 - 1, 0, _DAY_S, State.FAIL, "one transaction needs"),
        (10**16, 0, _DAY_S, State.OK, ": 100 transactions"),
        (10**16, 2400, _DAY_S, State.WARN, ", 1 hour at the rate of the last day"),
        (10**16, 2401, _DAY_S, State.WARN, ", less than an hour at the rate of the last day"),
        (10**18, 2400, 9 * _DAY_S, State.OK, ", 100 hours at the rate of the last day"),
        # Young: the hours before its first transaction do not count, and a minute is no rate.
        (10**18, 2400, 2 * 3600.0, State.WARN, ", 8 hours at the rate of the last 2 hours"),
        (10**16, 10, 60.0, State.WARN, ", 10 hours at the rate of the last hour"),
        (10**16, 1, 0.0, State.OK, ", 100 hours at the rate of the last hour"),
        (10**22, 3, 60.0, State.OK, ", more than a year at the rate of the last hour"),
    ],
)
def test_gas_is_told_in_transactions_and_hours(
    balance: int, mined: int, age_s: float, state: State, words: str
) -> None:
    """At the price of now and the rate of the last day, or of so much of it as the wallet sends;
    less than a day is a warning, less than one transaction a failure."""
    found = Findings()
    check_gas(found, "0xw", "payment", balance, _GWEI, spent(mined=mined, age_s=age_s))
    assert only(found).state is state
    assert only(found).found.endswith(words) or "one transaction needs" in only(found).found


def test_a_wallet_that_never_sent_is_told_by_what_one_transaction_needs() -> None:
    """No row: a usual gas limit stands for its own, and there is no rate."""
    found = Findings()
    check_gas(found, "0xw", "mint", 15 * 10**14, _GWEI, None)
    assert only(found).found == "mint, holds 0.001500 of the chain's coin: 10 transactions"


def server(**facts: Any) -> dict[str, Any]:
    """A sound PostgreSQL, but for `facts`."""
    return {
        "version_num": 160_003, "version": "PostgreSQL 16.3", "fsync": "on",
        "full_page_writes": "on", "synchronous_commit": "on", "epoch": 1000.0,
        "max_connections": 100, "connections": 80, **facts,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "check", "state", "words"),
    [
        ({"version_num": 140_012}, "database version", State.FAIL, "PostgreSQL 16.3"),
        ({"fsync": "off"}, "durable settings", State.FAIL, "off: fsync"),
        (
            {"full_page_writes": "off", "synchronous_commit": "off"},
            "durable settings",
            State.FAIL,
            "off: full_page_writes, synchronous_commit",
        ),
        ({"synchronous_commit": "remote_apply"}, "durable settings", State.OK, "are on"),
        ({"epoch": 1003.0}, "database clock", State.WARN, "3.0 s from this machine's"),
        ({"epoch": 997.5}, "database clock", State.WARN, "2.5 s from this machine's"),
        ({"connections": 81}, "connections", State.WARN, "81 of 100 are taken"),
    ],
)
def test_a_server_is_judged_by_what_it_says_of_itself(
    facts: dict[str, Any], check: str, state: State, words: str
) -> None:
    """An old version, settings that lose data, a clock apart, no room left: each by its name, with
    what to do, and nothing else."""
    found = Findings()
    judge_server(found, server(**facts), now=1000.0)
    told = {each.check: each for each in found.all}
    assert len(told) == 4
    assert (told[check].state, words in told[check].found) == (state, True), told[check]
    assert bool(told[check].remedy) == (state is not State.OK)
    assert {each.state for each in found.all if each.check != check} == {State.OK}


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
