"""The runtime settings in force, read from the database."""

import time
from collections.abc import Callable

import structlog

from onsettle.domain.settings import DEFAULTS, RuntimeSettings, read
from onsettle.store.database import Database

# Shared by the loops of one process; far below the two seconds a change may take.
_FRESH_S = 0.25

log = structlog.get_logger()


class SettingsReader:
    """Keeps the last good value of every setting and reports a bad one once."""

    def __init__(
        self, db: Database, read: Callable[[RuntimeSettings], None] = lambda _: None
    ) -> None:
        """`read` is told what is in force, whenever that was read."""
        self._db = db
        self._read = read
        self._good = DEFAULTS
        self._read_at = float("-inf")
        self._reported: set[str] = set()

    async def get(self) -> RuntimeSettings:
        if time.monotonic() - self._read_at > _FRESH_S:
            rows = {row["key"]: row["value"] for row in await self._db.fetch("settings_read")}
            self._good, refused = read(rows, self._good)
            self._read_at = time.monotonic()
            self._read(self._good)
            for sentence in refused:
                if sentence not in self._reported:
                    log.warning("setting_refused", detail=sentence)
            self._reported = set(refused)
        return self._good
