import asyncio
from typing import TYPE_CHECKING

import click

from onsettle.cli.session import assert_prepared, json_option, print_json
from onsettle.cli.worker import checked_config
from onsettle.local.database import configured

if TYPE_CHECKING:
    from onsettle.engine.verify import Report

_NOT_CHECKED = 3


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Compare the books with the chain: exit code 1 when they differ, 3 when a part of them could
    not be compared."""
    report = asyncio.run(_verify())
    if as_json:
        print_json(
            {
                "ok": report.ok,
                "differences": report.differences,
                "not_checked": report.not_checked,
                "notes": report.notes,
                "checked": report.checked,
            }
        )
    else:
        print_report(report)
    if not report.ok:
        raise SystemExit(1 if report.differences else _NOT_CHECKED)


async def _verify() -> "Report":
    config = checked_config()

    from onsettle.engine.verify import verify
    from onsettle.runtime import Engine

    async with configured(config) as whole:
        await assert_prepared(whole)
        engine = await Engine.open(whole, wait_s=10)
        try:
            if len(engine.networks) < len(config.networks):
                raise click.ClickException("; ".join(engine.problems) or "A chain did not answer.")
            return await verify(engine.db, engine.networks)
        finally:
            await engine.close()


def print_report(report: "Report") -> None:
    click.echo("checked: " + ", ".join(f"{n} {what}" for what, n in report.checked.items()))
    for line in report.differences:
        click.echo(f"DIFFERENCE {line}")
    for line in report.notes:
        click.echo(f"note: {line}")
    for line in report.not_checked:
        click.echo(f"not checked: {line}")
    click.echo("The books and the chain agree." if report.ok else "Not verified.")
