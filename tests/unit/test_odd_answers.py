"""What a node answers beside the point: no verdict, and about one call only."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest

from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.domain.authorization import Authorization
from onsettle.domain.outcome import Fate
from onsettle.engine.candidate import Candidate
from onsettle.engine.lookup import find
from onsettle.engine.named import Block, refuses_hashes
from onsettle.engine.network import Network, number, unhex
from onsettle.engine.simulation import Trial, simulate
from onsettle.engine.triage import Triage
from onsettle.engine.unit import View
from onsettle.store.database import Database, Record

_ONE, _NONE, _MUCH = (f"0x{value:064x}" for value in (1, 0, 10**6))
_ASSET = "0x" + "aa" * 20


class _Node:
    """Answers each batch with what is next."""

    reads_by_hash = True

    def __init__(self, *answers: Sequence[object]) -> None:
        self._answers = list(answers)
        self.reads_by_hash = True

    async def batch(self, calls: Sequence[Call]) -> list[object]:
        answers = list(self._answers.pop(0))
        assert len(answers) == len(calls)
        return answers


class _Books:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[tuple[str, Any]] = []

    async def execute(self, query: str, *args: Any) -> int:
        self.written.append((query, args))
        return 1


@pytest.mark.parametrize(
    "answer", ["0x", "0xzz", "0x1_0", "0x 1", "0x-1", "", "1", "0X1", 1, None, [], {}, b"0x1"]
)
def test_what_is_no_quantity_is_an_error_of_the_node(answer: object) -> None:
    """Never a ValueError, which nobody expects, and never a number that was not there."""
    with pytest.raises(RpcError):
        number(answer)


@pytest.mark.parametrize("answer", ["0x1", "0xzz", "0x1 2", "0x 12", "12", "", 12, None, [], {}])
def test_what_is_no_data_is_an_error_of_the_node(answer: object) -> None:
    """Half a byte, other digits, another type."""
    with pytest.raises(RpcError):
        unhex(answer)


def test_good_answers_and_errors_pass() -> None:
    """Quantities with and without leading zeros, empty data, and errors as they are."""
    assert (number("0x0"), number("0xFf"), number(_MUCH)) == (0, 255, 10**6)
    assert (unhex("0x"), unhex("0xFf00")) == (b"", b"\xff\0")
    for error in (RpcError(3, "reverted"), RpcUnavailable("node", "silent")):
        with pytest.raises(type(error)):
            number(error)
        with pytest.raises(type(error)):
            unhex(error)


@pytest.mark.parametrize(
    "error",
    [
        RpcError(-32602, "invalid argument 1: not a block number"),  # geth's kind
        RpcError(-32602, "Invalid params"),  # Besu
        RpcError(-32700, 'Cannot wrap a "object" as a json-rpc type'),  # Ganache
        RpcError(-32000, "json: cannot unmarshal object into Go value of type string"),
        RpcError(-32603, "unable to parse block identifier"),
    ],
)
def test_a_node_that_takes_no_hashes_says_so_in_many_ways(error: RpcError) -> None:
    """It is read by numbers then."""
    assert refuses_hashes(error)


@pytest.mark.parametrize(
    "answer",
    [
        RpcError(-32602, "blockHash cannot be found"),  # Hardhat
        RpcError(-32000, "header not found"),
        RpcError(-32000, "unknown block"),
        RpcError(-32602, "Block not found"),
        RpcError(3, "execution reverted: cannot parse"),
        "0x",
    ],
)
def test_a_hash_that_is_not_known_does_not_end_reads_by_hash(answer: object) -> None:
    """Nor what a contract says: the next block is asked for by its hash again."""
    assert not refuses_hashes(answer)


async def test_a_look_up_finds_the_others() -> None:
    """One of three states can't be read: its payment is unknown, the others have their verdict."""
    row = {"payment_token_address": _ASSET, "payer": "0x" + "bb" * 20,
           "authorization_nonce": "0x" + "cc" * 32}  # fmt: skip
    node = cast(Endpoint, _Node([_NONE, "0x", _NONE]))
    block = Block(number=5, hash="0x" + "dd" * 32, time=0)
    found = await find(node, cast(list[Record], [row] * 3), block)
    assert [finding.fate for finding in found] == [Fate.UNUSED, Fate.UNKNOWN, Fate.UNUSED]


def _candidate(at: int) -> Candidate:
    return Candidate(
        id=UUID(int=at),
        asset=_ASSET,
        authorization=Authorization(
            payer=f"0x{at:040x}", pay_to="0x" + "ee" * 20, value=1000, valid_after=0,
            valid_before=2**40, nonce="0x" + "cc" * 32, signature=b"\1" * 65,
        ),
        call=b"",
        alone=False,
        created_at=datetime.fromtimestamp(0, UTC),
    )  # fmt: skip


def _view(node: _Node) -> View:
    return View(
        endpoint=cast(Endpoint, node), number=1, hash="0x" + "dd" * 32, time=int(time.time()),
        base_fee=None, gas_price=1, gas_limit=1, latest=0, pending=0, balance=0, behind=False,
    )  # fmt: skip


async def test_a_simulation_tries_the_others() -> None:
    """Without a multicall each transfer has its own answer; one that is no data is undecided."""

    class _Bare:
        has_multicall = False

    view = _view(_Node(["0x", "0xnothing", "0x"]))
    candidates = [_candidate(at) for at in (1, 2, 3)]
    trials = await simulate(cast(Network, _Bare()), view, "0x" + "ff" * 20, candidates, {})
    assert [(t.passed, t.undecided) for t in trials] == [
        (True, False), (False, True), (True, False),
    ]  # fmt: skip


async def test_triage_judges_the_others() -> None:
    """One balance can't be read: its payment waits, and the poor one beside it fails."""
    books = _Books()
    view = _view(_Node([_NONE, "0x", _NONE, _NONE]))
    refused = [(_candidate(at), Trial(passed=False, reason="reverted")) for at in (1, 2)]
    triage = Triage(cast(Database, books), cast(Network, object()))
    await triage.judge(refused, {_ASSET}, view)
    assert [(query, args[0]) for query, args in books.written] == [
        ("payments_fail_pending", [UUID(int=2)]),
        ("payments_hold", [UUID(int=1)]),
    ]
