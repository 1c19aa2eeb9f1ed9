"""Would these transfers pass now? Asked in few calls, through Multicall3 where there is one.

All of it is asked of the block that the wallet looks at.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onsettle.chain import abi
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.chain.reverts import is_revert, revert_reason
from onsettle.engine.candidate import Candidate
from onsettle.engine.named import read_at
from onsettle.engine.network import Network, unhex
from onsettle.engine.unit import View

# Sub-calls of one eth_call: about 16 million gas, well below what nodes allow.
_AT_ONCE = 200
_NOBODY = "0x" + "00" * 20

Purse = tuple[str, str]


class NotRead(Exception):
    """The node does not read state at this block, so nothing is known; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How one transfer did.

    `reason` is the revert's text. `undecided` marks what says nothing about the payment itself:
    the node could not run it, or the payer's money may be spent by what is on its way.
    """

    passed: bool
    reason: str = ""
    undecided: bool = False


async def simulate(
    network: Network,
    view: View,
    sender: str,
    candidates: Sequence[Candidate],
    in_flight: Mapping[Purse, int],
) -> list[Trial]:
    """One trial for each candidate, in order.

    `in_flight` is what each purse has signed and unmined, atomic units: it only delays. Raises
    RpcUnavailable when the endpoint does not answer, NotRead when it does not know the block.
    """
    busy = _busy(candidates, in_flight)
    # Balances first: the transfers that follow in the same call would change them.
    calls = [(asset, abi.balance_of(payer)) for payer, asset in busy]
    calls += [(c.asset, c.call) for c in candidates]
    answers = await _run(network, view, sender, calls)
    balances = {
        purse: _balance(answer) for purse, answer in zip(busy, answers[: len(busy)], strict=True)
    }
    trials = [_trial(answer) for answer in answers[len(busy) :]]
    return _within_means(candidates, trials, balances, in_flight)


def _busy(candidates: Sequence[Candidate], in_flight: Mapping[Purse, int]) -> list[Purse]:
    """Purses that more than one transfer draws from: each alone passing proves too little."""
    drawn = Counter(c.purse for c in candidates)
    return [purse for purse, times in drawn.items() if times > 1 or in_flight.get(purse)]


def _within_means(
    candidates: Sequence[Candidate],
    trials: Sequence[Trial],
    balances: Mapping[Purse, int | None],
    in_flight: Mapping[Purse, int],
) -> list[Trial]:
    spent: Counter[Purse] = Counter(in_flight)
    checked: list[Trial] = []
    for candidate, trial in zip(candidates, trials, strict=True):
        purse, value = candidate.purse, candidate.authorization.value
        if trial.passed and purse in balances:
            balance = balances[purse]
            if balance is None or balance - spent[purse] < value:
                checked.append(
                    Trial(passed=False, reason="the payer has payments in flight", undecided=True)
                )
                continue
            spent[purse] += value
        elif not trial.passed and spent[purse]:
            # What it has in flight may be why: only a delay, never a failure.
            trial = Trial(passed=False, reason=trial.reason, undecided=True)
        checked.append(trial)
    return checked


Answer = tuple[bool, bytes] | RpcError


def _trial(answer: Answer) -> Trial:
    if isinstance(answer, RpcError):
        return Trial(passed=False, reason=str(answer), undecided=not is_revert(answer))
    passed, data = answer
    return Trial(passed=passed, reason="" if passed else revert_reason(data))


def _balance(answer: Answer) -> int | None:
    if isinstance(answer, RpcError) or not answer[0]:
        return None
    try:
        return abi.decode_uint(answer[1])
    except ValueError:
        return None


async def _run(
    network: Network, view: View, sender: str, calls: Sequence[tuple[str, bytes]]
) -> list[Answer]:
    if not network.has_multicall:
        return await _singly(view, sender, calls)
    parts = await asyncio.gather(
        *(
            _together(network, view, sender, calls[start : start + _AT_ONCE])
            for start in range(0, len(calls), _AT_ONCE)
        )
    )
    return [answer for part in parts for answer in part]


async def _together(
    network: Network, view: View, sender: str, calls: Sequence[tuple[str, bytes]]
) -> list[Answer]:
    """One aggregate3. Where the outer call fails, the halves are asked."""
    data = abi.aggregate3([(to, True, data) for to, data in calls])
    try:
        call = _call(sender, network.config.multicall, data)
        [answer] = await read_at(view.endpoint, view.block, [call])
        answers = abi.decode_aggregate3(unhex(answer))
        if len(answers) == len(calls):
            return list(answers)
    except RpcError as error:
        if not is_revert(error):
            await _readable(view)
    except ValueError:
        pass
    if len(calls) == 1:
        return await _singly(view, sender, calls)
    half = len(calls) // 2
    first = await _together(network, view, sender, calls[:half])
    return first + await _together(network, view, sender, calls[half:])


async def _readable(view: View) -> None:
    """Raise NotRead where even a call of nothing is refused: it is not what was called."""
    [answer] = await read_at(view.endpoint, view.block, [_call(_NOBODY, _NOBODY, b"")])
    if isinstance(answer, RpcError):
        raise NotRead(f"the node does not read at block {view.number}: {answer}")


async def _singly(view: View, sender: str, calls: Sequence[tuple[str, bytes]]) -> list[Answer]:
    reads = [_call(sender, to, data) for to, data in calls]
    answers = await read_at(view.endpoint, view.block, reads)
    for answer in answers:
        if isinstance(answer, RpcUnavailable):
            raise answer
    return [_passed(answer) for answer in answers]


def _passed(answer: object) -> Answer:
    """A call that did not revert. What can't be read says nothing, and of this call only."""
    try:
        return True, unhex(answer)
    except RpcError as error:
        return error


def _call(sender: str, to: str, data: bytes) -> Call:
    return Call("eth_call", ({"from": sender, "to": to, "data": "0x" + data.hex()},))
