"""An embedded PostgreSQL: the wheel's binaries under a supervisor of our own.

Durable settings, a private socket folder, peer authentication; no TCP port at all.
"""

import asyncio
import contextlib
import fcntl
import getpass
import hashlib
import os
import pwd
import shutil
import tempfile
from pathlib import Path

import asyncpg

from onsettle.local.binaries import find_postgres_bin

_START_S = 90.0
_SERVICE_USERS = ("onsettle", "postgres", "pgserver", "nobody")
_CONF = """
listen_addresses = ''
unix_socket_permissions = 0700
fsync = on
synchronous_commit = on
full_page_writes = on
max_connections = 100
shared_buffers = 128MB
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = on
log_directory = 'log'
log_filename = 'postgresql-%a.log'
log_truncate_on_rotation = on
log_rotation_age = 1d
"""


class PostgresFailed(RuntimeError):
    """The embedded server can't be used; the text says what to do."""


class EmbeddedPostgres:
    """One cluster in `data_dir`. Started or adopted; restarted when it dies; stopped if ours."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._bin = find_postgres_bin()
        key = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:16]
        # PostgreSQL refuses to run as root: root keeps the cluster where a service user can reach
        # it, since the modes of the data folder's parents are not ours to open.
        self._user = _service_user() if os.geteuid() == 0 else None
        self._home = Path(f"/var/lib/onsettle/{key}") if self._user else data_dir / "postgres"
        self._cluster = self._home / "cluster"
        self._socket = Path(tempfile.gettempdir()) / f"onsettle-pg-{key}"
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def dsn(self) -> str:
        return f"postgresql://onsettle@/onsettle?host={self._socket}"

    @property
    def pid(self) -> int | None:
        """The server's process; None when it was adopted or is not running."""
        return None if self._process is None else self._process.pid

    async def start(self) -> str:
        """The DSN of a server that answers; raises PostgresFailed."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        with (self._data_dir / "postgres.lock").open("w") as lock:
            await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
            await asyncio.to_thread(self._make_folders)
            if not (self._cluster / "PG_VERSION").exists():
                await self._initialise()
            self._check_version()
            if not await self._answers("postgres"):
                await self._launch()
                self._supervisor = asyncio.create_task(self._supervise())
            await self._make_database()
        return self.dsn

    async def stop(self) -> None:
        """Stop the server cleanly if this process started it."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
            self._supervisor = None
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(2)  # SIGINT: fast shutdown
            await self._process.wait()
        self._process = None

    def _make_folders(self) -> None:
        for folder in (self._home, self._socket):
            folder.mkdir(parents=True, exist_ok=True)
            if self._user is not None:
                shutil.chown(folder, self._user)
            owner = folder.stat().st_uid
            expected = pwd.getpwnam(self._user).pw_uid if self._user else os.geteuid()
            if owner != expected:
                raise PostgresFailed(f"{folder} belongs to somebody else: remove it or set TMPDIR")
            folder.chmod(0o700)

    def _check_version(self) -> None:
        version = (self._cluster / "PG_VERSION").read_text().strip()
        if version != "18":
            raise PostgresFailed(
                f"{self._cluster} was made by PostgreSQL {version}, this one is 18: dump it with"
                " the old version, or set DATABASE_URL"
            )

    async def _initialise(self) -> None:
        process = await self._spawn(
            "initdb",
            "-D",
            str(self._cluster),
            "-U",
            "onsettle",
            "--auth=peer",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--data-checksums",
            quiet=True,
        )
        _, errors = await process.communicate()
        if process.returncode:
            raise PostgresFailed(f"initdb failed: {errors.decode(errors='replace')[-500:]}")
        me = getpass.getuser() if self._user is None else "root"
        conf = self._cluster / "postgresql.conf"
        conf.write_text(conf.read_text() + _CONF)
        (self._cluster / "pg_hba.conf").write_text("local all all peer map=onsettle\n")
        (self._cluster / "pg_ident.conf").write_text(
            "".join(f"onsettle {name} onsettle\n" for name in {me, self._user or me})
        )

    async def _launch(self) -> None:
        self._process = await self._spawn(
            "postgres", "-D", str(self._cluster), "-k", str(self._socket)
        )
        deadline = asyncio.get_running_loop().time() + _START_S
        while not await self._answers("postgres"):
            if self._process.returncode is not None:
                # After a kill -9 the old backends may still hold the shared memory.
                await asyncio.sleep(0.3)
                self._process = await self._spawn(
                    "postgres", "-D", str(self._cluster), "-k", str(self._socket)
                )
            if asyncio.get_running_loop().time() > deadline:
                raise PostgresFailed(f"PostgreSQL did not start: see {self._cluster / 'log'}")
            await asyncio.sleep(0.1)

    async def _supervise(self) -> None:
        while True:
            if self._process is not None:
                await self._process.wait()
            with contextlib.suppress(PostgresFailed):
                await self._launch()

    async def _spawn(
        self, program: str, *args: str, quiet: bool = False
    ) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE if quiet else asyncio.subprocess.DEVNULL
        home = str(self._home)
        if self._user is None:
            return await asyncio.create_subprocess_exec(
                str(self._bin / program),
                *args,
                cwd=home,
                stdout=pipe,
                stderr=pipe,
                start_new_session=True,
            )
        account = pwd.getpwnam(self._user)
        return await asyncio.create_subprocess_exec(
            str(self._bin / program),
            *args,
            cwd=home,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            env={"PATH": os.environ.get("PATH", ""), "HOME": home},
        )

    async def _answers(self, database: str) -> bool:
        try:
            connection = await asyncpg.connect(
                host=str(self._socket), user="onsettle", database=database, timeout=3
            )
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        await connection.close()
        return True

    async def _make_database(self) -> None:
        connection = await asyncpg.connect(
            host=str(self._socket), user="onsettle", database="postgres", timeout=10
        )
        try:
            if not await connection.fetchval(
                "select 1 from pg_database where datname = 'onsettle'"
            ):
                await connection.execute("create database onsettle")
        finally:
            await connection.close()


def _service_user() -> str:
    for name in _SERVICE_USERS:
        with contextlib.suppress(KeyError):
            pwd.getpwnam(name)
            return name
    raise PostgresFailed("PostgreSQL can't run as root, and there is no service user: make one")
