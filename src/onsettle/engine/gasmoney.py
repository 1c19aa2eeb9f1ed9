"""A wallet's gas money: what it covers, and telling in time when it does not."""

import time
from collections.abc import Sequence

import structlog

from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.domain.fees import Fees, suggest, wei
from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.network import Network, number
from onsettle.engine.unit import Unit, View
from onsettle.store.database import Database

log = structlog.get_logger()

# A transfer by one of our wallets, with room: what a wallet must pay for that has sent nothing yet.
_ONE_TRANSFER = 150_000
# Between two looks at an idle wallet; at one that is dry, or that nothing is known of.
_LOOK_S = 10.0
_DRY_LOOK_S = 2.0
# What a dry wallet can't pay for is left to the others for so long.
_REST_S = 1.0

#: What tip a transaction needs now: some chains have a least one.
TIP = Call("eth_maxPriorityFeePerGas", ())


def tip_of(answer: object) -> int:
    """Wei per gas; 0 where the node does not say."""
    try:
        return number(answer)
    except (RpcError, RpcUnavailable):
        return 0


class GasMoney:
    """Of one wallet. What is told stands in its row: `balance`, `needs_balance`, `note`."""

    def __init__(self, db: Database, network: Network, address: str) -> None:
        self._db = db
        self._network = network
        self._address = address
        self._key = (network.chain_id, address)
        #: (what it needs, or None; what it holds), as it was told last.
        self._told: tuple[int | None, int] | None = None
        #: Gas of what it could not pay for.
        self._wanted = _ONE_TRANSFER
        self._rest_until = float("-inf")
        self._looked_at = float("-inf")

    @property
    def rests(self) -> bool:
        """It was dry a moment ago: others may have what waits."""
        return time.monotonic() < self._rest_until

    async def afford(
        self, view: View, live: int, units: Sequence[Unit], fees: Fees
    ) -> Sequence[Unit]:
        """As many as the wallet's gas money covers beside what is already in flight."""
        if not units:
            return units
        cost = sum(unit.gas_limit for unit in units) * fees.max_fee
        reserved = 0
        if live and view.balance < 100 * cost:
            reserved = int(await self._db.fetchval("wallet_reserved", *self._key, view.latest))
        purse = view.balance - reserved
        covered: list[Unit] = []
        for unit in units:
            purse -= unit.gas_limit * fees.max_fee
            if purse < 0:
                self._wanted = unit.gas_limit
                break
            covered.append(unit)
        dry = len(covered) < len(units)
        if not dry:
            self._wanted = _ONE_TRANSFER
        elif not covered:
            self._rest_until = time.monotonic() + _REST_S
        await self._tell(view.balance, view.balance - purse if dry else None)
        return covered

    async def look(self, live: int, base_fee: int | None, settings: RuntimeSettings) -> None:
        """While it sends nothing: whether it could, and whether somebody has topped it up."""
        needy = self._told is None or self._told[0] is not None
        if time.monotonic() - self._looked_at < (_DRY_LOOK_S if needy else _LOOK_S):
            return
        self._looked_at = time.monotonic()
        try:
            balance, price = await self._read(base_fee, settings)
        except (RpcError, RpcUnavailable):
            return  # a node that is down is told by those who need it
        needs = self._wanted * price
        if live and self._told is not None and self._told[0] is not None:
            # With what is in flight, as it was counted then.
            needs = self._told[0]
        await self._tell(balance, needs if balance < needs else None)

    async def _read(self, base_fee: int | None, settings: RuntimeSettings) -> tuple[int, int]:
        """What it holds, and what it would pay per gas."""
        price = TIP if base_fee else Call("eth_gasPrice", ())
        calls = [Call("eth_getBalance", (self._address, "latest")), price]
        answers = await self._network.pool.batch(calls)
        cap = wei(settings.max_fee_gwei)
        if not base_fee:
            return number(answers[0]), min(number(answers[1]), cap)
        tip = max(wei(settings.priority_fee_gwei), tip_of(answers[1]))
        return number(answers[0]), suggest(base_fee=base_fee, priority=tip, cap=cap).max_fee

    async def _tell(self, balance: int, needs: int | None) -> None:
        """Only when it says something new: a wallet's row is written for every batch already."""
        before = self._told
        if before == (needs, balance):
            return
        if before is not None and before[0] is None and needs is None:
            told = abs(before[1] - balance) * 20 < balance
            if told:
                return
        note = None
        if needs is not None:
            note = f"needs at least {needs} wei for gas, has {balance}"
            if before is None or before[0] is None:
                log.warning("wallet_dry", wallet=self._address, needs_wei=needs)
        await self._db.execute("wallet_purse", *self._key, balance, needs, note)
        self._told = (needs, balance)
