"""JSON answers: amounts as decimal strings, times in UTC as ISO 8601."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from starlette.responses import Response


class Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, UUID):
        return str(value)  # the driver has a kind of its own
    raise TypeError(type(value).__name__)


def when(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
