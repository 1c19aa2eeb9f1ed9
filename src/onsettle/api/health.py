"""Liveness and readiness."""

from fastapi import APIRouter

from onsettle.api import schemas
from onsettle.api.answers import Json
from onsettle.api.problems import problem
from onsettle.engine.request import Refused
from onsettle.runtime import Engine
from onsettle.store.database import UNAVAILABLE


def health(engine: Engine) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.head("/healthz", include_in_schema=False)  # load balancers ask so
    @routes.get("/healthz", summary="The process answers")
    async def alive() -> dict[str, str]:
        return {"status": "ok"}

    @routes.head("/readyz", include_in_schema=False)
    @routes.get("/readyz", **schemas.READY)
    async def ready() -> Json:
        down = await _down(engine) if engine.prepared else []
        problems = [*engine.problems, *down]
        if engine.ready and not down:
            return Json({"ready": True, "problems": problems})
        refused = Refused("not_ready", "; ".join(problems), 503)
        return problem(refused, ready=False, problems=problems)

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
