"""Operating by HTTP: pause, settings, retry, recheck. Off without ONSETTLE_ADMIN_TOKEN."""

import uuid
from typing import Any

import structlog
from fastapi import APIRouter, Depends, Request

from onsettle.api import schemas
from onsettle.api.answers import Json
from onsettle.api.bodies import bearer, is_one_of, read_json
from onsettle.chain.crypto import parse_address
from onsettle.domain.settings import DEFAULTS, SPECS, InvalidSetting, parse, render
from onsettle.engine.recovery import Recovery
from onsettle.engine.request import Refused
from onsettle.runtime import Engine
from onsettle.store.database import sql

log = structlog.get_logger()

MAX_IDS = 1000


def admin(engine: Engine) -> APIRouter:
    """Every route needs the admin token."""
    token = engine.config.admin_token

    def operator(request: Request) -> None:
        if token is None or not is_one_of(bearer(request), (token,)):
            raise Refused("unauthorized", "the bearer token ONSETTLE_ADMIN_TOKEN is needed", 401)

    routes = APIRouter(prefix="/v1/admin", tags=["admin"], dependencies=[Depends(operator)])
    _add_settings(routes, engine)
    _add_recovery(routes, engine)

    @routes.post("/wallets/{address}/{action}", summary="Pause or resume one wallet")
    async def wallet(address: str, action: str) -> Json:
        if action not in ("pause", "resume"):
            raise Refused("not_found", "a wallet can be paused or resumed", 404)
        try:
            known = parse_address(address)
        except ValueError as error:
            raise Refused("invalid_address", str(error)) from None
        if not await engine.db.execute("wallet_pause", known, action == "pause"):
            raise Refused("not_found", f"there is no wallet {known}", 404)
        log.info("wallet_changed", wallet=known, action=action)
        return Json({"address": known, "paused": action == "pause"})

    return routes


def _add_settings(routes: APIRouter, engine: Engine) -> None:
    async def write(changes: dict[str, str]) -> Json:
        async with engine.db.transaction("settings_change") as connection:
            for key, value in changes.items():
                await connection.execute(sql("setting_write"), key, value)
        log.info("settings_changed", **changes)
        return Json({"settings": await _settings(engine)})

    @routes.post("/pause", summary="Send nothing new; what is sent is followed to its end")
    async def pause() -> Json:
        return await write({"payments_paused": "true"})

    @routes.post("/resume", summary="Send again")
    async def resume() -> Json:
        return await write({"payments_paused": "false"})

    @routes.get("/settings", summary="The runtime settings")
    async def settings() -> Json:
        return Json({"settings": await _settings(engine)})

    @routes.patch("/settings", **schemas.SETTINGS)
    async def change(request: Request) -> Json:
        """All of them are valid, or none is written."""
        body = await read_json(request)
        if not isinstance(body, dict) or not body:
            raise Refused("invalid_request", "send an object of settings and their values")
        return await write({key: _checked(key, value) for key, value in body.items()})


def _checked(key: str, value: object) -> str:
    if not isinstance(value, str | int | float):
        raise Refused("invalid_setting", f"{key[:60]} must be a string, a number or true or false")
    try:
        return render(parse(key, render(value) if isinstance(value, bool) else str(value)))
    except InvalidSetting as error:
        raise Refused("invalid_setting", str(error)) from None


async def _settings(engine: Engine) -> list[dict[str, Any]]:
    stored = {row["key"]: row["value"] for row in await engine.db.fetch("settings_read")}
    return [
        {
            "key": key,
            "value": stored.get(key, render(getattr(DEFAULTS, key))),
            "default": render(getattr(DEFAULTS, key)),
            "about": spec.description,
            "allowed": spec.allowed(),
        }
        for key, spec in SPECS.items()
    ]


def _add_recovery(routes: APIRouter, engine: Engine) -> None:
    recovery = Recovery(engine.db, engine.networks, engine.settings)

    @routes.post("/retry", **schemas.RETRY)
    async def retry(request: Request) -> Json:
        """Looked up on the chain first; each is told its verdict. `dry_run`: only told."""
        body = await read_json(request)
        ids, dry = _ids(body), _dry_run(body)
        cases = await recovery.look(ids)
        if not dry:
            cases = await recovery.apply(cases)
            engine.worker.hint()
        missing = set(ids) - {case.id for case in cases}
        return Json({"payments": [case.public() for case in cases], "missing": list(missing)})

    @routes.post("/recheck", **schemas.RECHECK)
    async def recheck(request: Request) -> Json:
        """Has the engine look them up again, on the chain."""
        count = await recovery.recheck(_ids(await read_json(request)))
        return Json({"payments": count}, 202)


def _ids(body: object) -> list[uuid.UUID]:
    given = body.get("ids") if isinstance(body, dict) else None
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_IDS:
        raise Refused("invalid_request", f"ids must be a list of 1 to {MAX_IDS} payment ids")
    try:
        return list(dict.fromkeys(uuid.UUID(each) for each in given))
    except (ValueError, TypeError, AttributeError):
        raise Refused("invalid_request", "ids holds something that is not a payment id") from None


def _dry_run(body: object) -> bool:
    """Whoever writes "true" or 1 means it: that must not be taken for a retry."""
    given = body.get("dry_run", False) if isinstance(body, dict) else False
    if not isinstance(given, bool):
        raise Refused("invalid_request", "dry_run must be true or false")
    return given
