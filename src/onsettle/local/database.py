"""The database that a configuration means: the one it names, or the embedded one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from onsettle.config import Config
from onsettle.local.postgres import EmbeddedPostgres


@asynccontextmanager
async def configured(config: Config, *, stop_s: float | None = None) -> AsyncIterator[Config]:
    """The configuration with a database in it: the embedded one where none is named.

    `stop_s`: whoever has to leave waits no longer than this for the embedded one to stop.
    """
    if config.database_url is not None:
        yield config
        return
    embedded = EmbeddedPostgres(config.data_dir, stop_s=stop_s)
    dsn = await embedded.start()
    try:
        yield config.model_copy(update={"database_url": dsn})
    finally:
        await embedded.stop()
