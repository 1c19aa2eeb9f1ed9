"""The operator's page: one document, nothing from elsewhere, fed by the API."""

import base64
import hashlib
from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import HTMLResponse


def page() -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def show() -> HTMLResponse:
        document, policy = _document()
        headers = {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-cache",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return HTMLResponse(document, headers=headers)

    return routes


@cache
def _document() -> tuple[str, str]:
    """The page, and a policy that lets this script and this style run and nothing else."""
    style, script = _part("page.css"), _part("view.js") + _part("page.js")
    document = _part("page.html").replace("/*style*/", style).replace("/*script*/", script)
    policy = (
        "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none';"
        f" script-src {_hash(script)}; style-src {_hash(style)}"
    )
    return document, policy


def _part(name: str) -> str:
    return files("onsettle.api.page").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
