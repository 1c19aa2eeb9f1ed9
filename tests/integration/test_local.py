"""`onsettle local` as a process: the environment it prints, and what is left after every ending."""

import contextlib
import signal
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from onsettle.chain.rpc import Pool
from onsettle.local.payers import Payer, fund
from tests.harness.processes import Process, bare_environment, free_port, running
from tests.harness.stack import environment_of, eventually


@pytest.fixture
def folder(data_folder: Path) -> Iterator[Path]:
    """A data folder; what still runs on it at the end is ended."""
    yield data_folder
    for process in _left_over(str(data_folder)):
        process.kill()
        process.wait(10)


def _left_over(folder: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(word.startswith(folder) for word in process.info["cmdline"] or ())
    ]


@contextlib.contextmanager
def local(
    folder: Path, *options: str, variables: Mapping[str, str] | None = None
) -> Iterator[Process]:
    options = options or ("--port", str(free_port()), "--block-time", "0.5")
    environment = bare_environment() | {"ONSETTLE_DATA_DIR": str(folder)} | dict(variables or {})
    with running(folder, environment, "local", *options) as process:
        yield process


def ready(process: Process) -> tuple[str, Mapping[str, str]]:
    """What it printed before `ready`, and that as variables."""
    assert process.popen.stdout is not None
    lines: list[str] = []
    for line in process.popen.stdout:
        if line == "ready\n":
            return "".join(lines), environment_of("".join(lines))
        lines.append(line)
    raise AssertionError(f"it ended: {process.said}")


def failed(process: Process) -> str:
    """What it said when it ended with an error."""
    process.popen.communicate(timeout=60)
    assert process.popen.returncode == 1, process.said
    return process.said


async def call(variables: Mapping[str, str], method: str, *params: object) -> Any:
    async with Pool([variables["ONSETTLE_RPC_URLS"]], probe_interval_s=0) as pool:
        return await pool.call(method, *params)


async def genesis(variables: Mapping[str, str]) -> str:
    block = await call(variables, "eth_getBlockByNumber", "0x0", False)
    return str(block["hash"])


async def balance(variables: Mapping[str, str], payer: Payer) -> int:
    data = "0x70a08231" + payer.address[2:].rjust(64, "0")
    to = {"to": variables["ONSETTLE_ASSETS"], "data": data}
    return int(await call(variables, "eth_call", to, "latest"), 16)


async def sql(variables: Mapping[str, str], statement: str) -> Any:
    connection = await asyncpg.connect(variables["DATABASE_URL"], timeout=10)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def leave_a_mark(variables: Mapping[str, str]) -> Payer:
    """Something on the chain, and something in the database."""
    payer = Payer()
    rpc, [asset] = variables["ONSETTLE_RPC_URLS"], [variables["ONSETTLE_ASSETS"]]
    await fund(rpc, asset, [payer.address], 4711)
    await sql(variables, "create table mark (n int)")
    return payer


async def test_it_prints_what_a_service_needs_and_comes_back_as_it_was(folder: Path) -> None:
    """The environment is printed and written for its owner only; unless told otherwise, a block is
    made every two seconds; a restart finds everything."""
    with local(folder, "--port", str(free_port())) as first:
        printed, variables = ready(first)
        for name in ("local.env", "chain-keys.json"):
            assert (folder / name).stat().st_mode & 0o777 == 0o600, name
        assert (folder / "local.env").read_text() == printed
        assert all(line.startswith("export ") for line in printed.splitlines())
        block = await call(variables, "eth_getBlockByNumber", "latest", False)
        assert int(block["gasLimit"], 16) == 400_000_000
        assert await call(variables, "eth_chainId") == hex(84532)
        # How it was told to be: how soon the machine lets it make a block is another matter.
        [anvil] = [p.cmdline() for p in _left_over(str(folder)) if p.name() == "anvil"]
        assert float(anvil[anvil.index("--block-time") + 1]) == 2

        async def later() -> bool:
            newer = await call(variables, "eth_getBlockByNumber", "latest", False)
            return int(newer["number"], 16) > int(block["number"], 16)

        await eventually(later)
        start, payer = await genesis(variables), await leave_a_mark(variables)
        assert first.end(signal.SIGTERM) == 0
    assert _left_over(str(folder)) == []
    with local(folder, "--port", variables["ONSETTLE_RPC_URLS"].rpartition(":")[2]) as second:
        assert ready(second)[1] == variables
        assert await genesis(variables) == start
        assert await balance(variables, payer) == 4711
        assert await sql(variables, "select count(*) from mark") == 0
        assert second.end(signal.SIGINT) == 0


