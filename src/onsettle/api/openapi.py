"""The OpenAPI document: FastAPI's, with the bodies that are read by hand."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from onsettle.api.schemas import BODIES

_REFERENCE = "#/components/schemas/{model}"


def add_openapi(app: FastAPI) -> None:
    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app)
        return app.openapi_schema

    # FastAPI's own way to change the document; to the type checker it replaces a method.
    app.openapi = build  # type: ignore[method-assign]


def _build(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    _, bodies = models_json_schema(
        [(model, "validation") for model in BODIES], ref_template=_REFERENCE
    )
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(bodies["$defs"])
    return found
