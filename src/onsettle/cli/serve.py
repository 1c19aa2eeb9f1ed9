import asyncio

import click

from onsettle.cli.running import run
from onsettle.cli.stopping import stop_event, stopped
from onsettle.cli.worker import checked_config, engine_of


@click.command()
def command() -> None:
    """Run the HTTP API and one worker, until SIGTERM or SIGINT."""
    run(_serve())
    stopped()


async def _serve() -> None:
    config = checked_config()

    from onsettle.api.app import create_app
    from onsettle.cli.connections import raise_limit
    from onsettle.cli.http import Server, address_of, bind

    raise_limit()
    stop = stop_event()
    with bind(config.host, config.port) as listener:
        async with engine_of(config, stop) as engine:
            if engine is None:
                return
            await engine.start()
            server = Server(create_app(engine), timeout_graceful_shutdown=4)
            click.echo(f"Listening on {address_of(listener)}", err=True)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            waiting = asyncio.create_task(stop.wait())
            await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            server.should_exit = True
            # Both at once: what is accepted meanwhile is committed, and sent by another worker.
            await asyncio.gather(serving, engine.stop())
    if not stop.is_set():
        raise click.ClickException("The API stopped by itself; the log says why.")
