"""The HTTP application. Errors are RFC 9457 problem documents."""

from importlib.metadata import version

from fastapi import FastAPI

from onsettle.api.admin import admin
from onsettle.api.facilitator import facilitator
from onsettle.api.health import health
from onsettle.api.metrics import metrics
from onsettle.api.openapi import add_openapi
from onsettle.api.page import page
from onsettle.api.payments import payments
from onsettle.api.problems import add_problems
from onsettle.api.stats import guide, stats
from onsettle.api.stream import stream
from onsettle.engine.insights import Insights
from onsettle.engine.watch import Watch
from onsettle.runtime import Engine

__all__ = ["create_app"]


def create_app(engine: Engine) -> FastAPI:
    app = FastAPI(
        title="Onsettle",
        version=version("onsettle"),
        description="Settles signed EIP-3009 payments, and delivers what was paid for once.",
        redirect_slashes=False,
        docs_url=None,  # FastAPI's pages load scripts from elsewhere
        redoc_url=None,
    )
    add_problems(app)
    watch = Watch(engine.db)
    insights = Insights(engine.db, engine.networks)
    for routes in (
        payments(engine),
        stream(engine, watch),
        facilitator(engine, watch),
        stats(engine, insights),
        guide(engine, insights),
        metrics(engine, insights),
        health(engine),
        page(),
    ):
        app.include_router(routes)
    if engine.config.admin_token is not None:
        app.include_router(admin(engine))
    add_openapi(app)
    return app
