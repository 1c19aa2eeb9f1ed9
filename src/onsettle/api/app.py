"""The HTTP application. Errors are RFC 9457 problem documents."""

from importlib.metadata import version

from fastapi import FastAPI

from onsettle.api.health import health
from onsettle.api.openapi import add_openapi
from onsettle.api.payments import payments
from onsettle.api.problems import add_problems
from onsettle.runtime import Engine

__all__ = ["create_app"]


def create_app(engine: Engine) -> FastAPI:
    app = FastAPI(
        title="Onsettle",
        version=version("onsettle"),
        description="Settles signed EIP-3009 payments, and delivers what was paid for once.",
        redirect_slashes=False,
    )
    add_problems(app)
    app.include_router(payments(engine))
    app.include_router(health(engine))
    add_openapi(app)
    return app
