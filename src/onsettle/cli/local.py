import asyncio
import shlex

import click

from onsettle.cli.stopping import stop_event


@click.command()
@click.option(
    "--block-time",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    help="Seconds between blocks.",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8545, show_default=True,
    help="Port of the local chain.",
)  # fmt: skip
def command(block_time: float, port: int) -> None:
    """Run a local chain and database; prints the environment to use, then `ready`."""
    asyncio.run(_run(block_time, port))


async def _run(block_time: float, port: int) -> None:
    from onsettle.config import load
    from onsettle.local.place import write_private
    from onsettle.local.stack import LocalStack
    from onsettle.log import set_up

    config = load()
    set_up(config.log_format)
    stopped = stop_event()
    stack = LocalStack(
        config.data_dir,
        chain_port=port,
        block_time=block_time,
        database_url=config.database_url,
    )
    try:
        await stack.start()
        lines = [f"export {k}={shlex.quote(v)}\n" for k, v in stack.environment().items()]
        text = "".join(lines)
        write_private(config.data_dir / "local.env", text)
        click.echo(text + "ready")
        await stopped.wait()
    finally:
        await stack.stop()
