"""An embedded PostgreSQL: the wheel's programs under a supervisor of our own.

Durable settings, a private socket folder, peer authentication; no TCP port at all. Any number of
processes may use one data folder: the first starts the server, the others adopt it, the last one
stops it, and whoever sees it die starts it again.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO
from urllib.parse import quote

import asyncpg
import structlog

from onsettle.local.binaries import POSTGRES_MAJOR
from onsettle.local.place import Place, PostgresFailed, find_place, socket_name
from onsettle.local.processes import exists, runs
from onsettle.store.database import UNAVAILABLE

__all__ = ["EmbeddedPostgres", "PostgresFailed"]

log = structlog.get_logger()

#: How long a server may take to read its log again after a crash.
_START_S = 90
#: How long one that ends at once is tried again: after a kill -9 of the postmaster, its last
#: children may still hold the shared memory.
_RETRY_S = 20.0
#: One that is being started is not stopped before it is there, or so much time has passed.
_LAUNCH_S = 2
_STOP_S = 60
_LOOK_S = 0.2
_NOBODYS_PID = 2**30  # no system gives out numbers as high
_DSN = "postgresql://onsettle@/onsettle?host="
_CONF = """
listen_addresses = ''
unix_socket_permissions = 0700
fsync = on
synchronous_commit = on
full_page_writes = on
max_connections = 100
shared_buffers = 384MB
checkpoint_timeout = 15min
max_wal_size = 1GB
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = on
log_directory = 'log'
log_filename = 'postgresql-%a.log'
log_truncate_on_rotation = on
log_rotation_age = 1d
"""


class EmbeddedPostgres:
    """The server of one data folder, as this process uses it."""

    def __init__(self, data_dir: Path, *, stop_s: float | None = None) -> None:
        """`stop_s`: a stop takes no longer, and what is not done by then the server does alone."""
        self._data_dir = data_dir
        self._stop_s = stop_s
        self._place: Place | None = None
        self._using: IO[str] | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def dsn(self) -> str:
        return _DSN + quote(str(self._here.socket))

    @staticmethod
    def is_of(data_dir: Path, dsn: str) -> bool:
        """Whether this DSN names the server of this data folder, as an earlier start printed it."""
        return dsn.startswith(_DSN) and Path(dsn).name == socket_name(data_dir)

    @property
    def pid(self) -> int | None:
        """The server's process; None when it does not run."""
        return int(self._lock_file()[0]) if self._place and self._running() else None

    @property
    def log_dir(self) -> Path:
        return self._here.cluster / "log"

    async def start(self) -> str:
        """The DSN of a server that answers. Raises PostgresFailed or MissingProgramError."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        async with self._alone():
            self._place = await asyncio.to_thread(find_place, self._data_dir)
            self._place.make_folders()
            self._using = (self._data_dir / "postgres.users").open("w")
            fcntl.flock(self._using, fcntl.LOCK_SH)  # held while this process uses the server
            try:
                await self._initialise()
                await self._run()
                await self._make_database()
            except BaseException:
                await self._leave()
                raise
        self._supervisor = asyncio.create_task(self._supervise(), name="onsettle-postgres")
        return self.dsn

    async def stop(self) -> None:
        """Stop the server cleanly, unless another process uses it."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
        if self._using is not None:
            try:
                async with self._alone(self._stop_s):
                    await self._leave()
            except PostgresFailed:
                # Another process is at it, and uses it: it is not ours to stop.
                self._using.close()
                self._using = None

    @asynccontextmanager
    async def _alone(self, within_s: float | None = None) -> AsyncIterator[None]:
        """One process at a time starts or stops the server; the kernel frees a dead one's lock."""
        with (self._data_dir / "postgres.lock").open("w") as lock:
            loop = asyncio.get_running_loop()
            deadline = loop.time() + (_START_S + _RETRY_S if within_s is None else within_s)
            while True:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                if loop.time() > deadline:
                    raise PostgresFailed(
                        f"Another process has been starting or stopping the database in"
                        f" {self._data_dir} for too long: look for it, or restart it"
                    )
                await asyncio.sleep(0.05)
            yield

    async def _leave(self) -> None:
        if self._using is None:
            return
        with self._using as using, contextlib.suppress(BlockingIOError):
            fcntl.flock(using, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while others use it
            await self._halt()
        self._using = None

    async def _halt(self) -> None:
        if not self._running():
            return
        wait_s = _STOP_S if self._stop_s is None else self._stop_s
        stop = ("stop", "-D", str(self._here.cluster), "-w", "-t", f"{wait_s:.0f}", "-m")
        if (await self._program("pg_ctl", *stop, "fast"))[0]:
            if self._stop_s is not None:
                # It was told to, and goes on by itself; whoever starts it next waits for that.
                log.warning("database_still_stopping")
                return
            await self._program("pg_ctl", *stop, "immediate")
        with contextlib.suppress(OSError):
            self._here.socket.rmdir()

    @property
    def _here(self) -> Place:
        assert self._place is not None, "not started"
        return self._place

    async def _initialise(self) -> None:
        """Make the cluster where there is none. Half a cluster never has its name."""
        cluster = self._here.cluster
        if not cluster.exists():
            fresh = cluster.with_name("unfinished")
            await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
            failed, said = await self._program(
                "initdb", "-D", str(fresh), "-U", "onsettle", "--auth=peer", "-E", "UTF8",
                "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
                "--data-checksums",
            )  # fmt: skip
            if failed:
                raise PostgresFailed(f"initdb failed: {said[-500:]}")
            with (fresh / "postgresql.conf").open("a") as conf:
                conf.write(_CONF)
            users = {self._here.account.name} | ({"root"} if self._here.account.switched else set())
            (fresh / "pg_hba.conf").write_text("local all all peer map=onsettle\n")
            (fresh / "pg_ident.conf").write_text(
                "".join(f"onsettle {name} onsettle\n" for name in sorted(users))
            )
            fresh.rename(cluster)
        version = (cluster / "PG_VERSION").read_text().strip()
        if version != str(POSTGRES_MAJOR):
            raise PostgresFailed(
                f"{cluster} was made by PostgreSQL {version}, this one is {POSTGRES_MAJOR}: dump"
                " it with the old version, or set DATABASE_URL"
            )

    async def _run(self) -> None:
        """Adopt the server or start it; returns when it answers."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + _RETRY_S
        self._follow()
        while not await self._answers():
            # One that runs is still reading its log: it needs nothing but time.
            failed, said = (0, "") if self._running() else await self._launch()
            failed = 0 if self._running() else failed
            self._follow()
            if loop.time() > (give_up if failed else give_up + _START_S):
                raise PostgresFailed(
                    f"PostgreSQL does not start: {said or 'it does not answer'}."
                    f" Its log is in {self._here.cluster / 'log'}"
                )
            await asyncio.sleep(0.1)

    async def _launch(self) -> tuple[int, str]:
        place = self._here
        place.make_folders()  # somebody may have cleaned the folder for temporary files
        self._disown_lock()
        said = place.home / "start.log"
        said.unlink(missing_ok=True)
        failed, told = await self._program(
            "pg_ctl", "start", "-D", str(place.cluster), "-w", "-t", str(_LAUNCH_S),
            "-l", str(said), "-o", f"-k '{place.socket}'",
        )  # fmt: skip
        if not failed:
            return 0, ""
        with contextlib.suppress(OSError, IndexError):
            told = said.read_text(errors="replace").strip().splitlines()[-1]
        return failed, told.strip()

    def _lock_file(self) -> list[str]:
        """What the server wrote about itself: its process id first, its socket folder fifth."""
        try:
            return (self._here.cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _running(self) -> bool:
        lines = self._lock_file()
        return bool(lines) and lines[0].isdigit() and runs(int(lines[0]), "postgres")

    def _follow(self) -> None:
        """Use the socket folder of the server that runs: TMPDIR may have been another there."""
        lines = self._lock_file()
        if self._place is not None and self._running() and len(lines) > 4 and lines[4]:
            self._place = replace(self._place, socket=Path(lines[4]))

    def _disown_lock(self) -> None:
        """Say that a dead server's process id is nobody's, where another program has it now.

        PostgreSQL would take that program for itself and refuse to start. The rest of the file
        stays: by it PostgreSQL finds the dead server's last children.
        """
        lines = self._lock_file()
        if lines and lines[0].isdigit() and exists(int(lines[0])):
            text = "\n".join([str(_NOBODYS_PID), *lines[1:]]) + "\n"
            (self._here.cluster / "postmaster.pid").write_text(text)
        (self._here.socket / ".s.PGSQL.5432.lock").unlink(missing_ok=True)

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._running():
                continue
            try:
                async with self._alone():
                    if not self._running():
                        log.warning("database_ended", next="starting it again")
                    await self._run()
                log.info("database_back")
            except (PostgresFailed, OSError) as error:
                log.error("database_does_not_start", problem=str(error))

    async def _program(self, name: str, *args: str) -> tuple[int, str]:
        """Run one of PostgreSQL's programs: its exit code, and what it said."""
        account = self._here.account
        # Not by asyncio's own means: uvloop starts no process as another user.
        work = asyncio.to_thread(
            subprocess.run,
            [str(self._here.programs / name), *args],
            cwd=self._here.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            user=account.uid if account.switched else None,
            group=account.gid if account.switched else None,
            extra_groups=[] if account.switched else None,
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(self._here.home), "LC_ALL": "C"},
        )
        running = asyncio.create_task(work)
        try:
            ended = await asyncio.shield(running)
        except asyncio.CancelledError:
            await running  # a server that is being started can be stopped when it is there
            raise
        return ended.returncode, ended.stdout.decode(errors="replace").strip()

    async def _answers(self) -> bool:
        try:
            connection = await self._connect()
        except (asyncpg.PostgresError, *UNAVAILABLE):
            return False
        await connection.close()
        return True

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            host=str(self._here.socket), user="onsettle", database="postgres", timeout=10
        )

    async def _make_database(self) -> None:
        connection = await self._connect()
        try:
            known = "select 1 from pg_database where datname = 'onsettle'"
            if not await connection.fetchval(known):
                await connection.execute("create database onsettle")
        finally:
            await connection.close()
