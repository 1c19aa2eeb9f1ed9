"""The database server that the tests share: one embedded PostgreSQL, or the one that is named."""

import asyncio
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from onsettle.local.place import let_pass
from onsettle.local.postgres import EmbeddedPostgres

T = TypeVar("T")


class Server:
    """Runs in a thread of its own, so that tests with loops of their own can share it.

    `TEST_DATABASE_URL` (or `DATABASE_URL`) names a server to use instead; its user must be allowed
    to create databases.
    """

    def __init__(self) -> None:
        # Not below pytest's folder, which lets nobody pass, so not root's PostgreSQL either.
        self._folder = Path(tempfile.mkdtemp(prefix="onsettle-test-"))
        let_pass(self._folder)
        self._url = os.environ.get("TEST_DATABASE_URL") or os.environ.get("DATABASE_URL")
        self._embedded = None if self._url else EmbeddedPostgres(self._folder)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        if self._embedded is not None:
            self._url = self._run(self._embedded.start())

    def stop(self) -> None:
        if self._embedded is not None:
            self._run(self._embedded.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        shutil.rmtree(self._folder)

    def create(self, *, like: str | None = None) -> str:
        """The DSN of a new database: empty, or a copy of `like`, which nobody may be using."""
        name = f"test_{secrets.token_hex(6)}"
        copied = f" template {_name(like)}" if like else ""
        self._run(self._admin(f"create database {name}{copied}"))
        parts = urlsplit(str(self._url))
        return urlunsplit(parts._replace(path=f"/{name}"))

    def drop(self, dsn: str) -> None:
        self._run(self._admin(f"drop database if exists {_name(dsn)} with (force)"))

    async def _admin(self, statement: str) -> None:
        connection = await asyncpg.connect(self._url, timeout=30)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)


def _name(dsn: str) -> str:
    return urlsplit(dsn).path.removeprefix("/")
