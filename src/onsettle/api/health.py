"""Liveness and readiness."""

from typing import Any

from fastapi import APIRouter

from onsettle.api.answers import Json
from onsettle.runtime import Engine
from onsettle.store.database import UNAVAILABLE


def health(engine: Engine) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/healthz", summary="The process answers")
    async def alive() -> dict[str, str]:
        return {"status": "ok"}

    @routes.get("/readyz", summary="It can take and settle payments; or why not, in words")
    async def ready() -> Json:
        down = await _down(engine) if engine.prepared else []
        ready = engine.ready and not down
        answer: dict[str, Any] = {"ready": ready, "problems": [*engine.problems, *down]}
        return Json(answer, 200 if ready else 503)

    return routes


async def _down(engine: Engine) -> list[str]:
    """What does not answer now."""
    problems = [] if engine.working else ["the worker is not started"]
    try:
        await engine.db.fetch("settings_read")
    except UNAVAILABLE as error:
        reason = str(error) or type(error).__name__
        problems.append(f"the database does not answer: {reason}")
    for network in engine.networks.values():
        ends = network.pool.endpoints
        if all(end.stats.resting or end.stats.cooldown for end in ends):
            last = next((e.stats.last_error for e in ends if e.stats.last_error), None)
            problems.append(f"{network.config.name}: no RPC endpoint answers ({last})")
    return problems
