"""Submit payments, and read them."""

import base64
import binascii
import struct
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BeforeValidator

from onsettle.api import schemas
from onsettle.api.answers import Json
from onsettle.api.bodies import need_key, read_json
from onsettle.api.problems import document
from onsettle.api.views import summary, whole
from onsettle.chain.crypto import parse_address
from onsettle.domain.payment import PaymentStatus
from onsettle.engine.intake import MAX_BATCH, Accepted
from onsettle.engine.request import Refused
from onsettle.runtime import Engine
from onsettle.store.database import Record

MAX_PAGE = 100
#: A filter without a value, as forms send it, filters nothing.
_EMPTY = BeforeValidator(lambda value: None if value == "" else value)


def payments(engine: Engine) -> APIRouter:
    routes = APIRouter(tags=["payments"])
    config = engine.config

    @routes.post("/v1/payments", **schemas.SUBMIT)
    async def submit(request: Request) -> Json:
        need_key(request, config)
        answer = await engine.intake.submit(await read_json(request))
        headers = {"Location": f"/v1/payments/{answer.id}"}
        return Json(_accepted(answer), 200 if answer.known else 202, headers=headers)

    @routes.post("/v1/payments/batch", **schemas.SUBMIT_BATCH)
    async def submit_batch(request: Request) -> Json:
        need_key(request, config)
        body = await read_json(request)
        bodies = body.get("payments") if isinstance(body, dict) else body
        if not isinstance(bodies, list):
            raise Refused("invalid_request", "payments must be a list")
        if len(bodies) > MAX_BATCH:
            raise Refused("batch_too_large", f"at most {MAX_BATCH} payments at once")
        answers = await engine.intake.submit_many(bodies)
        return Json({"results": [_result(answer) for answer in answers]})

    @routes.get("/v1/payments", **schemas.LIST)
    async def listed(
        request: Request,
        status: Annotated[PaymentStatus | None, _EMPTY] = None,
        payer: Annotated[str | None, _EMPTY, Query(description="an address")] = None,
        cursor: Annotated[
            str | None, _EMPTY, Query(description="`next` of the page before")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 20,
    ) -> Json:
        need_key(request, config)
        before, last = (None, None) if cursor is None else _opened(cursor)
        asked = (status, before, last, limit + 1)
        rows = (
            await engine.db.fetch("payments_list", *asked)
            if payer is None
            else await engine.db.fetch("payments_of_payer", *asked, _payer(payer))
        )
        page = rows[:limit]
        following = _closed(page[-1]) if len(rows) > limit else None
        return Json({"payments": [summary(row) for row in page], "next": following})

    @routes.get("/v1/payments/{payment_id}", **schemas.SHOW)
    async def show(request: Request, payment_id: uuid.UUID) -> Json:
        need_key(request, config)
        return Json(await whole(engine.db, await find(engine, payment_id)))

    return routes


async def find(engine: Engine, payment_id: uuid.UUID) -> Record:
    """Raises Refused `not_found`."""
    row = await engine.db.fetchrow("payment_get", payment_id)
    if row is None:
        raise Refused("not_found", f"there is no payment {payment_id}", 404)
    return row


def _accepted(answer: Accepted) -> dict[str, Any]:
    return {
        "id": str(answer.id),
        "status": answer.status,
        "final": answer.final,
        "status_url": f"/v1/payments/{answer.id}",
        "events_url": f"/v1/payments/{answer.id}/events",
    }


def _result(answer: Accepted | Refused) -> dict[str, Any]:
    if isinstance(answer, Refused):
        return {"http_status": answer.status, "problem": document(answer)}
    return {"http_status": 200 if answer.known else 202, **_accepted(answer)}


def _payer(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return parse_address(value)
    except ValueError as error:
        raise Refused("invalid_address", f"payer: {error}") from None


def _closed(row: Record) -> str:
    """The place of a row in the list, opaque: rows that come and go do not move it."""
    created: datetime = row["created_at"]
    seconds = int(created.timestamp())
    packed = struct.pack(">qI", seconds, created.microsecond) + row["id"].bytes
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _opened(cursor: str) -> tuple[datetime, uuid.UUID]:
    try:
        packed = base64.b64decode(cursor.encode() + b"==", altchars=b"-_", validate=True)
        seconds, micros = struct.unpack(">qI", packed[:12])
        at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
        return at, uuid.UUID(bytes=packed[12:])
    except (ValueError, OverflowError, OSError, struct.error, binascii.Error):
        raise Refused("invalid_cursor", "cursor is not one that this service gave") from None
