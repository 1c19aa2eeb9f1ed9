import asyncio

import click

from onsettle.cli.running import run
from onsettle.cli.stopping import stop_event, unless_stopped
from onsettle.cli.worker import checked_config
from onsettle.local.database import configured


@click.command()
def command() -> None:
    """Run the HTTP API and one worker, until SIGTERM or SIGINT."""
    run(_serve())


async def _serve() -> None:
    config = checked_config()

    from onsettle.api.app import create_app
    from onsettle.cli.connections import raise_limit
    from onsettle.cli.http import Server, address_of, bind
    from onsettle.runtime import Engine

    raise_limit()
    stopped = stop_event()
    with bind(config.host, config.port) as listener:
        async with configured(config) as whole:
            engine = await unless_stopped(stopped, Engine.open(whole, wait_s=None))
            if engine is None:
                return
            try:
                await engine.start()
                server = Server(create_app(engine), timeout_graceful_shutdown=4)
                click.echo(f"Listening on {address_of(listener)}", err=True)
                serving = asyncio.create_task(server.serve(sockets=[listener]))
                waiting = asyncio.create_task(stopped.wait())
                await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                server.should_exit = True
                # Both at once: what is accepted meanwhile is committed, and sent by another worker.
                await asyncio.gather(serving, engine.stop())
            finally:
                await engine.close()
    if not stopped.is_set():
        raise click.ClickException("The API stopped by itself; the log says why.")
