"""Reading a request: its JSON, within limits and without a second meaning; who may ask."""

import asyncio
import hmac
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import orjson
from pydantic import SecretStr
from starlette.requests import Request

from onsettle.config import Config
from onsettle.engine.request import Refused

MAX_BODY = 1024 * 1024
#: A body that takes longer than this to arrive is given up.
BODY_TIMEOUT_S = 20.0
_JSON = re.compile(r"application/([a-z0-9.+-]*\+)?json\s*(;.*)?", re.IGNORECASE)


async def read_json(request: Request) -> Any:
    """The body, parsed. Raises Refused."""
    kind = request.headers.get("content-type")
    if kind is not None and not _JSON.fullmatch(kind):
        raise Refused(
            "unsupported_media_type", "send the header content-type: application/json", 415
        )
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await _body(request)
    except TimeoutError:
        raise Refused("body_too_slow", "the body did not arrive in time", 408) from None
    return parse(body)


async def _body(request: Request) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > MAX_BODY:
        raise Refused("body_too_large", "a body may have at most 1 MiB", 413)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY:
            raise Refused("body_too_large", "a body may have at most 1 MiB", 413)
        chunks.append(chunk)
    return b"".join(chunks)


def parse(body: bytes) -> Any:
    """JSON that means one thing only: no repeated names, no NaN, numbers as they were written."""
    try:
        # It bounds the depth, which the standard library leaves to a recursion limit that any
        # package may raise; and it takes UTF-8 only, without lone surrogates.
        orjson.loads(body)
        return json.loads(
            body,
            object_pairs_hook=_object,
            parse_constant=_no_number,
            parse_float=_float,
        )
    except _Twice as twice:
        raise Refused(
            "malformed_json", f"the name {str(twice)[:40]!r} is there twice", 400
        ) from None
    except (ValueError, RecursionError):
        raise Refused("malformed_json", "the body is not JSON in UTF-8", 400) from None


class _Twice(Exception):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice(_first_twice(name for name, _ in pairs))
    return found


def _first_twice(names: Iterable[str]) -> str:
    """In one pass: this runs on the event loop, and a body has room for 100,000 names."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    raise ValueError("no name is there twice")


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def _float(word: str) -> float:
    number = float(word)
    if number in (float("inf"), float("-inf")):
        raise ValueError(word)
    return number


def bearer(request: Request) -> bytes:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip().encode() if scheme.lower() == "bearer" else b""


def is_one_of(given: bytes, keys: Sequence[SecretStr]) -> bool:
    """Compared in constant time, and with every key."""
    found = False
    for key in keys:
        found |= hmac.compare_digest(given, key.get_secret_value().encode())
    return found


def need_key(request: Request, config: Config) -> None:
    """Where API keys are configured, one of them (or the admin token) is needed."""
    keys = config.api_keys
    if not keys:
        return
    admin = () if config.admin_token is None else (config.admin_token,)
    if not is_one_of(bearer(request), (*keys, *admin)):
        raise Refused("unauthorized", "a bearer token from ONSETTLE_API_KEYS is needed", 401)
