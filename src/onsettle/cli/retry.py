import asyncio
from uuid import UUID

import click

from onsettle.cli.recovering import looking, settle_cases
from onsettle.cli.session import dry_run_option, json_option, yes_option


@click.command()
@click.argument("payments", metavar="[ID]...", nargs=-1, type=click.UUID)
@click.option(
    "--status", type=click.Choice(["failed", "confirmation_failed", "sent", "processing"]),
    help="All payments of this status.",
)  # fmt: skip
@click.option("--error", help="With --status: only those whose error or reason contains this.")
@dry_run_option
@yes_option
@json_option
def command(
    payments: tuple[UUID, ...],
    status: str | None,
    error: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Send payments again, where the chain proves that nothing else can land for them.

    What landed meanwhile is completed instead; what may still land is refused.
    """
    if bool(payments) == bool(status) or (error and not status):
        raise click.UsageError("Name payments, or --status with or without --error.")
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json asks nothing: add --yes or --dry-run.")
    if not asyncio.run(_retry(payments, status, error, dry_run=dry_run, yes=yes, as_json=as_json)):
        raise SystemExit(1)


async def _retry(
    payments: tuple[UUID, ...],
    status: str | None,
    error: str | None,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> bool:
    """Whether every payment that was named is sent again or completed."""
    async with looking() as engine:
        from onsettle.engine.recovery import Recovery

        recovery = Recovery(engine.db, engine.networks, engine.settings)
        ids = list(payments) if status is None else await recovery.like(status, error)
        cases = await recovery.look(ids)
        if missing := set(payments) - {case.id for case in cases}:
            raise click.ClickException(f"There is no payment {', '.join(map(str, missing))}.")
        cases = await settle_cases(
            engine.db,
            cases,
            recovery.apply,
            what="payments",
            dry_run=dry_run,
            yes=yes,
            as_json=as_json,
        )
        return all(case.acts and case.done is not False for case in cases)
