"""Which transfers share a transaction, and how much gas it may use."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from onsettle.chain import abi
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.chain.reverts import is_revert
from onsettle.engine.candidate import Candidate
from onsettle.engine.network import Network, number
from onsettle.engine.unit import Unit, View

#: No transaction may have more (EIP-7825), whatever a block holds.
GAS_CAP = 16_000_000
#: Transfers of one transaction, however many the setting asks for.
MOST = 200

_KEEP_S = 600.0
_BASE = 21_000
# aggregate3 itself, and what the outermost call must keep back for the inner ones (EIP-150).
_PACK_BASE = 60_000
# A payer's contract checks its signature as it likes, at our cost: not above this, or so many times
# what a key's payer needs where gas is counted in larger units.
_CONTRACT_CAP = 1_500_000
_CONTRACT_TIMES = 4


class TooMuchGas(Exception):
    """It needs more than a transaction may have; the text says how much."""


def limit_of(need: int, wanted: int, cap: int) -> int:
    """A gas limit up to `wanted`. Raises TooMuchGas: with less than it needs, it would burn it."""
    if need > cap:
        raise TooMuchGas(f"it needs {need} gas, and a transaction may have {cap} here")
    return min(wanted, cap)


class Gas:
    """What transfers need. That of a key's payer is the asset's, and kept for ten minutes.

    The room that is added covers what one estimate can't show: a recipient's first tokens, cold
    slots.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, int]] = {}

    async def of(
        self, candidates: Sequence[Candidate], view: View, sender: str
    ) -> dict[UUID, int | str]:
        """What a transaction of each alone uses; in words, why that is not known."""
        found: dict[UUID, int | str] = {}
        waiting = [*candidates]
        while waiting:
            asked: list[Candidate] = []
            for candidate in waiting:
                if candidate.plain and (used := self._fresh(candidate.asset)) is not None:
                    found[candidate.id] = used
                elif not candidate.plain or candidate.asset not in {c.asset for c in asked}:
                    asked.append(candidate)
            answers = await self._ask(asked, view, sender)
            found |= {c.id: answer for c, answer in zip(asked, answers, strict=True)}
            waiting = [c for c in waiting if c.id not in found]
        return found

    def single(self, candidate: Candidate, used: int, view: View) -> int:
        """The gas limit of a transaction that carries this transfer only. Raises TooMuchGas."""
        return limit_of(used, used * 3 // 2 + 40_000, self._bound(candidate, view))

    @staticmethod
    def part(used: int) -> int:
        """What a transfer adds to a pack."""
        return max(used - _BASE, 0) * 4 // 3 + 15_000

    @staticmethod
    def room(view: View) -> int:
        """What a pack may give to its transfers."""
        return cap_of(view) - _BASE - _PACK_BASE

    @staticmethod
    def of_pack(parts: int) -> int:
        """The gas limit of a pack whose transfers add `parts`."""
        return _BASE + _PACK_BASE + parts

    def _fresh(self, asset: str) -> int | None:
        at, used = self._known.get(asset, (float("-inf"), 0))
        return used if time.monotonic() - at < _KEEP_S else None

    def _bound(self, candidate: Candidate, view: View) -> int:
        if candidate.plain:
            return cap_of(view)
        _, usual = self._known.get(candidate.asset, (0.0, 0))
        return min(max(_CONTRACT_CAP, _CONTRACT_TIMES * usual), cap_of(view))

    async def _ask(
        self, candidates: Sequence[Candidate], view: View, sender: str
    ) -> list[int | str]:
        calls: list[Call] = []
        for candidate in candidates:
            call = {"from": sender, "to": candidate.asset, "data": "0x" + candidate.call.hex()}
            if not candidate.plain:
                # No longer tried than it may go: it would hold up those that are asked with it.
                call["gas"] = hex(self._bound(candidate, view))
            calls.append(Call("eth_estimateGas", (call,)))
        answers = await view.endpoint.batch(calls) if calls else []
        return [self._used(c, a, view) for c, a in zip(candidates, answers, strict=True)]

    def _used(self, candidate: Candidate, answer: object, view: View) -> int | str:
        try:
            used = number(answer)
        except (RpcError, RpcUnavailable) as error:
            if candidate.opening and isinstance(error, RpcError) and is_revert(error):
                # The next block lets it pass. What it will use is what others used, or unknown.
                _, usual = self._known.get(candidate.asset, (0.0, 0))
                return usual or min(_CONTRACT_CAP, cap_of(view))
            within = "" if candidate.plain else f" within {self._bound(candidate, view)}"
            return f"its gas can't be estimated{within}: {error}"
        if candidate.plain:
            self._known[candidate.asset] = (time.monotonic(), used)
        return used


def cap_of(view: View) -> int:
    """The most gas that any transaction of ours may have."""
    return min(GAS_CAP, view.gas_limit // 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Transactions, in the order of the first transfer that each carries.

    `unfit` are those for which there is none, with the reason: it is no verdict.
    """

    units: list[Unit]
    unfit: list[tuple[Candidate, str]]


def pack(
    network: Network,
    candidates: Sequence[Candidate],
    used: Mapping[UUID, int | str],
    together: int,
    gas: Gas,
    view: View,
) -> Packed:
    """Packs of up to `together`, and single ones, for transfers that use `used`."""
    sized: list[tuple[Candidate, int]] = []
    packed = Packed(units=[], unfit=[])
    for candidate in candidates:
        known = used[candidate.id]
        if isinstance(known, int):
            sized.append((candidate, known))
        else:
            packed.unfit.append((candidate, known))
    most = min(together, MOST) if network.has_multicall else 1
    for group in _groups(sized, most, gas.room(view)):
        if len(group) > 1:
            packed.units.append(_together(network, group))
            continue
        [(one, need)] = group
        try:
            limit = gas.single(one, need, view)
        except TooMuchGas as error:
            packed.unfit.append((one, str(error)))
        else:
            unit = Unit(to=one.asset, data=one.call, gas_limit=limit, payment_ids=(one.id,))
            packed.units.append(unit)
    return packed


def _groups(
    sized: Sequence[tuple[Candidate, int]], most: int, room: int
) -> list[list[tuple[Candidate, int]]]:
    groups: list[list[tuple[Candidate, int]]] = []
    open_: list[tuple[Candidate, int]] = []
    parts = 0
    for candidate, used in sized:
        if most == 1 or candidate.alone:
            groups.append([(candidate, used)])
            continue
        part = Gas.part(used)
        if not open_ or len(open_) >= most or parts + part > room:
            open_, parts = [], 0
            groups.append(open_)
        open_.append((candidate, used))
        parts += part
    return groups


def _together(network: Network, group: Sequence[tuple[Candidate, int]]) -> Unit:
    return Unit(
        to=network.config.multicall,
        data=abi.aggregate3([(c.asset, True, c.call) for c, _ in group]),
        gas_limit=Gas.of_pack(sum(Gas.part(used) for _, used in group)),
        payment_ids=tuple(c.id for c, _ in group),
    )
