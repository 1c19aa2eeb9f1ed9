"""How the service is doing, as JSON; and the two routes of the guide's own server."""

import uuid
from typing import Any

from fastapi import APIRouter, Request

from onsettle.api import schemas
from onsettle.api.answers import Json, when
from onsettle.api.bodies import need_key
from onsettle.api.payments import find
from onsettle.domain.payment import PaymentStatus
from onsettle.engine.insights import Insights, public
from onsettle.runtime import Engine
from onsettle.store.database import Record


def stats(engine: Engine, insights: Insights) -> APIRouter:
    routes = APIRouter(tags=["operations"])

    @routes.get("/v1/stats", **schemas.STATS)
    async def show(request: Request) -> Json:
        need_key(request, engine.config)
        return Json(public(await insights.read()))

    return routes


def guide(engine: Engine, insights: Insights) -> APIRouter:
    """`/api/…`: what the guide's server answered, for those who ask for it still."""
    routes = APIRouter(tags=["guide"])

    @routes.get("/api/payment/{payment_id}", summary="One payment, as the guide's server had it")
    async def payment(request: Request, payment_id: uuid.UUID) -> Json:
        need_key(request, engine.config)
        row = await find(engine, payment_id)
        return Json(
            {
                "paymentId": str(row["id"]),
                "paymentType": row["payment_type"],
                "status": row["status"],
                "payer": row["payer"],
                "amount": format(row["amount"], "f"),
                "paymentTokenAddress": row["payment_token_address"],
                "txHash": row["tx_hash"],
                "error": row["error"],
                "createdAt": when(row["created_at"]),
                "processedAt": when(row["processed_at"]),
                "result": await _result(engine, row),
            }
        )

    @routes.get("/api/payment-stats", summary="A count for each status, and each wallet's nonces")
    async def counts(request: Request) -> Json:
        need_key(request, engine.config)
        state = await insights.read()
        found: dict[str, Any] = {
            status.value: state["payments"][status.value]["count"] for status in PaymentStatus
        }
        found["nonceState"] = [
            {
                "wallet": wallet["address"],
                "chainId": wallet["chain_id"],
                "role": wallet["role"],
                "nextNonce": wallet["next_nonce"],
                "minedNonce": wallet["mined_nonce"],
                "inFlight": wallet["live"],
            }
            for wallet in state["wallets"]
        ]
        return Json(found)

    return routes


async def _result(engine: Engine, row: Record) -> Any:
    """What that server wrote into a row: here only its own rows have it, and whoever asks for
    another is told the same of the mints."""
    if row["result"] is not None:
        return row["result"]
    if row["status"] != PaymentStatus.COMPLETED or row["payment_type"] != "mint":
        return None
    mints = await engine.db.fetch("payment_mints", row["id"])
    return {
        "success": True,
        "queueIds": [str(mint["id"]) for mint in mints],
        "quantity": row["quantity"],
    }
