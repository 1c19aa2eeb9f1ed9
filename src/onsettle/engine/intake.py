"""Intake: check, deduplicate, commit, answer."""

import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onsettle.chain import abi
from onsettle.chain.crypto import authorization_digest, recover
from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.network import Network, number, unhex
from onsettle.engine.request import Refused, Request, address, parse
from onsettle.engine.settings import SettingsReader
from onsettle.store.database import Database, Record

# Less than this is left: it could not be sent and mined in time.
MIN_REMAINING_S = 6
MAX_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A committed payment; `known` says that it had been submitted before."""

    id: uuid.UUID
    status: str
    final: bool
    known: bool


class Intake:
    """Takes payments for the networks that are open. Safe to run in any number of processes."""

    def __init__(
        self,
        db: Database,
        networks: Mapping[int, Network],
        settings: SettingsReader,
        configured: int = 1,
    ) -> None:
        self._db = db
        self._networks = networks
        self._settings = settings
        self._configured = configured

    async def submit(self, body: Mapping[str, object]) -> Accepted:
        """Commit one payment; raises Refused."""
        answer = (await self.submit_many([body]))[0]
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def submit_many(self, bodies: Sequence[Mapping[str, object]]) -> list[Accepted | Refused]:
        """Commit many payments at once: one answer each, in order."""
        if len(bodies) > MAX_BATCH:
            raise Refused("batch_too_large", f"at most {MAX_BATCH} payments at once")
        settings = await self._settings.get()
        answers: list[Accepted | Refused | Request] = []
        for body in bodies:
            try:
                request = self._parse(body)
                await self._check_signature(request)
                answers.append(request)
            except Refused as refused:
                answers.append(refused)
        requests = [a for a in answers if isinstance(a, Request)]
        known = await self._known(requests)
        verdicts = await self._admit(requests, known, settings)
        await self._insert([r for r in requests if verdicts[id(r)] is True])
        rows = await self._known(requests)
        fresh = {r.id for r in requests if r.identity not in known}
        return [self._answer(a, verdicts, rows, fresh) for a in answers]

    def _parse(self, body: Mapping[str, object]) -> Request:
        if not isinstance(body, Mapping):
            raise Refused("invalid_request", "a payment must be an object")
        network = self._network(body.get("network"))
        assets = network.config.assets
        if body.get("asset") is None:
            if len(assets) != 1:
                raise Refused("invalid_request", "asset is needed: several are configured")
            asset = assets[0]
        else:
            asset = address(body["asset"], "asset")
        if asset not in assets:
            raise Refused("asset_not_allowed", f"{asset} is not one of ONSETTLE_ASSETS")
        request = parse(body, chain_id=network.chain_id, asset=asset)
        _check_catalogue(network, request)
        return request

    def _network(self, wanted: object) -> Network:
        if not self._networks:
            raise Refused("chain_unavailable", "no chain could be read yet: try again", 503)
        if wanted is None:
            if self._configured > 1:
                raise Refused("invalid_request", "network is needed: several are configured")
            return next(iter(self._networks.values()))
        for network in self._networks.values():
            if wanted in (f"eip155:{network.chain_id}", network.config.name):
                return network
        raise Refused("wrong_network", f"{str(wanted)[:40]} is not a network of this service")

    async def _check_signature(self, request: Request) -> None:
        network = self._networks[request.chain_id]
        auth = request.authorization
        digest = authorization_digest(network.domains[request.asset].separator, auth)
        if len(auth.signature) == 65 and recover(digest, auth.signature) == auth.payer:
            return
        # Not the payer's key: only a contract may still say yes (ERC-1271).
        call = {
            "to": auth.payer,
            "data": "0x" + abi.is_valid_signature(digest, auth.signature).hex(),
        }
        try:
            answer = unhex(await network.pool.call("eth_call", call, "latest"))
        except RpcError:
            answer = b""
        except RpcUnavailable:
            raise Refused(
                "chain_unavailable", "the signature may be a contract's: no node answers", 503
            ) from None
        if answer[:32] != abi.MAGIC_VALID_SIGNATURE:
            raise Refused("signature_invalid", "the signature is not the payer's for this token")

    async def _known(self, requests: Sequence[Request]) -> dict[tuple[int, str, str, str], Record]:
        if not requests:
            return {}
        columns = [list(column) for column in zip(*(r.identity for r in requests), strict=True)]
        rows = await self._db.fetch("payments_by_identity", *columns)
        return {
            (r["chain_id"], r["payment_token_address"], r["payer"], r["authorization_nonce"]): r
            for r in rows
        }

    async def _admit(
        self,
        requests: Sequence[Request],
        known: Mapping[tuple[int, str, str, str], Record],
        settings: RuntimeSettings,
    ) -> dict[int, bool | Refused]:
        """True: insert. False: known. Keyed by the request's own identity in memory."""
        verdicts: dict[int, bool | Refused] = {}
        fresh = [r for r in requests if r.identity not in known]
        room = await self._room(fresh, settings)
        for request in requests:
            row = known.get(request.identity)
            if row is not None:
                verdicts[id(request)] = False if _same(row, request) else _conflict(request)
                continue
            try:
                await self._check_window(request, settings)
                self._check_room(request, room, settings)
                verdicts[id(request)] = True
            except Refused as refused:
                verdicts[id(request)] = refused
        return verdicts

    async def _check_window(self, request: Request, settings: RuntimeSettings) -> None:
        auth = request.authorization
        network = self._networks[request.chain_id]
        now = max(int(time.time()), await network.chain_time())
        if auth.valid_after >= now:
            raise Refused("not_yet_valid", f"not valid before {auth.valid_after}")
        if auth.valid_before <= now and not await self._was_used(network, request):
            raise Refused("expired", f"validBefore {auth.valid_before} has passed")
        if now < auth.valid_before < now + MIN_REMAINING_S:
            raise Refused(
                "validity_too_short", f"less than {MIN_REMAINING_S} s of validity are left"
            )
        if auth.valid_before > now + settings.payment_max_validity_s:
            raise Refused(
                "validity_too_long",
                f"validBefore may be at most {settings.payment_max_validity_s} s away",
            )

    async def _was_used(self, network: Network, request: Request) -> bool:
        """An expired authorization that is used may have paid us already: it is looked up."""
        auth = request.authorization
        data = "0x" + abi.authorization_state(auth.payer, auth.nonce).hex()
        try:
            used = await network.pool.call(
                "eth_call", {"to": request.asset, "data": data}, "latest"
            )
        except (RpcError, RpcUnavailable):
            raise Refused(
                "chain_unavailable", "whether it was used can't be read: try again", 503
            ) from None
        return number(used) == 1

    async def _room(
        self, fresh: Sequence[Request], settings: RuntimeSettings
    ) -> Counter[tuple[int, str] | str]:
        """Unfinished payments by payer, and the depth of the queue under the key ''."""
        room: Counter[tuple[int, str] | str] = Counter()
        if not fresh:
            return room
        if settings.payments_paused:
            room["paused"] = 1
        room[""] = await self._db.fetchval("payments_pending_count", settings.payment_queue_limit)
        for chain_id in {r.chain_id for r in fresh}:
            payers = list({r.authorization.payer for r in fresh if r.chain_id == chain_id})
            rows = await self._db.fetch(
                "payments_unfinished_by_payer",
                chain_id,
                payers,
                settings.payment_max_pending_per_payer,
            )
            for row in rows:
                room[chain_id, row["payer"]] = row["unfinished"]
        return room

    def _check_room(
        self,
        request: Request,
        room: Counter[tuple[int, str] | str],
        settings: RuntimeSettings,
    ) -> None:
        if room["paused"]:
            raise Refused("paused", "payments are paused: try again later", 503)
        if room[""] >= settings.payment_queue_limit:
            raise Refused("queue_full", "the queue is full: try again later", 503)
        payer = (request.chain_id, request.authorization.payer)
        if room[payer] >= settings.payment_max_pending_per_payer:
            raise Refused(
                "too_many_pending",
                f"{payer[1]} has {room[payer]} unfinished payments: wait for some",
                429,
            )
        room[""] += 1
        room[payer] += 1

    async def _insert(self, requests: Sequence[Request]) -> None:
        once = {r.id: r for r in requests}
        if not once:
            return
        now = int(time.time())
        rows = [_row(r, looked_up=r.authorization.valid_before <= now) for r in once.values()]
        # One statement is one transaction: when it returns, all of it is committed.
        await self._db.fetch(
            "payments_insert", *[list(column) for column in zip(*rows, strict=True)]
        )

    def _answer(
        self,
        item: Accepted | Refused | Request,
        verdicts: Mapping[int, bool | Refused],
        rows: Mapping[tuple[int, str, str, str], Record],
        fresh: set[uuid.UUID],
    ) -> Accepted | Refused:
        if not isinstance(item, Request):
            return item
        verdict = verdicts[id(item)]
        if isinstance(verdict, Refused):
            return verdict
        row = rows[item.identity]
        if not _same(row, item):
            return _conflict(item)
        first = item.id in fresh
        fresh.discard(item.id)
        return Accepted(id=row["id"], status=row["status"], final=row["final"], known=not first)


