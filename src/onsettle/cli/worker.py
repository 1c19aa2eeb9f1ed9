import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import click

from onsettle.cli.running import run
from onsettle.cli.stopping import stop_event, stopped, unless_stopped
from onsettle.config import Config, load
from onsettle.local.database import configured

if TYPE_CHECKING:
    from onsettle.runtime import Engine

#: So long an embedded database is waited for, after the engine: what is left of ten seconds.
_DATABASE_STOP_S = 2.0


@click.command()
def command() -> None:
    """Run the engine alone, until SIGTERM or SIGINT; any number of them, anywhere."""
    run(_work())
    stopped()


def checked_config(*, quiet: bool = False) -> Config:
    """The configuration of a process that settles; sets logging up. `quiet`: warnings only."""
    from onsettle.log import set_up

    config = load()
    set_up(config.log_format, level=logging.WARNING if quiet else logging.INFO)
    if not config.networks:
        raise click.ClickException(
            "No network is configured: set ONSETTLE_RPC_URLS, or run `onsettle local` and use"
            " the environment that it prints."
        )
    return config


@asynccontextmanager
async def engine_of(config: Config, stop: asyncio.Event) -> AsyncIterator["Engine | None"]:
    """The engine, open and not started; None when the process is to end before that."""
    from onsettle.runtime import Engine

    async with AsyncExitStack() as held:
        database = configured(config, stop_s=_DATABASE_STOP_S)
        whole = await unless_stopped(stop, held.enter_async_context(database))
        engine = None
        if whole is not None:
            engine = await unless_stopped(stop, Engine.open(whole, wait_s=None))
        if engine is not None:
            held.push_async_callback(engine.close)
        yield engine


async def _work() -> None:
    config = checked_config()
    stop = stop_event()
    async with engine_of(config, stop) as engine:
        if engine is not None:
            await engine.start()
            await stop.wait()
            await engine.stop()
