"""The embedded PostgreSQL: durable, private, shared between processes, back after a crash."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from onsettle.local import place
from onsettle.local.binaries import find_postgres_bin
from onsettle.local.place import Account, Place, PostgresFailed, _take, find_place
from onsettle.local.postgres import EmbeddedPostgres
from onsettle.store.database import UNAVAILABLE
from tests.harness.stack import eventually

_USE_IT = """
import asyncio, sys
from pathlib import Path
from onsettle.local.postgres import EmbeddedPostgres

async def main():
    print(await EmbeddedPostgres(Path(sys.argv[1])).start(), flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def ask(server: EmbeddedPostgres, question: str) -> object:
    connection = await asyncpg.connect(server.dsn, timeout=10)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def answers(server: EmbeddedPostgres) -> bool:
    try:
        return await ask(server, "select 1") == 1
    except (asyncpg.PostgresError, *UNAVAILABLE):
        return False


def postmaster(folder: Path) -> int:
    lock = find_place(folder).cluster / "postmaster.pid"
    return int(lock.read_text().splitlines()[0])


def modes(path: Path) -> dict[Path, int]:
    return {each: each.stat().st_mode for each in path.parents}


@contextlib.contextmanager
def another_process(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process of its own that uses the server, until it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", _USE_IT, str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("postgresql://")
            yield process
        finally:
            process.kill()


async def test_it_is_durable_and_private(data_folder: Path) -> None:
    """Nothing that was acknowledged is only in memory; nobody else gets in; no folder is opened."""
    before = modes(data_folder)
    async with running(data_folder) as server:
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert await ask(server, f"show {setting}") == "on", setting
        assert await ask(server, "show listen_addresses") == ""
        assert await ask(server, "select array_agg(auth_method) from pg_hba_file_rules") == ["peer"]
        where = find_place(data_folder)
        assert where.socket.stat().st_mode & 0o777 == 0o700
        assert where.home.stat().st_mode & 0o777 == 0o700
        assert where.cluster.stat().st_mode & 0o077 == 0
    assert modes(data_folder) == before
    assert not where.socket.exists()


async def test_the_last_user_stops_it(data_folder: Path) -> None:
    """A second user adopts the running server, and keeps it when the first one leaves."""
    async with running(data_folder) as first:
        await ask(first, "create table kept (n int)")
        started = postmaster(data_folder)
        second = EmbeddedPostgres(data_folder)
        await second.start()
        assert postmaster(data_folder) == started
    assert await answers(second)
    assert postmaster(data_folder) == started
    await second.stop()
    assert not await answers(second)
    assert not (find_place(data_folder).cluster / "postmaster.pid").exists()
    async with running(data_folder) as again:
        assert await ask(again, "select count(*) from kept") == 0


async def test_processes_that_start_at_once_share_one_server(data_folder: Path) -> None:
    """Nobody meets half a cluster, and nobody starts a second server."""
    servers = [EmbeddedPostgres(data_folder) for _ in range(4)]
    dsns = await asyncio.gather(*(server.start() for server in servers))
    assert len(set(dsns)) == 1
    assert all([await answers(server) for server in servers])
    for server in servers:
        await server.stop()
    assert not await answers(servers[0])


async def test_every_acknowledged_row_is_back_after_a_kill(data_folder: Path) -> None:
    """kill -9 of the postmaster under load: back within 15 s, with all that it acknowledged."""
    acknowledged: list[int] = []

    async def write(worker: int) -> None:
        connection = await asyncpg.connect(server.dsn, timeout=10)
        with contextlib.suppress(asyncpg.PostgresError, *UNAVAILABLE):
            for at in range(100_000):
                n = at * 10 + worker
                await connection.execute("insert into kept values ($1)", n)
                acknowledged.append(n)
        connection.terminate()

    async with running(data_folder) as server:
        await ask(server, "create table kept (n int)")
        writers = [asyncio.create_task(write(worker)) for worker in range(4)]

        async def enough() -> bool:
            return len(acknowledged) > 500

        await eventually(enough)
        os.kill(postmaster(data_folder), signal.SIGKILL)
        await asyncio.gather(*writers)
        await eventually(lambda: answers(server), within_s=15)
        connection = await asyncpg.connect(server.dsn, timeout=10)
        there = {row["n"] for row in await connection.fetch("select n from kept")}
        await connection.close()
    assert set(acknowledged) <= there


async def test_a_server_outlives_its_starter_and_is_still_watched(data_folder: Path) -> None:
    """The process that started it is killed: another adopts it, and restarts it when it dies."""
    with another_process(data_folder) as starter:
        started = postmaster(data_folder)
        starter.kill()
        starter.wait()
        async with running(data_folder) as server:
            assert postmaster(data_folder) == started
            os.kill(started, signal.SIGKILL)
            await eventually(lambda: answers(server), within_s=15)
            assert postmaster(data_folder) != started
        assert not await answers(server)


async def test_a_number_that_is_another_program_s_now_does_not_stop_it(data_folder: Path) -> None:
    """After a crash, as after a reboot, the dead server's process id may belong to anybody."""
    with another_process(data_folder) as starter:
        starter.kill()
        starter.wait()
    pid = postmaster(data_folder)
    os.kill(pid, signal.SIGKILL)

    lock = find_place(data_folder).cluster / "postmaster.pid"
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    async with running(data_folder) as server:
        assert await answers(server)


async def test_a_start_that_is_given_up_leaves_nothing_running(data_folder: Path) -> None:
    """Ctrl-C in the middle of a start: the server that was on its way is stopped, too."""
    server, said = EmbeddedPostgres(data_folder), find_place(data_folder).home / "start.log"

    async def under_way() -> bool:
        return await asyncio.to_thread(said.exists)

    start = asyncio.create_task(server.start())
    await eventually(under_way, every_s=0.005)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert server.pid is None
    assert not await answers(server)


async def test_half_a_cluster_is_made_again(data_folder: Path) -> None:
    """Somebody pulled the plug while the cluster was being made."""
    where = find_place(data_folder)
    where.make_folders()
    half = where.home / "unfinished"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    async with running(data_folder) as server:
        assert await answers(server)
    assert not half.exists()


async def test_a_cluster_of_another_version_is_left_alone(data_folder: Path) -> None:
    """It says which version made it, and what to do."""
    where = find_place(data_folder)
    where.make_folders()
    where.cluster.mkdir()
    (where.cluster / "PG_VERSION").write_text("13\n")
    with pytest.raises(PostgresFailed, match=r"PostgreSQL 13.*DATABASE_URL"):
        await EmbeddedPostgres(data_folder).start()
    assert [path.name for path in where.cluster.iterdir()] == ["PG_VERSION"]


async def test_a_server_that_can_not_start_says_why(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has PostgreSQL's own last words and where its log is."""
    monkeypatch.setattr("onsettle.local.postgres._RETRY_S", 0.5)
    async with running(data_folder):
        pass
    conf = find_place(data_folder).cluster / "postgresql.conf"
    conf.write_text(conf.read_text() + "\nnot_a_setting = 1\n")
    with pytest.raises(PostgresFailed, match=r"postgresql.conf.*log"):
        await EmbeddedPostgres(data_folder).start()


def test_a_folder_lets_pass_whom_its_mode_names(tmp_path: Path) -> None:
    """The owner's, the group's or the others' bit counts, never the sum of them."""
    account = Account(name="x", uid=2**31 - 2, gid=2**31 - 2, switched=True)
    mine = Account(name="me", uid=tmp_path.stat().st_uid, gid=-1, switched=True)
    inner = tmp_path / "inner"
    inner.mkdir()
    inner.chmod(0o711)
    tmp_path.chmod(0o701)
    assert [a._passes(tmp_path) for a in (account, mine)] == [True, True]
    tmp_path.chmod(0o700)
    assert [a._passes(tmp_path) for a in (account, mine)] == [False, True]
    assert not account.reaches(inner)


def _place(folder: Path, account: Account) -> Place:
    return Place(
        account=account, programs=folder, home=folder / "home", socket=folder / "onsettle-pg-1"
    )


def _me(uid: int | None = None) -> Account:
    """Who runs this test, or another user that root's server would run as."""
    mine = os.geteuid() if uid is None else uid
    return Account(name="me", uid=mine, gid=os.getegid(), switched=uid is not None)


def _watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What is given to other users; nothing is."""
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _handle, *to: given.append(to))
    monkeypatch.setattr(os, "chown", lambda _path, *to: given.append(to))
    return given


def test_a_link_under_our_name_is_refused_and_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write to the folder for temporary files gets nothing else changed by it."""
    given = _watched(monkeypatch)
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o755)
    for account in (_me(), _me(os.geteuid() + 1)):
        where = _place(tmp_path, account)
        where.socket.unlink(missing_ok=True)
        where.socket.symlink_to(victim)
        with pytest.raises(PostgresFailed, match="remove it"):
            _take(where.socket, account)
    assert given == []
    assert victim.stat().st_mode & 0o777 == 0o755


def test_somebody_elses_folder_under_our_name_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is neither taken nor given away, and what to do is said."""
    given = _watched(monkeypatch)
    folder = tmp_path / "onsettle-pg-1"
    folder.mkdir(mode=0o755)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    for account in (_me(), _me(os.getuid() + 2)):
        with pytest.raises(PostgresFailed, match="remove it"):
            _take(folder, account)
    assert given == []
    assert folder.stat().st_mode & 0o777 == 0o755


def test_only_a_folder_that_we_have_just_made_is_given_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root's new folders go to the user that PostgreSQL runs as; one with something in it stays."""
    given = _watched(monkeypatch)
    account = _me(os.geteuid() + 1)
    where = _place(tmp_path, account)
    where.make_folders()
    assert given == [(account.uid, account.gid)] * 2
    (where.socket / "something").touch()
    with pytest.raises(PostgresFailed, match="remove it"):
        where.make_folders()
    assert len(given) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a service user")
async def test_root_s_server_runs_where_its_user_can_reach_everything(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A closed data folder and a closed virtual environment stay closed, and it works."""
    monkeypatch.setattr(place, "_FAR", data_folder / "far")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = find_postgres_bin().parents[1]
    for beside in package.parent.glob(package.name + "*"):
        shutil.copytree(beside, closed / beside.name)
    programs = closed / find_postgres_bin().relative_to(package.parent)
    monkeypatch.setenv("ONSETTLE_POSTGRES_BIN", str(programs))
    before = modes(closed / "data")
    async with running(closed / "data") as server:
        assert await answers(server)
        assert find_place(closed / "data").home.is_relative_to(data_folder / "far")
    assert modes(closed / "data") == before
    (data_folder / "far" / find_place(closed / "data").home.name).rename(
        closed / "data" / "postgres"
    )
    with pytest.raises(PostgresFailed, match="chmod"):
        await EmbeddedPostgres(closed / "data").start()


async def test_it_starts_under_the_event_loop_of_the_service(data_folder: Path) -> None:
    """`serve` and `worker` run on uvloop, which starts processes in a way of its own."""
    code = _USE_IT.replace("asyncio.run(main())", "import uvloop; uvloop.run(main())")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(data_folder), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        told = await asyncio.wait_for(process.stdout.readline(), 60)
        assert told.startswith(b"postgresql://")
    finally:
        process.terminate()
        await process.wait()
        async with running(data_folder):
            pass  # the last user stops the server
