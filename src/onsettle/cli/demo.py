import asyncio
import logging

import click

from onsettle.cli.session import json_option, print_json


@click.command()
@json_option
@click.option("--payments", default=50, show_default=True, type=click.IntRange(1, 1000))
def command(as_json: bool, payments: int) -> None:
    """Settle payments on a local chain, async and then sync, and check the result."""
    from onsettle.local.demo import run_demo
    from onsettle.log import set_up

    set_up("console", level=logging.ERROR)
    result = asyncio.run(run_demo(count=payments, quiet=as_json))
    if as_json:
        print_json(result)
    if not result["verify_ok"]:
        raise SystemExit(1)
