"""The timeline of a payment: as a list, or live as server-sent events."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from onsettle.api import schemas
from onsettle.api.answers import Json
from onsettle.api.bodies import need_key
from onsettle.api.payments import find
from onsettle.api.views import event
from onsettle.engine.watch import Snapshot, Watch
from onsettle.runtime import Engine

# Proxies close what is silent for long; a comment keeps it open.
_HEARTBEAT_S = 15.0


def stream(engine: Engine, watch: Watch) -> APIRouter:
    routes = APIRouter(tags=["payments"])

    @routes.get("/v1/payments/{payment_id}/events", **schemas.EVENTS)
    async def events(request: Request, payment_id: uuid.UUID) -> Response:
        need_key(request, engine.config)
        await find(engine, payment_id)
        if "text/event-stream" not in request.headers.get("accept", ""):
            rows = await engine.db.fetch("payment_events", payment_id)
            return Json({"events": [event(row) for row in rows]})
        watch.need_room()
        seen = request.headers.get("last-event-id", "")
        after = int(seen[:18]) if seen.isascii() and seen.isdigit() else 0
        return StreamingResponse(
            _sent(watch.follow(payment_id, after=after)),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return routes


async def _sent(news: AsyncGenerator[Snapshot, None]) -> AsyncIterator[bytes]:
    """Until the payment is final: nothing follows then."""
    waiting = asyncio.ensure_future(anext(news))
    try:
        while True:
            done, _ = await asyncio.wait({waiting}, timeout=_HEARTBEAT_S)
            if not done:
                yield b": still here\n\n"
                continue
            snapshot = waiting.result()
            for row in snapshot.events:
                data = orjson.dumps(event(row))
                yield b"id: %d\nevent: %s\ndata: %s\n\n" % (row["id"], b"status", data)
            if snapshot.final:
                yield b"event: final\ndata: %s\n\n" % orjson.dumps({"status": snapshot.status})
                return
            waiting = asyncio.ensure_future(anext(news))
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await news.aclose()
