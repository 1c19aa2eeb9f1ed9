import asyncio

import click

from onsettle.cli.recovering import looking, settle_cases, undecided
from onsettle.cli.session import dry_run_option, json_option, yes_option
from onsettle.cli.values import Duration


@click.command(name="reset-stuck")
@click.option(
    "--older-than", type=Duration(), default="5m", show_default=True,
    help="How long a payment must have been sent or signed.",
)  # fmt: skip
@dry_run_option
@yes_option
@json_option
def command(older_than: float, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Look every stuck payment up on the chain, and recover those that the evidence allows.

    Looked at is what was sent or signed for too long, was marked as failed by hand, or timed out.
    Completed if it landed, left alone if it may still land, sent again only if provably unspent.
    Where no worker runs, the blocks that nobody has read are read first.
    """
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json asks nothing: add --yes or --dry-run.")
    if asyncio.run(_reset(older_than, dry_run=dry_run, yes=yes, as_json=as_json)):
        raise SystemExit(1)


async def _reset(older_than: float, *, dry_run: bool, yes: bool, as_json: bool) -> bool:
    async with looking() as engine:
        from onsettle.engine.recovery import Recovery

        recovery = Recovery(engine.db, engine.networks, engine.settings)
        cases = await recovery.look(await recovery.stuck(older_than))
        cases = await settle_cases(
            engine.db,
            cases,
            recovery.apply,
            what="payments",
            dry_run=dry_run,
            yes=yes,
            as_json=as_json,
        )
        return undecided(cases)