def _check_catalogue(network: Network, request: Request) -> None:
    auth = request.authorization
    allowed = network.config.pay_to
    if allowed and auth.pay_to not in allowed:
        raise Refused("payee_not_allowed", f"{auth.pay_to} is not one of ONSETTLE_PAY_TO")
    if request.payment_type != "mint":
        return
    for token in network.config.mint_tokens:
        if token.address != request.token_address:
            continue
        if token.payee is not None and auth.pay_to != token.payee:
            raise Refused("payee_not_allowed", f"this token is paid to {token.payee}")
        if token.price is not None and auth.value != token.price * request.quantity:
            raise Refused(
                "price_mismatch",
                f"{request.quantity} of this token cost {token.price * request.quantity}",
            )
        return
    raise Refused("unknown_mint_token", f"{request.token_address} is not in ONSETTLE_MINT_TOKENS")


def _same(row: Record, request: Request) -> bool:
    auth = request.authorization
    return bool(
        row["pay_to"] == auth.pay_to
        and int(row["amount"]) == auth.value
        and row["valid_after"] == min(auth.valid_after, 2**62)
        and row["valid_before"] == min(auth.valid_before, 2**62)
        and row["payment_type"] == request.payment_type
        and row["token_address"] == request.token_address
        and (row["metadata"] or {}) == request.metadata
    )


def _conflict(request: Request) -> Refused:
    return Refused("conflict", f"payment {request.id} was submitted before with other content", 409)


def _row(request: Request, *, looked_up: bool) -> tuple[Any, ...]:
    auth = request.authorization
    stored = {
        "from": auth.payer,
        "to": auth.pay_to,
        "value": str(auth.value),
        "validAfter": str(auth.valid_after),
        "validBefore": str(auth.valid_before),
        "nonce": auth.nonce,
        "signature": "0x" + auth.signature.hex(),
    }
    return (
        request.id,
        request.chain_id,
        request.payment_type,
        request.token_address,
        stored,
        auth.payer,
        auth.value,
        request.asset,
        request.metadata,
        auth.pay_to,
        auth.nonce,
        min(auth.valid_after, 2**62),
        min(auth.valid_before, 2**62),
        request.quantity,
        looked_up,
    )
