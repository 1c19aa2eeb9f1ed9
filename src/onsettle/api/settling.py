"""`/settle`: from a committed payment to what x402 says of it.

What is committed may settle, so no trouble after the commit is ever told as a failure.
"""

import asyncio
from typing import Any
from uuid import UUID

import structlog
from x402.schemas import SettleResponse

from onsettle.api import x402
from onsettle.domain.payment import PaymentStatus, Reason
from onsettle.engine.commits import CommitUnknown
from onsettle.engine.request import Refused
from onsettle.engine.watch import Snapshot, Watch
from onsettle.runtime import Engine
from onsettle.store.database import UNAVAILABLE, Database, Record

# Below the 90 seconds after which the clients of stock servers give up.
MAX_WAIT_S = 60.0
_FAILED = (PaymentStatus.FAILED, PaymentStatus.CONFIRMATION_FAILED)
_AGAIN = "not confirmed yet: ask again with the same payload"

log = structlog.get_logger()


async def settled(engine: Engine, watch: Watch, body: object) -> SettleResponse:
    """Commit it, wait for it, and say what became of it."""
    try:
        exact = x402.read(body)
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
        accepted = await engine.intake.submit(exact.body, alone=not exact.packed)
    except CommitUnknown as unknown:
        words = "the database fell silent: it may be committed, ask again with the same payload"
        return _pending(exact, unknown.ids[0], words)
    except Refused as refused:
        reason = x402.reason_of_refusal(refused.code, otherwise="unexpected_settle_error")
        return _failure(exact, reason, refused.message)
    except UNAVAILABLE:
        return _failure(exact, "unexpected_settle_error", "the database does not answer: try again")
    return await _followed(engine, watch, exact, accepted.id)


async def _followed(
    engine: Engine, watch: Watch, exact: x402.Exact, payment_id: UUID
) -> SettleResponse:
    try:
        if exact.wait_until != "accepted":
            await _wait(watch, payment_id, exact)
        row = await engine.db.fetchrow("payment_get", payment_id)
        if row is not None:
            return _outcome(exact, row, failed=await is_failed(engine.db, row))
        log.error("payment_missing", payment=str(payment_id))
    except UNAVAILABLE as error:
        log.warning("settle_unread", payment=str(payment_id), problem=type(error).__name__)
    except Exception:
        log.exception("settle_unread", payment=str(payment_id))
    return _pending(exact, payment_id, _AGAIN)


def _asked_network(body: object) -> str:
    requirements = body.get("paymentRequirements") if isinstance(body, dict) else None
    network = requirements.get("network") if isinstance(requirements, dict) else None
    return network[:100] if isinstance(network, str) else ""


async def _wait(watch: Watch, payment_id: UUID, exact: x402.Exact) -> None:
    """Until it is decided, or for as long as the caller is ready to wait."""
    try:
        watch.need_room()
    except Refused:
        return  # nobody waits: the answer is how it stands
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


async def is_failed(db: Database, row: Record) -> bool:
    """Whether its failure is decided: nothing that is on its way can complete it.

    Out of time, or given up by hand, is not failed while a transaction that carries it may land.
    """
    if PaymentStatus(row["status"]) not in _FAILED:
        return False
    if row["final"]:
        return True
    if row["reason"] == Reason.TIMEOUT or row["needs_lookup"] or row["block_number"] is not None:
        return False
    return not await db.fetchval("payment_carried", row["chain_id"], row["id"])


def _outcome(exact: x402.Exact, row: Record, *, failed: bool) -> SettleResponse:
    status = PaymentStatus(row["status"])
    extra = {**_extra(row["id"]), "status": status.value}
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
    reason = x402.reason_of_failure(row["reason"]) if failed else "settlement_pending"
    words = row["error"] if failed else _AGAIN
    return _failure(exact, reason, words, transaction=row["tx_hash"] or "", extra=extra)


def _pending(exact: x402.Exact, payment_id: UUID, message: str) -> SettleResponse:
    return _failure(exact, "settlement_pending", message, extra=_extra(payment_id))


def _extra(payment_id: UUID) -> dict[str, Any]:
    return {"paymentId": str(payment_id), "statusUrl": f"/v1/payments/{payment_id}"}


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
