"""An x402 facilitator, versions 1 and 2: `/verify`, `/settle`, `/supported`.

Business answers are always HTTP 200: stock servers take anything else for a broken facilitator.
"""

import asyncio
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from x402.schemas import SettleResponse, SupportedKind, SupportedResponse, VerifyResponse

from onsettle.api import schemas, x402
from onsettle.api.answers import Json
from onsettle.api.bodies import need_key, read_json
from onsettle.chain import abi
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.chain.reverts import is_revert, revert_data, revert_reason
from onsettle.domain.payment import PaymentStatus
from onsettle.engine.network import number
from onsettle.engine.request import Refused
from onsettle.engine.request import Request as Payment
from onsettle.engine.watch import Snapshot, Watch
from onsettle.runtime import Engine
from onsettle.store.database import UNAVAILABLE, Record

# Below the 90 seconds after which the clients of stock servers give up.
MAX_WAIT_S = 60.0
_FAILED = (PaymentStatus.FAILED, PaymentStatus.CONFIRMATION_FAILED)


def facilitator(engine: Engine, watch: Watch) -> APIRouter:
    routes = APIRouter(tags=["x402"])

    @routes.post(
        "/verify", summary="Would this x402 payment settle?", response_model=VerifyResponse
    )
    async def verify(request: Request) -> Json:
        need_key(request, engine.config)
        body = await read_json(request)
        return _answer(await _verified(engine, body))

    @routes.post("/settle", **schemas.SETTLE)
    async def settle(request: Request) -> Json:
        """The same payload again gets the same answer: it is the same payment."""
        need_key(request, engine.config)
        body = await read_json(request)
        return _answer(await _settled(engine, watch, body))

    @routes.get("/supported", summary="What can be settled", response_model=SupportedResponse)
    async def supported() -> Json:
        return _answer(await _supported(engine))

    return routes


def _answer(model: VerifyResponse | SettleResponse | SupportedResponse) -> Json:
    return Json(model.model_dump(mode="json", by_alias=True, exclude_none=True))


async def _supported(engine: Engine) -> SupportedResponse:
    names = {chain_id: name for name, chain_id in x402.NAMES.items()}
    kinds: list[SupportedKind] = []
    for chain_id in engine.networks:
        network = f"eip155:{chain_id}"
        kinds.append(SupportedKind(x402_version=2, scheme=x402.SCHEME, network=network))
        if chain_id in names:
            kinds.append(SupportedKind(x402_version=1, scheme=x402.SCHEME, network=names[chain_id]))
    wallets = await engine.db.fetch("wallets_list", None)
    signers = [row["address"] for row in wallets if row["role"] == "payment"]
    return SupportedResponse(kinds=kinds, signers={"eip155:*": signers})


async def _verified(engine: Engine, body: object) -> VerifyResponse:
    payer: str | None = None
    try:
        exact = x402.read(body, engine.networks)
        payer = exact.payer
        [examined] = await engine.intake.examine([exact.body])
        if isinstance(examined, Refused):
            raise examined
        if examined.refusal is not None:
            raise examined.refusal
        await _simulate(engine, examined.request)
    except x402.Unfit as unfit:
        return VerifyResponse(
            is_valid=False,
            invalid_reason=unfit.reason,
            invalid_message=unfit.message,
            payer=unfit.payer or payer,
        )
    except Refused as refused:
        reason = x402.reason_of_refusal(refused.code, otherwise="unexpected_verify_error")
        return VerifyResponse(
            is_valid=False, invalid_reason=reason, invalid_message=refused.message, payer=payer
        )
    except UNAVAILABLE:
        return VerifyResponse(
            is_valid=False,
            invalid_reason="unexpected_verify_error",
            invalid_message="the database does not answer: try again",
            payer=payer,
        )
    return VerifyResponse(is_valid=True, payer=payer)


