"""Two pages, each one document with nothing from elsewhere: the operator's, and the API's."""

import base64
import hashlib
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from onsettle.api.page.reference import reference

_NOTHING = (
    "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none';"
)


def page() -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def show() -> HTMLResponse:
        return _answer(*_operators())

    @routes.get("/docs")
    async def docs(request: Request) -> HTMLResponse:
        style = _part("page.css") + _part("reference.css")
        document = _part("reference.html").replace("/*style*/", style)
        written = document.replace("<!--reference-->", reference(request.app.openapi()))
        return _answer(written, f"{_NOTHING} style-src {_hash(style)}")

    return routes


def _answer(document: str, policy: str) -> HTMLResponse:
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-cache",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(document, headers=headers)


@cache
def _operators() -> tuple[str, str]:
    """The page, and a policy that lets this script and this style run and nothing else."""
    style, script = _part("page.css"), _part("view.js") + _part("page.js")
    document = _part("page.html").replace("/*style*/", style).replace("/*script*/", script)
    policy = f"{_NOTHING} connect-src 'self'; script-src {_hash(script)}; style-src {_hash(style)}"
    return document, policy


def _part(name: str) -> str:
    return files("onsettle.api.page").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
