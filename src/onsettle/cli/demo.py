import asyncio
import signal
from collections.abc import Mapping
from typing import Any

import click

from onsettle.cli.session import json_option, print_json


@click.command()
@json_option
@click.option("--payments", default=50, show_default=True, type=click.IntRange(1, 1000))
def command(as_json: bool, payments: int) -> None:
    """Settle payments on a local chain, async and then sync, and check the result."""
    result = asyncio.run(_demo(payments, quiet=as_json))
    if result is None:
        raise click.Abort
    if as_json:
        print_json(result)
    if not is_whole(result):
        raise SystemExit(1)


def is_whole(result: Mapping[str, Any]) -> bool:
    """Whether it ended as it must: both rounds settled and minted, each bad payment told apart."""
    sync = result["sync"]
    settled = (
        result["completed"], result["mints_completed"], sync["completed"], sync["mints_completed"],
    )  # fmt: skip
    bad = (result["refused"], result["failed"], result["duplicates"])
    return settled == (result["payments"],) * 4 and bad == (1, 1, 1) and result["verify_ok"] is True


async def _demo(payments: int, *, quiet: bool) -> dict[str, Any] | None:
    """What it found; None when a signal ended it. The servers that it started end with it."""
    from onsettle.local.demo import run_demo

    task = asyncio.create_task(run_demo(count=payments, quiet=quiet))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return None
