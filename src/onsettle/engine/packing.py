"""Which transfers share a transaction, and how much gas it may use."""

import time
from collections.abc import Sequence

from onsettle.chain import abi
from onsettle.chain.jsonrpc import RpcError
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
_SINGLE_CAP = 1_500_000


class TooMuchGas(Exception):
    """It needs more than a transaction may have; the text says how much."""


def limit_of(need: int, wanted: int, cap: int) -> int:
    """A gas limit up to `wanted`. Raises TooMuchGas: with less than it needs, it would burn it."""
    if need > cap:
        raise TooMuchGas(f"it needs {need} gas, and a transaction may have {cap} here")
    return min(wanted, cap)


class Gas:
    """What a transfer of each asset needs, estimated once in ten minutes, with room to spare.

    The room covers what one estimate can't show: a recipient's first tokens, cold slots.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._known: dict[str, tuple[float, int]] = {}

    async def single(self, candidate: Candidate, view: View, sender: str) -> int:
        """The gas limit of a transaction that carries this transfer only."""
        used = await self._estimate(candidate, view, sender)
        return min(used * 3 // 2 + 40_000, _SINGLE_CAP, self._cap(view))

    async def packed(self, candidate: Candidate, view: View, sender: str) -> int:
        """What this transfer adds to a pack."""
        used = await self._estimate(candidate, view, sender)
        return max(used - _BASE, 0) * 4 // 3 + 15_000

    def room(self, view: View) -> int:
        """What a pack may give to its transfers."""
        return self._cap(view) - _BASE - _PACK_BASE

    @staticmethod
    def of_pack(parts: int) -> int:
        """The gas limit of a pack whose transfers add `parts`."""
        return _BASE + _PACK_BASE + parts

    def _cap(self, view: View) -> int:
        return min(GAS_CAP, view.gas_limit // 2)

    async def _estimate(self, candidate: Candidate, view: View, sender: str) -> int:
        # A contract payer checks its signature as it likes: an estimate of its own.
        key = candidate.asset if candidate.plain else f"{candidate.asset}:{candidate.id}"
        known = self._known.get(key)
        if known is not None and time.monotonic() - known[0] < _KEEP_S:
            return known[1]
        data = candidate.call
        call = {"from": sender, "to": candidate.asset, "data": "0x" + data.hex()}
        estimate = number(await view.endpoint.call("eth_estimateGas", call))
        if candidate.plain:
            self._known[key] = (time.monotonic(), estimate)
        return estimate


async def units_of(
    network: Network,
    gas: Gas,
    candidates: Sequence[Candidate],
    together: int,
    view: View,
    sender: str,
) -> list[Unit]:
    """Transactions for these transfers, in order: packs of up to `together`, and single ones.

    One whose gas can't be estimated is left out: it is no verdict, and it comes again.
    """
    packs: list[Unit] = []
    alone: list[Unit] = []
    pack: list[Candidate] = []
    parts = 0
    most = min(together, MOST) if network.has_multicall else 1
    for candidate in candidates:
        try:
            if most == 1 or candidate.alone:
                alone.append(await _single(gas, candidate, view, sender))
                continue
            part = await gas.packed(candidate, view, sender)
        except RpcError:
            continue
        if pack and (len(pack) >= most or parts + part > gas.room(view)):
            packs.append(await _pack(network, gas, pack, parts, view, sender))
            pack, parts = [], 0
        pack.append(candidate)
        parts += part
    if pack:
        packs.append(await _pack(network, gas, pack, parts, view, sender))
    return packs + alone


async def _single(gas: Gas, candidate: Candidate, view: View, sender: str) -> Unit:
    return Unit(
        to=candidate.asset,
        data=candidate.call,
        gas_limit=await gas.single(candidate, view, sender),
        payment_ids=(candidate.id,),
    )


async def _pack(
    network: Network, gas: Gas, pack: Sequence[Candidate], parts: int, view: View, sender: str
) -> Unit:
    if len(pack) == 1:
        return await _single(gas, pack[0], view, sender)
    return Unit(
        to=network.config.multicall,
        data=abi.aggregate3([(c.asset, True, c.call) for c in pack]),
        gas_limit=gas.of_pack(parts),
        payment_ids=tuple(c.id for c in pack),
    )
