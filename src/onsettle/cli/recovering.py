"""What the recovery commands share: an engine to look with, the cases in words, the question."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

from onsettle.cli.session import agreed, assert_prepared, print_json
from onsettle.cli.worker import checked_config
from onsettle.local.database import configured

if TYPE_CHECKING:
    from onsettle.engine.recovery import Case
    from onsettle.runtime import Engine
    from onsettle.store.database import Database

#: Verdicts after which a worker has to act.
_BY_WORKERS = ("retry", "wait", "complete", "over")

Apply = Callable[[Sequence["Case"]], Awaitable[list["Case"]]]


@asynccontextmanager
async def looking() -> AsyncIterator["Engine"]:
    """An engine that is open and not started: it reads the chain and sends nothing."""
    config = checked_config(quiet=True)

    from onsettle.runtime import Engine

    async with configured(config) as whole:
        await assert_prepared(whole)
        engine = await Engine.open(whole, wait_s=10)
        try:
            if not engine.networks:
                raise click.ClickException("; ".join(engine.problems) or "No chain answers.")
            yield engine
        finally:
            await engine.close()


async def settle_cases(
    db: "Database",
    cases: list["Case"],
    apply: Apply,
    *,
    what: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> list["Case"]:
    """Show the evidence, ask, do it. The cases as they are afterwards."""
    from onsettle.engine.recovery import AT_MOST

    workers = len(await db.fetch("workers_live"))
    acting = sum(case.acts for case in cases)
    if not as_json:
        for case in cases:
            _print(case)
        click.echo(_counts(cases, what))
        if len(cases) >= AT_MOST:
            click.echo(f"These are the oldest {AT_MOST}: run it again for the rest.")
    if acting and not dry_run and (yes or agreed_for(acting, what)):
        cases = await apply(cases)
        for case in cases:
            if case.done is False and not as_json:
                click.echo(
                    f"{case.id}: it moved while it was judged, or its block could not be read;"
                    " look again."
                )
    if as_json:
        print_json(
            {"dry_run": dry_run, "workers": workers, what: [case.public() for case in cases]}
        )
    elif not workers and any(case.ruling.verdict.value in _BY_WORKERS for case in cases):
        click.echo(
            "No worker runs: nothing is sent, minted or delivered before one does. Start"
            " `onsettle worker`, or `onsettle serve`."
        )
    return cases


def agreed_for(count: int, what: str) -> bool:
    return agreed(f"Act on {count} {what} as shown above", yes=False, dry_run=False)


def undecided(cases: Sequence["Case"]) -> bool:
    """Whether something asked for was not done: a node was silent, or a row moved."""
    return any(c.ruling.verdict.value == "unknown" or c.done is False for c in cases)


def _print(case: "Case") -> None:
    click.echo(f"{case.id}  {case.status} -> {case.ruling.verdict.value}: {case.ruling.why}")
    known = {name: value for name, value in case.evidence.items() if value is not None}
    if known:
        click.echo("    " + ", ".join(f"{name} {value}" for name, value in known.items()))


def _counts(cases: Sequence["Case"], what: str) -> str:
    counts = Counter(case.ruling.verdict.value for case in cases)
    said = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    return f"{len(cases)} {what}" + (f": {said}" if said else "")