@pytest.mark.parametrize("also_the_chain", [False, True])
async def test_after_a_kill_it_starts_again(folder: Path, also_the_chain: bool) -> None:
    """Killed, it leaves its servers behind: the next start takes them over, and nothing is lost.

    Where the chain was killed too, it comes back as it was at most some seconds before.
    """
    with local(folder) as first:
        _, variables = ready(first)
        start, payer = await genesis(variables), await leave_a_mark(variables)
        first.end(signal.SIGKILL)
    if also_the_chain:
        [anvil] = [p for p in _left_over(str(folder)) if p.name() == "anvil"]
        anvil.kill()
        anvil.wait(10)
    with local(folder) as second:
        _, again = ready(second)
        assert await genesis(again) == start
        assert await balance(again, payer) in ({4711, 0} if also_the_chain else {4711})
        assert await sql(again, "select count(*) from mark") == 0
        assert second.end(signal.SIGTERM) == 0
    assert _left_over(str(folder)) == []


async def test_a_chain_that_dies_comes_back(folder: Path) -> None:
    """anvil is killed under a running `onsettle local`: soon the same chain answers again."""
    with local(folder) as process:
        _, variables = ready(process)
        start = await genesis(variables)
        [anvil] = [p for p in _left_over(str(folder)) if p.name() == "anvil"]
        anvil.kill()

        async def back() -> bool:
            with contextlib.suppress(Exception):
                return await genesis(variables) == start
            return False

        await eventually(back, within_s=15)
        assert process.end(signal.SIGTERM) == 0


def test_a_second_start_says_that_it_runs_already(folder: Path) -> None:
    """It names the file with the environment to use."""
    with local(folder) as first:
        ready(first)
        with local(folder) as second:
            said = failed(second)
            assert "runs already" in said
            assert str(folder / "local.env") in said
        assert first.end(signal.SIGTERM) == 0


def test_a_port_that_is_taken_is_named(folder: Path) -> None:
    """It says which port, and how to choose another; nothing stays behind."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with local(folder, "--port", port) as process:
            said = failed(process)
            assert f"Port {port} can't be used" in said
            assert "--port" in said
    assert _left_over(str(folder)) == []


async def test_in_the_shell_of_an_earlier_start_the_embedded_database_starts_again(
    folder: Path,
) -> None:
    """With the variables of local.env set, DATABASE_URL names the folder's own server: it is
    started, not looked for."""
    with local(folder) as first:
        _, variables = ready(first)
        await leave_a_mark(variables)
        assert first.end(signal.SIGTERM) == 0
    with local(folder, variables=variables) as second:
        assert ready(second)[1]["DATABASE_URL"] == variables["DATABASE_URL"]
        assert await sql(variables, "select count(*) from mark") == 0
        assert second.end(signal.SIGTERM) == 0
    assert _left_over(str(folder)) == []


def test_a_database_that_does_not_answer_is_said_instead_of_ready(folder: Path) -> None:
    """With a DATABASE_URL that leads nowhere it ends with an error, and prints no environment."""
    nowhere = {"DATABASE_URL": f"postgresql://u:hush@127.0.0.1:{free_port()}/db"}
    with local(folder, variables=nowhere) as process:
        out, _ = process.popen.communicate(timeout=60)
        assert (process.popen.returncode, out) == (1, "")
        assert "The database can't be reached" in process.said
        assert "hush" not in process.said
    assert not (folder / "local.env").exists()
    assert _left_over(str(folder)) == []


async def test_a_database_that_answers_is_used(folder: Path, dsn: str) -> None:
    """With a DATABASE_URL that works, that is what it prints, and no other server runs."""
    with local(folder, variables={"DATABASE_URL": dsn}) as process:
        _, variables = ready(process)
        assert variables["DATABASE_URL"] == dsn
        assert not (folder / "postgres").exists()
        assert process.end(signal.SIGTERM) == 0
