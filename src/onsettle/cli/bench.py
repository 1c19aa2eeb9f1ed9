import asyncio
import logging

import click

from onsettle.cli.session import json_option, print_json


@click.command()
@json_option
@click.option("--quick", is_flag=True, help="A tenth of the payments: a look, not a measurement.")
@click.option("--profiles", default="", help="Only these, comma-separated; `floor` is one of them.")
@click.option("--payments", type=click.IntRange(min=1), help="So many in each profile.")
def command(as_json: bool, quick: bool, profiles: str, payments: int | None) -> None:
    """Measure throughput, latency and cost on this machine, against a local chain."""
    from onsettle.local.bench.plan import PROFILES
    from onsettle.local.bench.run import run_bench
    from onsettle.log import set_up

    known = [*(profile.name for profile in PROFILES), "floor"]
    names = [name.strip() for name in profiles.split(",") if name.strip()] or known
    if unknown := sorted(set(names) - set(known)):
        raise click.BadParameter(f"{', '.join(unknown)}: there are {', '.join(known)}")
    set_up("console", level=logging.ERROR)
    result = asyncio.run(
        run_bench(
            names=names,
            payments=payments,
            quick=quick,
            say=lambda line: click.echo(line, err=True),
        )
    )
    if as_json:
        print_json(result)
