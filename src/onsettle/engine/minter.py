"""Mints: the same transaction machinery for `mint_queue`, with the mint wallet."""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from uuid import UUID

import structlog

from onsettle.chain import abi
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.chain.reverts import is_revert, revert_data, revert_reason
from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.network import Network, number
from onsettle.engine.packing import GAS_CAP, TooMuchGas, limit_of
from onsettle.engine.unit import Unit, View
from onsettle.store.database import Connection, Database, Record, changed, sql

log = structlog.get_logger()

# Batches that are signed in one commit.
_BATCHES = 8
_KEEP_S = 600.0
_BASE = 21_000
_BATCH_BASE = 40_000
_PAIR = 2
# Of one transaction, where a mint's gas can't be estimated.
_MOST = 100
# So many are asked what a mint needs, before it is taken as unknown.
_TELLING = 3


class MintFeed:
    """Mints that wait.

    A batch is tried as a whole in one call. When that reverts, each mint is tried by itself: those
    that would pass go together, the others wait, each for itself. A token that does not answer
    holds up no other one.
    """

    kind = "mint"

    def __init__(self, db: Database, network: Network) -> None:
        self._db = db
        self._network = network
        self._gas: dict[str, tuple[float, int]] = {}
        #: Tokens without `batchMint`, until when this is believed.
        self._single: dict[str, float] = {}
        #: What each token answered last to a mint that it refuses, and when that was told.
        self._told: dict[str, tuple[str, float]] = {}

    def limits(self, settings: RuntimeSettings) -> tuple[int, float]:
        return settings.mint_batch_size, settings.mint_batch_interval_ms / 1000

    def per_commit(self, settings: RuntimeSettings) -> int:
        return settings.mint_batch_size * _BATCHES

    def per_transaction(self, settings: RuntimeSettings) -> int:
        return settings.mint_batch_size

    def paused(self, _settings: RuntimeSettings) -> bool:
        return False

    async def waiting(self, settings: RuntimeSettings) -> tuple[int, float]:
        row = await self._db.fetchrow(
            "mints_waiting", self._network.chain_id, settings.mint_batch_size
        )
        if row is None or not row["count"]:
            return 0, 0.0
        return row["count"], time.time() - row["oldest"].timestamp()

    def give_back(self, _units: Sequence[Unit]) -> None:
        """Nothing is kept between picking and signing."""

    async def lock(self, connection: Connection, units: Sequence[Unit]) -> set[UUID]:
        wanted = [i for unit in units for i in unit.mint_ids]
        return {row["id"] for row in await connection.fetch(sql("mints_lock"), wanted)}

    async def signed(self, connection: Connection, rows: Sequence[tuple[UUID, int, str]]) -> int:
        columns = [list(column) for column in zip(*rows, strict=True)]
        return changed(await connection.execute(sql("mints_signed"), *columns))

    async def settled(self, ids: Sequence[UUID], _now: int) -> bool:
        rows = await self._db.fetch("mints_by_ids", list(ids))
        # Without the block in which it was seen, nothing says that it still stands.
        return bool(rows) and all(
            r["status"] == "completed" and r["block_number"] is not None for r in rows
        )

    async def units(
        self, view: View, address: str, count: int, settings: RuntimeSettings
    ) -> list[Unit]:
        rows = await self._db.fetch("mints_candidates", self._network.chain_id, count)
        groups: dict[str, list[Record]] = defaultdict(list)
        for row in rows:
            groups[row["token_address"]].append(row)
        units: list[Unit] = []
        silent: list[tuple[list[Record], RpcUnavailable]] = []
        for token, group in groups.items():
            if trouble := self._network.tokens.mint_tokens.get(token):
                # Without hasMinted, a mint could be doubled.
                await self._hold(group, trouble.message)
                continue
            try:
                units += await self._of_token(view, address, token, group, settings)
            except RpcUnavailable as error:
                silent.append((group, error))
            except RpcError as error:
                await self._hold(group, str(error))
        if silent and len(silent) == len(groups):
            raise silent[0][1]  # it is the node
        for group, failure in silent:
            await self._hold(group, str(failure))
        return units

    async def _of_token(
        self,
        view: View,
        address: str,
        token: str,
        group: Sequence[Record],
        settings: RuntimeSettings,
    ) -> list[Unit]:
        together = [m for m in group if not m["alone"]]
        alone = [m for m in group if m["alone"]]
        if self._single.get(token, 0) > time.monotonic():
            alone, together = [*group], []
        size = settings.mint_batch_size
        if together:
            size = min(size, await self._most(view, address, token, together))
        units: list[Unit] = []
        for start in range(0, len(together), size):
            units += await self._batch(view, address, token, together[start : start + size])
        # One by one is dear: a few at a time.
        return units + await self._singles(view, address, token, alone[: settings.mint_batch_size])

    async def _batch(
        self, view: View, address: str, token: str, mints: Sequence[Record]
    ) -> list[Unit]:
        if len(mints) < 2:
            return await self._singles(view, address, token, mints)
        unit = await self._unit(view, address, token, mints)
        if unit is not None and await _passes(view, address, unit):
            return [unit]
        good = await self._passing(view, address, token, mints)
        if len(good) < 2:
            return await self._singles(view, address, token, good)
        # Each alone would pass. Together they may cross the supply cap: as many as fit.
        while len(good) > 1:
            unit = await self._unit(view, address, token, good)
            if unit is not None and await _passes(view, address, unit):
                return [unit]
            if len(good) <= _PAIR:
                break
            good = good[: max(_PAIR, len(good) // 2)]
        # Not even two together: this token has no batchMint.
        log.info("mints_one_by_one", token=token)
        self._single[token] = time.monotonic() + _KEEP_S
        return await self._singles(view, address, token, good)

    async def _most(self, view: View, address: str, token: str, mints: Sequence[Record]) -> int:
        """How many mints fit into one transaction's gas."""
        each = await self._gas_of(view, address, token, mints)
        if each is None:
            return _MOST
        return max(1, (_cap(view) - _BASE - _BATCH_BASE) // each)

    async def _singles(
        self, view: View, address: str, token: str, mints: Sequence[Record]
    ) -> list[Unit]:
        """Each in a transaction of its own, with the gas that itself needs."""
        datas = [abi.mint(m["payer_address"], m["tx_hash_bytes32"]) for m in mints]
        calls = [Call("eth_estimateGas", (_request(address, token, data),)) for data in datas]
        units: list[Unit] = []
        tried = await self._tried(view, token, mints, calls)
        for mint, data in zip(mints, datas, strict=True):
            if (answer := tried.get(mint["id"])) is None:
                continue
            try:
                gas = limit_of(need := number(answer), need + _room(need), _cap(view))
            except (RpcError, TooMuchGas) as error:
                await self._hold([mint], str(error))
                continue
            units.append(Unit(to=token, data=data, gas_limit=gas, mint_ids=(mint["id"],)))
        return units

    async def _unit(
        self, view: View, address: str, token: str, mints: Sequence[Record]
    ) -> Unit | None:
        each = await self._gas_of(view, address, token, mints)
        if each is None:
            return None
        data = abi.batch_mint(
            [m["payer_address"] for m in mints], [m["tx_hash_bytes32"] for m in mints]
        )
        return Unit(
            to=token,
            data=data,
            gas_limit=min(_BASE + _BATCH_BASE + each * len(mints), _cap(view)),
            mint_ids=tuple(m["id"] for m in mints),
        )

    async def _gas_of(
        self, view: View, address: str, token: str, mints: Sequence[Record]
    ) -> int | None:
        """What one of these needs beside the transaction itself, with room for cold slots."""
        known = self._gas.get(token)
        if known is not None and time.monotonic() - known[0] < _KEEP_S:
            return known[1]
        for mint in mints[:_TELLING]:
            data = abi.mint(mint["payer_address"], mint["tx_hash_bytes32"])
            try:
                call = _request(address, token, data)
                estimate = number(await view.endpoint.call("eth_estimateGas", call))
            except RpcError:
                continue
            each = max(estimate - _BASE, 0) + _room(estimate)
            self._gas[token] = (time.monotonic(), each)
            return each
        return None

    async def _passing(
        self, view: View, address: str, token: str, mints: Sequence[Record]
    ) -> list[Record]:
        """Those that would pass alone. The others wait, or are found to be minted already."""
        calls = [
            _call(address, token, abi.mint(m["payer_address"], m["tx_hash_bytes32"])) for m in mints
        ]
        tried = await self._tried(view, token, mints, calls)
        return [mint for mint in mints if mint["id"] in tried]

    async def _tried(
        self, view: View, token: str, mints: Sequence[Record], calls: Sequence[Call]
    ) -> dict[UUID, object]:
        """What the node answers for those that would pass; the others are given back."""
        answers = await view.endpoint.batch(calls) if calls else []
        good: dict[UUID, object] = {}
        bad: list[tuple[Record, str]] = []
        for mint, answer in zip(mints, answers, strict=True):
            if isinstance(answer, RpcUnavailable):
                raise answer
            if not isinstance(answer, RpcError):
                good[mint["id"]] = answer
            elif is_revert(answer):
                bad.append((mint, revert_reason(revert_data(answer)) or str(answer)))
            else:
                await self._hold([mint], str(answer))
        if bad and not view.behind:
            await self._judge(view, token, bad)
        return good

    async def _judge(self, view: View, token: str, bad: Sequence[tuple[Record, str]]) -> None:
        calls = [_call(None, token, abi.has_minted(m["tx_hash_bytes32"])) for m, _ in bad]
        # Deep enough is decided by the confirmer; what it has not seen yet comes again.
        done: list[UUID] = []
        refused: Counter[str] = Counter()
        for (mint, text), answer in zip(bad, await view.endpoint.batch(calls), strict=True):
            try:
                if number(answer) == 1:
                    done.append(mint["id"])
                    continue
            except (RpcError, RpcUnavailable) as error:
                text = f"{text}; hasMinted: {error}"
            await self._db.execute("mints_back", [mint["id"]], text[:300])
            refused[text[:300]] += 1
        if done:
            await self._db.execute("mints_seen", done)
        if refused:
            self._tell(token, *refused.most_common(1)[0])

    def _tell(self, token: str, text: str, count: int) -> None:
        """Once, and again when the token says something else or goes on for long."""
        told, at = self._told.get(token, ("", 0.0))
        if told != text or time.monotonic() - at > _KEEP_S:
            self._told[token] = (text, time.monotonic())
            log.warning("mint_refused", token=token, mints=count, error=text)

    async def _hold(self, mints: Sequence[Record], text: str) -> None:
        """Nothing was found out about these: others first."""
        await self._db.execute("mints_hold", [m["id"] for m in mints], text[:300])


def _cap(view: View) -> int:
    return min(GAS_CAP, view.gas_limit // 2)


def _room(estimate: int) -> int:
    """For what one estimate can't show: cold slots, a first balance."""
    return max(estimate - _BASE, 0) // 4 + 25_000


def _request(sender: str | None, to: str, data: bytes) -> dict[str, str]:
    call = {"to": to, "data": "0x" + data.hex()}
    return call if sender is None else call | {"from": sender}


def _call(sender: str | None, to: str, data: bytes) -> Call:
    return Call("eth_call", (_request(sender, to, data), "latest"))


async def _passes(view: View, address: str, unit: Unit) -> bool:
    """Whether the call would succeed with its gas. No answer at all raises: it is no verdict."""
    request = _request(address, unit.to, unit.data) | {"gas": hex(unit.gas_limit)}
    try:
        await view.endpoint.call("eth_call", request, "latest")
    except RpcError as error:
        if is_revert(error):
            return False
        raise
    return True
