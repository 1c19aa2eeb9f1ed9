import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onsettle.cli.session import json_option, plain, print_json
from onsettle.cli.stopping import stop_event, unless_stopped

if TYPE_CHECKING:
    from onsettle.local.bench.run import Run


@click.command()
@json_option
@click.option("--quick", is_flag=True, help="A tenth of the payments: a look, not a measurement.")
@click.option("--profiles", default="", help="Only these profiles and parts, comma-separated.")
@click.option("--payments", type=click.IntRange(min=1), help="So many in each part.")
@click.option("--statements", is_flag=True, help="Add what each query of the database took.")
@click.option(
    "--save",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write latest.json and chart.svg into this folder too.",
)
def command(
    as_json: bool,
    quick: bool,
    profiles: str,
    payments: int | None,
    statements: bool,
    save: Path | None,
) -> None:
    """Measure throughput, latency and cost on this machine, against a local chain."""
    from onsettle.local.bench.run import PARTS, Run
    from onsettle.log import set_up

    names = [name.strip() for name in profiles.split(",") if name.strip()] or PARTS
    if unknown := sorted(set(names) - set(PARTS)):
        raise click.BadParameter(f"{', '.join(unknown)}: there are {', '.join(PARTS)}")
    set_up("console", level=logging.ERROR)
    bench = Run(
        names,
        payments=payments,
        quick=quick,
        statements=statements,
        say=lambda line: click.echo(line, err=True),
    )
    result = asyncio.run(_measured(bench))
    if result is None:
        raise click.Abort
    if save is not None:
        _save(result, save)
    if as_json:
        print_json(result)
    else:
        from rich.console import Console

        from onsettle.local.bench.report import show

        show(result, Console(width=None if sys.stdout.isatty() else 160))
    if result["failures"]:
        raise SystemExit(1)


async def _measured(bench: "Run") -> dict[str, Any] | None:
    """What it found; None when a signal ended it. The servers that it started end with it."""
    return await unless_stopped(stop_event(), bench.all())


def _save(result: dict[str, object], folder: Path) -> None:
    import json

    from onsettle.local.bench.chart import draw

    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(plain(result), indent=1, ensure_ascii=False)
    (folder / "latest.json").write_text(text + "\n", encoding="utf-8")
    (folder / "chart.svg").write_text(draw(result), encoding="utf-8")
