"""The FastAPI app: submit, read, health. Errors are RFC 9457 problem documents."""

import hmac
import json
import uuid
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from onsettle.engine.intake import MAX_BATCH, Accepted
from onsettle.engine.request import Refused
from onsettle.runtime import Engine
from onsettle.store.database import UNAVAILABLE, Record

MAX_BODY = 1024 * 1024


def create_app(engine: Engine) -> FastAPI:
    app = FastAPI(title="Onsettle")

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return problem(error)

    for kind in UNAVAILABLE:

        @app.exception_handler(kind)
        async def unavailable(_: Request, _error: Exception) -> JSONResponse:
            return problem(
                Refused("database_unavailable", "the database does not answer: try again", 503)
            )

    _add_payments(app, engine)
    _add_health(app, engine)
    return app


def _add_payments(app: FastAPI, engine: Engine) -> None:
    @app.post("/v1/payments", status_code=202)
    async def submit(request: Request) -> JSONResponse:
        _authorize(engine, request)
        body = await _json(request)
        if not isinstance(body, dict):
            raise Refused("invalid_request", "a payment must be an object")
        answer = await engine.intake.submit(body)
        return JSONResponse(_accepted(answer), 200 if answer.known else 202)

    @app.post("/v1/payments/batch")
    async def submit_batch(request: Request) -> JSONResponse:
        _authorize(engine, request)
        body = await _json(request)
        bodies = body.get("payments") if isinstance(body, dict) else body
        if not isinstance(bodies, list):
            raise Refused("invalid_request", "payments must be a list")
        if len(bodies) > MAX_BATCH:
            raise Refused("batch_too_large", f"at most {MAX_BATCH} payments at once")
        answers = await engine.intake.submit_many(bodies)
        return JSONResponse({"results": [_result(answer) for answer in answers]})

    @app.get("/v1/payments/{payment_id}")
    async def show(payment_id: uuid.UUID) -> JSONResponse:
        row = await engine.db.fetchrow("payment_get", payment_id)
        if row is None:
            raise Refused("not_found", f"there is no payment {payment_id}", 404)
        return JSONResponse(await _view(engine, row))


def _add_health(app: FastAPI, engine: Engine) -> None:
    @app.get("/healthz")
    async def alive() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def ready() -> JSONResponse:
        await engine.db.fetch("settings_read")
        return JSONResponse({"problems": engine.problems}, 503 if engine.problems else 200)


def problem(error: Refused) -> JSONResponse:
    return JSONResponse(_problem(error), error.status, media_type="application/problem+json")


def _problem(error: Refused) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": error.code.replace("_", " "),
        "status": error.status,
        "detail": error.message,
        "code": error.code,
    }


def _authorize(engine: Engine, request: Request) -> None:
    keys = engine.config.api_keys
    given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
    if keys and not any(
        hmac.compare_digest(given, key.get_secret_value().encode()) for key in keys
    ):
        raise Refused("unauthorized", "a bearer token from ONSETTLE_API_KEYS is needed", 401)


async def _json(request: Request) -> Any:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refused("body_too_large", "a body may have at most 1 MiB", 413)
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refused("malformed_json", "the body is not JSON", 400) from None


def _accepted(answer: Accepted) -> dict[str, Any]:
    return {
        "id": str(answer.id),
        "status": answer.status,
        "final": answer.final,
        "status_url": f"/v1/payments/{answer.id}",
    }


def _result(answer: Accepted | Refused) -> dict[str, Any]:
    if isinstance(answer, Refused):
        return {"http_status": answer.status, "problem": _problem(answer)}
    return {"http_status": 200 if answer.known else 202, **_accepted(answer)}


async def _view(engine: Engine, row: Record) -> dict[str, Any]:
    mints = await engine.db.fetch("payment_mints", row["id"])
    attempts = await engine.db.fetch("payment_attempts", row["id"])
    events = await engine.db.fetch("payment_events", row["id"])
    failed = row["status"] in ("failed", "confirmation_failed")
    times = {
        k: row[k] and row[k].isoformat() for k in ("created_at", "processed_at", "completed_at")
    }
    return {
        "id": str(row["id"]),
        "status": row["status"],
        "final": row["final"],
        "payment_type": row["payment_type"],
        "network": f"eip155:{row['chain_id']}",
        "asset": row["payment_token_address"],
        "payer": row["payer"],
        "pay_to": row["pay_to"],
        "amount": str(row["amount"]),
        "authorization_nonce": row["authorization_nonce"],
        "tx_hash": row["tx_hash"],
        "block_number": row["block_number"],
        "error": {"code": row["reason"], "message": row["error"]} if failed else None,
        "metadata": row["metadata"],
        "result": row["result"],
        "mints": [
            {"id": str(m["id"]), "status": m["status"], "mint_tx_hash": m["mint_tx_hash"]}
            for m in mints
        ],
        "attempts": [
            {
                "hash": a["hash"],
                "nonce": a["nonce"],
                "wallet": a["wallet"],
                "max_fee": str(a["max_fee"]),
                "priority_fee": str(a["priority_fee"]),
                "sent_at": a["sent_at"] and a["sent_at"].isoformat(),
            }
            for a in attempts
        ],
        "events": [
            {
                "from": e["from_status"],
                "to": e["to_status"],
                "reason": e["reason"],
                "at": e["at"].isoformat(),
            }
            for e in events
        ],
        **times,
    }
