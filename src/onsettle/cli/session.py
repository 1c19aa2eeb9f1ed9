"""What every command needs: the database, answers as JSON, a question before a change."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import click
import orjson

from onsettle.config import Config, load
from onsettle.local.database import configured
from onsettle.store.database import Database

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would change.")


def dsn_of(config: Config) -> str:
    if config.database_url is None:
        raise click.ClickException("DATABASE_URL is not set.")
    return str(config.database_url)


async def assert_prepared(config: Config) -> None:
    """A command that only looks, or repairs, does not change the schema on the way."""
    from onsettle.store.migrate import migrate, migrations

    missing = await migrate(dsn_of(config), dry_run=True)
    if len(missing) >= len(migrations()):
        raise click.ClickException("The database is not migrated: run `onsettle migrate`.")
    if missing:
        raise click.ClickException(
            f"The database is older than this version ({', '.join(missing)} missing): run"
            " `onsettle migrate`."
        )


@asynccontextmanager
async def opened() -> AsyncIterator[Database]:
    async with configured(load()) as config:
        await assert_prepared(config)
        async with await Database.connect(dsn_of(config), size=2) as db:
            yield db


def list_alone(ctx: click.Context, listing: click.Command, *, as_json: bool) -> None:
    """A group without a command lists, and takes `--json` as its `list` does."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(listing, as_json=as_json)
    elif as_json:
        raise click.UsageError("--json goes after the command.")


def plain(value: object) -> object:
    """As JSON: amounts are decimal strings, since wei do not fit a float."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def print_json(value: object) -> None:
    text = orjson.dumps(plain(value), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    click.echo(text.decode(), nl=False)


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Print rows under headings; `columns` maps a key to its heading."""
    cells = [list(columns.values())]
    cells += [[_cell(row.get(key)) for key in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(plain(value))


def agreed(question: str, *, yes: bool, dry_run: bool) -> bool:
    """Whether to go on. Refusing is not doing what was asked, so it ends the command with 1."""
    if dry_run:
        click.echo(f"Would {question[0].lower()}{question[1:]}.")
        return False
    if not yes:
        click.confirm(f"{question}?", abort=True, err=True)
    return True
