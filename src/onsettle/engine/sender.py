"""Phase 1: which payments go next, and how they are put on chain."""

import time
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import structlog

from onsettle.chain import abi
from onsettle.chain.codec import selector
from onsettle.chain.crypto import authorization_digest, recover
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcError
from onsettle.chain.reverts import revert_reason
from onsettle.domain.authorization import Authorization
from onsettle.domain.payment import Reason
from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.network import Network, number, unhex
from onsettle.engine.wallet import Unit, View
from onsettle.store.database import Connection, Database, Record, changed, sql

log = structlog.get_logger()

# Those with less than this left go ahead of the others.
_URGENT_S = 120
# Less than this left at signing: it would burn gas as a revert.
_TOO_SHORT_S = 4
_HOLD_S = 2.0
_GAS_CAP = 1_500_000


def authorization_of(row: Record) -> Authorization:
    """The authorization that a payment row carries, in canonical form."""
    raw = row["authorization"]
    return Authorization(
        payer=row["payer"],
        pay_to=row["pay_to"],
        value=int(row["amount"]),
        valid_after=row["valid_after"],
        valid_before=row["valid_before"],
        nonce=row["authorization_nonce"],
        signature=bytes.fromhex(raw["signature"][2:]),
    )


class PaymentFeed:
    """Payments that wait, simulated, one transaction each."""

    kind = "payment"

    def __init__(self, db: Database, network: Network) -> None:
        self._db = db
        self._network = network
        self._gas: dict[str, tuple[float, int]] = {}
        # Picked by another wallet of this process a moment ago: not simulated twice.
        self._taken: dict[UUID, float] = {}

    def limits(self, settings: RuntimeSettings) -> tuple[int, float]:
        return settings.payment_batch_size, settings.payment_batch_interval_ms / 1000

    def paused(self, settings: RuntimeSettings) -> bool:
        return settings.payments_paused

    async def waiting(self, settings: RuntimeSettings) -> tuple[int, float]:
        row = await self._db.fetchrow(
            "pending_stats", self._network.chain_id, settings.payment_batch_size
        )
        if row is None or not row["count"]:
            return 0, 0.0
        return row["count"], time.time() - row["oldest"].timestamp()

    async def lock(self, connection: Connection, units: Sequence[Unit]) -> set[UUID]:
        wanted = [i for unit in units for i in unit.payment_ids]
        return {row["id"] for row in await connection.fetch(sql("candidates_lock"), wanted)}

    async def signed(self, connection: Connection, rows: Sequence[tuple[UUID, int, str]]) -> int:
        columns = [list(column) for column in zip(*rows, strict=True)]
        return changed(await connection.execute(sql("payments_signed"), *columns))

    async def settled(self, ids: Sequence[UUID], now: int) -> bool:
        rows = await self._db.fetch("payments_by_ids", list(ids))
        return bool(rows) and all(
            r["final"] or r["block_number"] is not None or r["valid_before"] <= now for r in rows
        )

    async def units(self, view: View, address: str, count: int) -> list[Unit]:
        rows = await self._pick(view, count)
        rows = await self._in_time(rows, view)
        if not rows:
            return []
        ready = await self._simulate(rows, view, address)
        return [
            Unit(
                to=row["payment_token_address"],
                data=abi.transfer_with_authorization(authorization_of(row)),
                gas_limit=await self._gas_limit(row, view, address),
                payment_ids=(row["id"],),
            )
            for row in ready
        ]

    async def _pick(self, view: View, count: int) -> list[Record]:
        now = time.monotonic()
        self._taken = {i: t for i, t in self._taken.items() if now - t < 2}
        rows = await self._db.fetch(
            "candidates",
            self._network.chain_id,
            view.time + _URGENT_S,
            count + len(self._taken) + count,
        )
        free = [row for row in rows if row["id"] not in self._taken]
        # No payer takes the whole batch while others wait.
        share: Counter[str] = Counter()
        payers = len({row["payer"] for row in free})
        limit = count if payers <= 1 else max(1, count // 2)
        picked: list[Record] = []
        for row in free:
            if len(picked) < count and share[row["payer"]] < limit:
                share[row["payer"]] += 1
                picked.append(row)
        self._taken.update((row["id"], now) for row in picked)
        return picked

    async def _in_time(self, rows: Sequence[Record], view: View) -> list[Record]:
        """Fail what can't be mined in time; hold what is not valid yet."""
        now = max(view.time, int(time.time()))
        late = [r for r in rows if r["valid_before"] < now + _TOO_SHORT_S]
        early = [r for r in rows if r["valid_after"] >= view.time and r not in late]
        if late:
            expired = [r["valid_before"] <= view.time for r in late]
            # Expired by the chain: somebody may have landed it, so it is looked up.
            await self._db.execute(
                "payments_need_lookup",
                [r["id"] for r, gone in zip(late, expired, strict=True) if gone],
            )
            short = [r for r, gone in zip(late, expired, strict=True) if not gone]
            await self._fail(short, Reason.VALIDITY_TOO_SHORT, "too little validity is left")
        await self._hold(early, "not valid yet by the chain's clock")
        gone = {r["id"] for r in late} | {r["id"] for r in early}
        return [r for r in rows if r["id"] not in gone]

    async def _simulate(self, rows: Sequence[Record], view: View, address: str) -> list[Record]:
        in_flight = await self._db.fetch(
            "in_flight_of_payers", self._network.chain_id, list({r["payer"] for r in rows}), 1000
        )
        results = await self._try(list(in_flight) + list(rows), view.endpoint, address)
        busy = {r["payer"] for r in in_flight}
        ready: list[Record] = []
        failed: list[tuple[Record, str]] = []
        for row, (passed, reason) in zip(rows, results[len(in_flight) :], strict=True):
            if passed:
                ready.append(row)
                busy.add(row["payer"])
            else:
                failed.append((row, reason))
        if failed:
            await self._judge(failed, busy, view)
        return ready

    async def _try(
        self, rows: Sequence[Record], endpoint: Endpoint, address: str
    ) -> list[tuple[bool, str]]:
        """Each row's transfer in order, on the latest state: (would pass, revert reason)."""
        calls = [
            (r["payment_token_address"], True, abi.transfer_with_authorization(authorization_of(r)))
            for r in rows
        ]
        if self._network.has_multicall:
            results: list[tuple[bool, str]] = []
            for at in range(0, len(calls), 200):
                call = {
                    "from": address,
                    "to": self._network.config.multicall,
                    "data": "0x" + abi.aggregate3(calls[at : at + 200]).hex(),
                }
                answer = await endpoint.call("eth_call", call, "latest")
                results += [
                    (ok, "" if ok else revert_reason(data))
                    for ok, data in abi.decode_aggregate3(unhex(answer))
                ]
            return results
        answers = await endpoint.batch(
            [
                Call("eth_call", ({"from": address, "to": to, "data": "0x" + data.hex()}, "latest"))
                for to, _, data in calls
            ]
        )
        for answer in answers:
            if isinstance(answer, Exception) and not isinstance(answer, RpcError):
                raise answer
        return [
            (not isinstance(a, RpcError), str(a) if isinstance(a, RpcError) else "")
            for a in answers
        ]

    async def _judge(
        self, failed: Sequence[tuple[Record, str]], busy: set[str], view: View
    ) -> None:
        """A payment fails only for what is its own and permanent; the rest waits."""
        reads = [
            Call("eth_call", ({"to": row["payment_token_address"], "data": "0x" + data}, "latest"))
            for row, _ in failed
            for data in (
                abi.authorization_state(row["payer"], row["authorization_nonce"]).hex(),
                abi.balance_of(row["payer"]).hex(),
            )
        ]
        answers = await view.endpoint.batch(reads)
        for at, (row, text) in enumerate(failed):
            used, balance = number(answers[2 * at]), number(answers[2 * at + 1])
            if used:
                await self._db.execute("payments_need_lookup", [row["id"]])
            elif balance < int(row["amount"]) and row["payer"] not in busy:
                await self._fail(
                    [row],
                    Reason.INSUFFICIENT_BALANCE,
                    f"the payer holds {balance} of {int(row['amount'])}",
                )
            elif "signature" in text.lower() and await self._signature_bad(row, view):
                await self._fail([row], Reason.SIGNATURE_INVALID, text)
            elif "blacklisted" in text.lower() and await self._payer_blacklisted(row, view):
                await self._fail([row], Reason.BLACKLISTED, "the token's issuer blocks the payer")
            else:
                await self._hold([row], f"waits: {text or 'the transfer would revert'}")

    async def _signature_bad(self, row: Record, view: View) -> bool:
        auth = authorization_of(row)
        domain = self._network.domains[row["payment_token_address"]]
        digest = authorization_digest(domain.separator, auth)
        code = await view.endpoint.call("eth_getCode", auth.payer, "latest")
        if code in ("0x", None):
            return recover(digest, auth.signature) != auth.payer
        data = "0x" + abi.is_valid_signature(digest, auth.signature).hex()
        try:
            answer = await view.endpoint.call(
                "eth_call", {"to": auth.payer, "data": data}, "latest"
            )
        except RpcError:
            return True
        return unhex(answer)[:32] != abi.MAGIC_VALID_SIGNATURE

    async def _payer_blacklisted(self, row: Record, view: View) -> bool:
        data = "0x" + (selector("isBlacklisted(address)") + bytes(12)).hex() + row["payer"][2:]
        call = {"to": row["payment_token_address"], "data": data}
        try:
            return number(await view.endpoint.call("eth_call", call, "latest")) == 1
        except RpcError:
            return False

    async def _gas_limit(self, row: Record, view: View, address: str) -> int:
        """Estimated once per token and ten minutes, with room; a contract payer by itself."""
        asset = row["payment_token_address"]
        plain = len(row["authorization"]["signature"]) == 132
        cached = self._gas.get(asset)
        if plain and cached is not None and time.monotonic() - cached[0] < 600:
            return cached[1]
        data = abi.transfer_with_authorization(authorization_of(row))
        call = {"from": address, "to": asset, "data": "0x" + data.hex()}
        estimate = number(await view.endpoint.call("eth_estimateGas", call))
        limit = min(estimate * 3 // 2 + 40_000, _GAS_CAP)
        if plain:
            self._gas[asset] = (time.monotonic(), limit)
        return limit

    async def _fail(self, rows: Sequence[Record], reason: Reason, text: str) -> None:
        if rows:
            ids = [r["id"] for r in rows]
            await self._db.execute(
                "payments_fail_pending",
                ids,
                [reason.value] * len(ids),
                [text] * len(ids),
                [False] * len(ids),
            )
            log.info("payments_failed", reason=reason.value, count=len(ids))

    async def _hold(self, rows: Sequence[Record], text: str) -> None:
        if rows:
            ids = [r["id"] for r in rows]
            await self._db.execute("payments_hold", ids, [_HOLD_S] * len(ids), [text] * len(ids))
