import logging

import click

from onsettle.cli.running import run
from onsettle.cli.stopping import stop_event, unless_stopped
from onsettle.config import Config, load
from onsettle.local.database import configured


@click.command()
def command() -> None:
    """Run the engine alone, until SIGTERM or SIGINT; any number of them, anywhere."""
    run(_work())


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


async def _work() -> None:
    config = checked_config()

    from onsettle.runtime import Engine

    stopped = stop_event()
    async with configured(config) as whole:
        engine = await unless_stopped(stopped, Engine.open(whole, wait_s=None))
        if engine is None:
            return
        try:
            await engine.start()
            await stopped.wait()
            await engine.stop()
        finally:
            await engine.close()
