"""Mints: the same transaction machinery for `mint_queue`, with the mint wallet."""

import time
from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from onsettle.chain import abi
from onsettle.chain.jsonrpc import RpcError
from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.network import Network, number
from onsettle.engine.wallet import Unit, View
from onsettle.store.database import Connection, Database, Record, changed, sql

_GAS_CAP = 25_000_000


class MintFeed:
    """Mints that wait. A batch is simulated as a whole; what fails in it goes one by one."""

    kind = "mint"

    def __init__(self, db: Database, network: Network) -> None:
        self._db = db
        self._network = network

    def limits(self, settings: RuntimeSettings) -> tuple[int, float]:
        return settings.mint_batch_size, settings.mint_batch_interval_ms / 1000

    def paused(self, _settings: RuntimeSettings) -> bool:
        return False

    async def waiting(self, settings: RuntimeSettings) -> tuple[int, float]:
        rows = await self._db.fetch(
            "mints_candidates", self._network.chain_id, settings.mint_batch_size
        )
        if not rows:
            return 0, 0.0
        return len(rows), time.time() - rows[0]["created_at"].timestamp()

    async def lock(self, connection: Connection, units: Sequence[Unit]) -> set[UUID]:
        wanted = [i for unit in units for i in unit.mint_ids]
        return {row["id"] for row in await connection.fetch(sql("mints_lock"), wanted)}

    async def signed(self, connection: Connection, rows: Sequence[tuple[UUID, int, str]]) -> int:
        columns = [list(column) for column in zip(*rows, strict=True)]
        return changed(await connection.execute(sql("mints_signed"), *columns))

    async def settled(self, ids: Sequence[UUID], _now: int) -> bool:
        rows = await self._db.fetch("mints_by_ids", list(ids))
        return bool(rows) and all(r["status"] == "completed" for r in rows)

    async def units(self, view: View, address: str, count: int) -> list[Unit]:
        rows = await self._db.fetch("mints_candidates", self._network.chain_id, max(count, 100))
        groups: dict[str, list[Record]] = defaultdict(list)
        for row in rows:
            groups[row["token_address"]].append(row)
        units: list[Unit] = []
        for token, group in groups.items():
            mints = group
            together = [m for m in mints if not m["alone"]]
            batch = await self._batch(view, address, token, together)
            if batch is not None:
                units.append(batch)
                mints = [m for m in mints if m["alone"]]
            for row in mints[: max(0, count - len(units))]:
                unit = await self._single(view, address, token, row)
                if unit is not None:
                    units.append(unit)
        return units[:count]

    async def _batch(
        self, view: View, address: str, token: str, mints: Sequence[Record]
    ) -> Unit | None:
        if len(mints) < 2:
            return None
        data = abi.batch_mint(
            [m["payer_address"] for m in mints], [m["tx_hash_bytes32"] for m in mints]
        )
        gas = await self._estimate(view, address, token, data)
        if isinstance(gas, str):
            return None
        return Unit(to=token, data=data, gas_limit=gas, mint_ids=tuple(m["id"] for m in mints))

    async def _single(self, view: View, address: str, token: str, row: Record) -> Unit | None:
        data = abi.mint(row["payer_address"], row["tx_hash_bytes32"])
        gas = await self._estimate(view, address, token, data)
        if isinstance(gas, int):
            return Unit(to=token, data=data, gas_limit=gas, mint_ids=(row["id"],))
        call = {"to": token, "data": "0x" + abi.has_minted(row["tx_hash_bytes32"]).hex()}
        if number(await view.endpoint.call("eth_call", call, "latest")) == 1:
            await self._db.execute("mints_done", [row["id"]])
        else:
            await self._db.execute("mints_back", [row["id"]], gas[:300])
        return None

    async def _estimate(self, view: View, address: str, token: str, data: bytes) -> int | str:
        """The gas limit, or why the call would revert."""
        call = {"from": address, "to": token, "data": "0x" + data.hex()}
        try:
            estimate = number(await view.endpoint.call("eth_estimateGas", call))
        except RpcError as error:
            return str(error)
        limit = estimate * 5 // 4 + 30_000
        return limit if limit <= _GAS_CAP else f"needs {estimate} gas, more than {_GAS_CAP}"
