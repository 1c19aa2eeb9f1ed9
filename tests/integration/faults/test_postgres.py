"""A database that is killed, read-only or full."""

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import pytest

from onsettle.api.app import create_app
from onsettle.engine.intake import Accepted
from onsettle.local.place import let_pass
from onsettle.local.postgres import EmbeddedPostgres
from onsettle.runtime import Engine
from onsettle.store.database import UNAVAILABLE
from tests.harness.books import accepted, running
from tests.harness.http import serving
from tests.harness.stack import PAYEE, PRICE, Stack, eventually


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that root's service user may pass through, too."""
    with tempfile.TemporaryDirectory(prefix="onsettle-test-") as made:
        let_pass(Path(made))
        yield Path(made)


async def _insist(engine: Engine, bodies: list[dict[str, Any]]) -> list[UUID]:
    """Submit as a client does that got no answer: the same again, until there is one."""
    while True:
        try:
            answers = await engine.intake.submit_many(bodies)
        except UNAVAILABLE:
            await asyncio.sleep(0.05)
            continue
        ids = [answer.id for answer in answers if isinstance(answer, Accepted)]
        if len(ids) == len(bodies):
            return ids


async def test_a_killed_database_loses_nothing_that_was_acknowledged(folder: Path) -> None:
    """PostgreSQL dies twice under load: the engine reconnects by itself, and every payment that
    was acknowledged completes once."""
    postgres = EmbeddedPostgres(folder)
    dsn = await postgres.start()
    try:
        async with Stack(dsn, folder / "chain") as stack, running(stack) as engine:
            bodies = [stack.body(engine, payer) for payer in await stack.payers(60)]
            ids: list[UUID] = []
            for at in range(0, 60, 5):
                if at in (15, 40):
                    assert postgres.pid is not None
                    os.kill(postgres.pid, signal.SIGKILL)
                ids += await _insist(engine, bodies[at : at + 5])
            assert len(set(ids)) == 60
            await stack.all_are(engine, ids, "completed")
            await stack.all_minted(engine, 60)
            assert await stack.token_balance(PAYEE) == 60 * PRICE
            await stack.verified(engine)
    finally:
        await postgres.stop()


async def _as_admin(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _read_only(dsn: str, *, on: bool) -> None:
    name = urlsplit(dsn).path.removeprefix("/")
    await _as_admin(
        dsn,
        # This session must be able to write even while the database says that nobody is.
        "set default_transaction_read_only = off",
        f"alter database {name} set default_transaction_read_only = {'on' if on else 'off'}",
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()",
    )


async def test_a_read_only_database_refuses_clearly_and_loses_nothing(held: Stack) -> None:
    """A standby that took over, or a disk that was remounted: new payments get a 503 and are not
    kept; what was on its way completes when the database takes writes again."""
    async with running(held) as engine, serving(create_app(engine)) as http:
        payers = await held.payers(3)
        bodies = [held.body(engine, payer) for payer in payers]
        ids = await accepted(engine, bodies[:2])
        await held.all_are(engine, ids, "sent")
        await _read_only(held.dsn, on=True)

        async def refused() -> bool:
            # The first answer may still be that of a connection that was just closed.
            answer = await http.post("/v1/payments", json=bodies[2])
            assert answer.status_code == 503, answer.text
            return answer.headers["content-type"].startswith("application/problem+json")

        await eventually(refused)
        await held.mine()
        await _read_only(held.dsn, on=False)
        await held.release_blocks()
        async with held.database() as db:  # not by a connection that was just closed
            assert await db.fetchval("payments_pending_count", 10) == 0
        ids += await _insist(engine, bodies[2:])
        await held.all_are(engine, ids, "completed")
        await held.all_minted(engine, 3)
        assert await held.token_balance(PAYEE) == 3 * PRICE
        await held.verified(engine)


class MountedDisk:
    """A disk of 40 MB that holds a database's tables; its log is elsewhere."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    async def fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    async def free(self) -> None:
        self._ballast.unlink()


class ToldDisk:
    """Where nobody may mount a disk: PostgreSQL says of every second statement that adds rows what
    it says when it can't extend a file."""

    _TABLES = (
        "payment_queue",
        "payment_events",
        "transactions",
        "attempts",
        "mint_queue",
        "blocks",
    )

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def fill(self) -> None:
        await _as_admin(
            self._dsn,
            "create sequence statements",
            "create function no_space() returns trigger language plpgsql as $$ begin"
            " if nextval('statements') % 2 = 0 then return null; end if;"
            " raise exception using errcode = '53100', message = 'could not extend file:"
            " No space left on device'; end $$",
            *(
                f"create trigger no_space before insert on {table}"
                " for each statement execute function no_space()"
                for table in self._TABLES
            ),
        )

    async def free(self) -> None:
        await _as_admin(self._dsn, "drop function no_space cascade", "drop sequence statements")


@pytest.fixture
def mounted() -> Iterator[Path | None]:
    """A disk of 40 MB, where that may be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="onsettle-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)]
    able = os.geteuid() == 0 and not subprocess.run(mount, check=False, timeout=20).returncode
    yield folder if able else None
    if able:
        subprocess.run(["umount", str(folder)], check=True, timeout=20)
    folder.rmdir()


@pytest.fixture
async def small_disk(
    mounted: Path | None, dsn: str
) -> AsyncIterator[tuple[str, MountedDisk | ToldDisk]]:
    """A database whose disk can be filled and freed."""
    if mounted is None:
        yield dsn, ToldDisk(dsn)
        return
    connection = await asyncpg.connect(dsn)
    _give(mounted, like=await connection.fetchval("show data_directory"))
    await connection.execute(f"create tablespace small_disk location '{mounted}'")
    await connection.execute("create database small_disk tablespace small_disk")
    yield urlunsplit(urlsplit(dsn)._replace(path="/small_disk")), MountedDisk(mounted)
    await connection.execute("drop database small_disk with (force)")
    await connection.execute("drop tablespace small_disk")
    await connection.close()


def _give(folder: Path, *, like: str) -> None:
    owner = Path(like).stat()
    os.chown(folder, owner.st_uid, owner.st_gid)


async def test_a_full_disk_refuses_clearly_and_loses_nothing(
    small_disk: tuple[str, MountedDisk | ToldDisk], tmp_path: Path
) -> None:
    """No space left: new payments get a 503 until there is space; every payment that got a 202,
    before and while the disk was full, completes once."""
    dsn, disk = small_disk
    async with (
        Stack(dsn, tmp_path) as stack,
        running(stack) as engine,
        serving(create_app(engine)) as http,
    ):
        bodies = [stack.body(engine, payer) for payer in await stack.payers(150)]
        ids = await accepted(engine, bodies[:20])
        await disk.fill()
        answers = await asyncio.gather(
            *(http.post("/v1/payments", json=body) for body in bodies[20:])
        )
        assert {answer.status_code for answer in answers} <= {202, 503}
        assert 503 in {answer.status_code for answer in answers}
        ids += [UUID(answer.json()["id"]) for answer in answers if answer.status_code == 202]
        await disk.free()
        refused = [
            body
            for body, answer in zip(bodies[20:], answers, strict=True)
            if answer.status_code == 503
        ]
        ids += await _insist(engine, refused)
        assert len(set(ids)) == 150
        await stack.all_are(engine, ids, "completed")
        await stack.all_minted(engine, 150)
        assert await stack.token_balance(PAYEE) == 150 * PRICE
        await stack.verified(engine)