async def _simulate(engine: Engine, payment: Payment) -> None:
    """Ask the chain whether the transfer would go through now; raises Unfit and Refused."""
    auth = payment.authorization
    calls = [
        abi.transfer_with_authorization(auth),
        abi.authorization_state(auth.payer, auth.nonce),
        abi.balance_of(auth.payer),
    ]
    network = engine.networks[payment.chain_id]
    silent = Refused("chain_unavailable", "no node answers: try again", 503)
    try:
        transfer, used, balance = await network.pool.batch(
            [
                Call("eth_call", ({"to": payment.asset, "data": "0x" + data.hex()}, "latest"))
                for data in calls
            ]
        )
        if number(used) == 1:
            raise x402.Unfit(
                "invalid_exact_evm_nonce_already_used", "the authorization is used or cancelled"
            )
        if number(balance) < auth.value:
            raise x402.Unfit("insufficient_funds", "the payer holds less than that")
    except (RpcError, RpcUnavailable):
        raise silent from None
    if isinstance(transfer, RpcError) and is_revert(transfer):
        why = revert_reason(revert_data(transfer)) or transfer.message
        raise x402.Unfit("invalid_exact_evm_transaction_simulation_failed", why)
    if isinstance(transfer, Exception):
        raise silent


async def _settled(engine: Engine, watch: Watch, body: object) -> SettleResponse:
    try:
        exact = x402.read(body, engine.networks)
    except x402.Unfit as unfit:
        return SettleResponse(
            success=False,
            error_reason=unfit.reason,
            error_message=unfit.message,
            payer=unfit.payer,
            transaction="",
            network=_asked_network(body),
        )
    try:
        accepted = await engine.intake.submit(exact.body)
        if exact.wait_until != "accepted":
            await _wait(watch, accepted.id, exact)
        row = await engine.db.fetchrow("payment_get", accepted.id)
    except Refused as refused:
        reason = x402.reason_of_refusal(refused.code, otherwise="unexpected_settle_error")
        return _failure(exact, reason, refused.message)
    except UNAVAILABLE:
        # It may be committed: the same payload again tells.
        return _failure(exact, "unexpected_settle_error", "the database does not answer: try again")
    if row is None:
        raise RuntimeError(f"payment {accepted.id} was accepted and is not there")
    return _outcome(exact, row)


def _asked_network(body: object) -> str:
    requirements = body.get("paymentRequirements") if isinstance(body, dict) else None
    network = requirements.get("network") if isinstance(requirements, dict) else None
    return network[:100] if isinstance(network, str) else ""


async def _wait(watch: Watch, payment_id: UUID, exact: x402.Exact) -> None:
    """Until it is decided, or for as long as the caller is ready to wait."""
    watch.need_room()
    news = watch.follow(payment_id)
    try:
        async with asyncio.timeout(max(1.0, min(MAX_WAIT_S, exact.max_timeout_s))):
            async for snapshot in news:
                if _over(snapshot, exact.wait_until):
                    return
    except TimeoutError:
        return
    finally:
        await news.aclose()


def _over(snapshot: Snapshot, wait_until: str) -> bool:
    status = PaymentStatus(snapshot.status)
    if status is PaymentStatus.SENT:
        return wait_until == "submitted"
    return status is PaymentStatus.COMPLETED or status in _FAILED


def _outcome(exact: x402.Exact, row: Record) -> SettleResponse:
    status = PaymentStatus(row["status"])
    extra: dict[str, Any] = {
        "paymentId": str(row["id"]),
        "statusUrl": f"/v1/payments/{row['id']}",
        "status": status.value,
    }
    risked = (exact.wait_until == "accepted" and status not in _FAILED) or (
        exact.wait_until == "submitted" and status is PaymentStatus.SENT
    )
    if status is PaymentStatus.COMPLETED or risked:
        return SettleResponse(
            success=True,
            payer=row["payer"],
            transaction=row["tx_hash"] or "",
            network=exact.network,
            amount=format(row["amount"], "f"),
            extra=extra,
        )
    # Out of time is not failed: it is still watched, and may complete.
    decided = status in _FAILED and row["reason"] != "timeout"
    reason = x402.reason_of_failure(row["reason"]) if decided else "settlement_pending"
    words = row["error"] if decided else "not confirmed yet: ask again with the same payload"
    return _failure(exact, reason, words, transaction=row["tx_hash"] or "", extra=extra)


def _failure(
    exact: x402.Exact,
    reason: str,
    message: str | None,
    *,
    transaction: str = "",
    extra: dict[str, Any] | None = None,
) -> SettleResponse:
    return SettleResponse(
        success=False,
        error_reason=reason,
        error_message=message,
        payer=exact.payer,
        transaction=transaction,
        network=exact.network,
        extra=extra,
    )
