"""Errors as RFC 9457 problem documents with a stable `code`."""

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from onsettle.api.answers import Json
from onsettle.engine.request import Refused
from onsettle.store.database import UNAVAILABLE

log = structlog.get_logger()

#: Seconds after which it is worth trying again.
_RETRY_AFTER = {429: "5", 503: "2"}
_CODES = {404: "not_found", 405: "method_not_allowed"}


def document(error: Refused) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": error.code.replace("_", " "),
        "status": error.status,
        # It may quote what was sent, and that may hold what JSON can't.
        "detail": error.message.encode("utf-8", "replace").decode(),
        "code": error.code,
    }


def problem(error: Refused, headers: dict[str, str] | None = None, **more: object) -> Json:
    """`more`: members beside those that every problem has."""
    headers = dict(headers or {})
    if error.status in _RETRY_AFTER:
        headers["Retry-After"] = _RETRY_AFTER[error.status]
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Json(
        document(error) | more,
        error.status,
        headers=headers,
        media_type="application/problem+json",
    )


def add_problems(app: FastAPI) -> None:
    """Whatever goes wrong in any route is answered in one form."""

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Json:
        return problem(error)

    async def unavailable(_: Request, error: Exception) -> Json:
        log.warning("database_unavailable", problem=f"{type(error).__name__}: {error}"[:300])
        return problem(
            Refused("database_unavailable", "the database does not answer: try again", 503)
        )

    for kind in UNAVAILABLE:
        app.exception_handler(kind)(unavailable)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Json:
        code = _CODES.get(error.status_code, f"http_{error.status_code}")
        refusal = Refused(code, str(error.detail), error.status_code)
        return problem(refusal, dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Json:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
        return problem(Refused("invalid_request", f"{where}: {first['msg']}"))

    @app.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> Json:
        log.error("request_failed", exc_info=error)
        return problem(Refused("internal_error", "this is a fault of ours; the log tells", 500))
