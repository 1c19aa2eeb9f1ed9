"""Would these transfers pass now? Asked in few calls, through Multicall3 where there is one."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onsettle.chain import abi
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.chain.reverts import is_revert, revert_reason
from onsettle.engine.candidate import Candidate
from onsettle.engine.network import Network, unhex

# Sub-calls of one eth_call: about 16 million gas, well below what nodes allow.
_AT_ONCE = 200

Purse = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How one transfer did on the latest state.

    `reason` is the revert's text. `undecided` marks what says nothing about the payment itself:
    the node could not run it, or the payer's money may be spent by what is on its way.
    """

    passed: bool
    reason: str = ""
    undecided: bool = False


async def simulate(
    network: Network,
    endpoint: Endpoint,
    sender: str,
    candidates: Sequence[Candidate],
    in_flight: Mapping[Purse, int],
) -> list[Trial]:
    """One trial for each candidate, in order.

    `in_flight` is what each purse has signed and unmined, atomic units: it only delays. Raises
    RpcUnavailable when the endpoint does not answer.
    """
    busy = _busy(candidates, in_flight)
    # Balances first: the transfers that follow in the same call would change them.
    calls = [(asset, abi.balance_of(payer)) for payer, asset in busy]
    calls += [(c.asset, c.call) for c in candidates]
    answers = await _run(network, endpoint, sender, calls)
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
    network: Network, endpoint: Endpoint, sender: str, calls: Sequence[tuple[str, bytes]]
) -> list[Answer]:
    if not network.has_multicall:
        return await _singly(endpoint, sender, calls)
    parts = await asyncio.gather(
        *(
            _together(network, endpoint, sender, calls[start : start + _AT_ONCE])
            for start in range(0, len(calls), _AT_ONCE)
        )
    )
    return [answer for part in parts for answer in part]


async def _together(
    network: Network, endpoint: Endpoint, sender: str, calls: Sequence[tuple[str, bytes]]
) -> list[Answer]:
    """One aggregate3. Where the outer call fails, the halves are asked."""
    data = abi.aggregate3([(to, True, data) for to, data in calls])
    call = {"from": sender, "to": network.config.multicall, "data": "0x" + data.hex()}
    try:
        answers = abi.decode_aggregate3(unhex(await endpoint.call("eth_call", call, "latest")))
        if len(answers) == len(calls):
            return list(answers)
    except (RpcError, ValueError):
        pass
    if len(calls) == 1:
        return await _singly(endpoint, sender, calls)
    half = len(calls) // 2
    first = await _together(network, endpoint, sender, calls[:half])
    return first + await _together(network, endpoint, sender, calls[half:])


async def _singly(
    endpoint: Endpoint, sender: str, calls: Sequence[tuple[str, bytes]]
) -> list[Answer]:
    found: list[Answer] = []
    requests = [
        Call("eth_call", ({"from": sender, "to": to, "data": "0x" + data.hex()}, "latest"))
        for to, data in calls
    ]
    for answer in await endpoint.batch(requests):
        if isinstance(answer, RpcUnavailable):
            raise answer
        found.append(_passed(answer))
    return found


def _passed(answer: object) -> Answer:
    """A call that did not revert. What can't be read says nothing, and of this call only."""
    try:
        return True, unhex(answer)
    except RpcError as error:
        return error
