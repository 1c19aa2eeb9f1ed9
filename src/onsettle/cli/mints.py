import asyncio
from typing import Any
from uuid import UUID

import click

from onsettle.cli.recovering import looking, settle_cases
from onsettle.cli.session import (
    dry_run_option,
    json_option,
    list_alone,
    opened,
    print_json,
    table,
    yes_option,
)

_STATUSES = ["pending", "processing", "completed", "failed"]
_COLUMNS = ("id", "payment_id", "unit", "status", "retry_count", "error_message", "mint_tx_hash")


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List mints, or mint again what is not minted."""
    list_alone(ctx, list_, as_json=as_json)


@command.command(name="list")
@click.option("--status", type=click.Choice(_STATUSES))
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@json_option
def list_(status: str | None, limit: int, as_json: bool) -> None:
    """Mints, newest first."""
    rows = asyncio.run(_read(status, limit))
    if as_json:
        print_json(rows)
    else:
        table(rows, {name: name.replace("_", " ") for name in _COLUMNS})


@command.command()
@click.argument("mints", metavar="[ID]...", nargs=-1, type=click.UUID)
@click.option("--status", type=click.Choice(["pending", "processing", "failed"]))
@dry_run_option
@yes_option
@json_option
def retry(
    mints: tuple[UUID, ...], status: str | None, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Mint again at once what the token says is not minted; never what may still land."""
    if bool(mints) == bool(status):
        raise click.UsageError("Name mints, or --status.")
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json asks nothing: add --yes or --dry-run.")
    if not asyncio.run(_retry(mints, status, dry_run=dry_run, yes=yes, as_json=as_json)):
        raise SystemExit(1)


async def _read(status: str | None, limit: int) -> list[dict[str, Any]]:
    async with opened() as db:
        return [dict(row) for row in await db.fetch("recovery_mints_list", status, limit)]


async def _retry(
    mints: tuple[UUID, ...], status: str | None, *, dry_run: bool, yes: bool, as_json: bool
) -> bool:
    async with looking() as engine:
        from onsettle.engine.recovery import MintRecovery

        recovery = MintRecovery(engine.db, engine.networks, engine.settings)
        cases = await recovery.look(list(mints) or await recovery.unfinished(status))
        if missing := set(mints) - {case.id for case in cases}:
            raise click.ClickException(f"There is no mint {', '.join(map(str, missing))}.")
        cases = await settle_cases(
            engine.db,
            cases,
            recovery.apply,
            what="mints",
            dry_run=dry_run,
            yes=yes,
            as_json=as_json,
        )
        return all(case.acts and case.done is not False for case in cases)
