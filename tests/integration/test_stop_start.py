"""Stopping, starting and replacing workers, as real processes and with payments in flight."""

import asyncio
import fcntl
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx

from onsettle.local.place import find_place
from onsettle.local.postgres import EmbeddedPostgres
from onsettle.local.processes import runs
from onsettle.runtime import Engine
from onsettle.store.database import UNAVAILABLE
from tests.harness.books import accepted, quick, transactions
from tests.harness.commands import start
from tests.harness.proxy import FaultProxy
from tests.harness.stack import PAYEE, PRICE, Stack, eventually

# The promise. A worker that nothing holds up needs a fraction of it; the sum of all bounds, where
# everything hangs, is held to it by tests/unit/test_stopping.py.
_LEAVES_S = 10
# What is measured is told by the process itself: until it is seen, others may keep the machine.
_PATIENCE_S = 45


async def ended(worker: asyncio.subprocess.Process) -> None:
    """SIGTERM, and a clean end, in time by the process's own log."""
    worker.terminate()
    _, err = await asyncio.wait_for(worker.communicate(), _PATIENCE_S)
    assert worker.returncode == 0, err.decode()[-2000:]
    lines = [json.loads(line) for line in err.decode().splitlines() if line.startswith("{")]
    [seen] = [line for line in lines if line["event"] == "stopping"]
    assert (seen["signal"], lines[-1]["event"]) == ("SIGTERM", "stopped"), lines[-5:]
    at, left = (datetime.fromisoformat(line["timestamp"]) for line in (seen, lines[-1]))
    assert left - at <= timedelta(seconds=_LEAVES_S), lines[-20:]


async def address_of(service: asyncio.subprocess.Process) -> str:
    """Where it says that it listens."""
    assert service.stderr is not None
    async with asyncio.timeout(_PATIENCE_S):
        while line := (await service.stderr.readline()).decode():
            if line.startswith("Listening on "):
                return line.removeprefix("Listening on ").strip()
    raise AssertionError("it ended")


async def holders(engine: Engine) -> set[str]:
    """Who holds a wallet or follows the chain."""
    rows = await engine.db.pool.fetch(
        "select lease_holder from wallets where lease_holder is not null"
        " union select lease_holder from networks where lease_holder is not null"
    )
    return {row["lease_holder"] for row in rows}


async def unoffered(engine: Engine) -> int:
    """Signed versions that no node was ever asked to take."""
    return int(await engine.db.pool.fetchval("select count(*) from attempts where tries = 0"))


async def test_an_idle_worker_leaves_within_ten_seconds(stack: Stack) -> None:
    """With its wallets taken and nothing to do, from SIGTERM to the end of the process."""
    async with stack.engine(start=False) as engine:
        worker = await start(stack.process_environment(), "worker")

        async def working() -> bool:
            return bool(await holders(engine))

        await eventually(working)
        await ended(worker)
        assert await holders(engine) == set()


async def test_sigterm_finishes_what_is_signed_and_gives_everything_back(stack: Stack) -> None:
    """Whatever a worker signed is with a node when it leaves, its leases are free at once, and the
    next worker goes on where it stopped."""
    async with stack.engine(start=False) as engine:
        await quick(stack, engine, payment_batch_size=5)
        payers = await stack.payers(30)
        await stack.hold_blocks()
        worker = await start(stack.process_environment(), "worker")
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])

        async def begun() -> bool:
            return bool(await transactions(engine))

        await eventually(begun)
        await ended(worker)
        assert await unoffered(engine) == 0
        assert await holders(engine) == set()
        assert await engine.db.fetch("workers_live") == []
        again = await start(stack.process_environment(), "worker")
        await stack.release_blocks()
        await stack.all_are(engine, ids, "completed")
        await stack.all_minted(engine, len(ids))
        await ended(again)
        assert await stack.nonce(stack.wallets[0]) == len(ids)
        await stack.verified(engine)


async def test_sigterm_is_obeyed_while_the_node_does_not_answer(stack: Stack) -> None:
    """A worker whose node hangs leaves all the same, in time, whether it has started or not."""
    async with FaultProxy(stack.rpc_url) as proxy:
        env = stack.process_environment(rpc_urls=proxy.url)
        async with stack.engine(start=False) as engine:
            worker = await start(env, "worker")

            async def working() -> bool:
                return bool(await holders(engine))

            await eventually(working)
            proxy.script("timeout")
            asked = proxy.seen["eth_chainId"]
            starting = await start(env, "worker")

            async def asking() -> bool:
                return proxy.seen["eth_chainId"] > asked

            await eventually(asking)
            await asyncio.gather(ended(worker), ended(starting))


async def test_serve_obeys_sigterm_with_a_stream_open(stack: Stack) -> None:
    """The API says where it listens, on whatever port it got, and closes with its clients still
    connected; what it acknowledged is settled by the next process."""
    env = stack.process_environment(port="0")
    async with stack.engine(start=False) as engine:
        await quick(stack, engine)
        [payer] = await stack.payers(1)
        await stack.hold_blocks()
        service = await start(env, "serve")
        async with httpx.AsyncClient(base_url=await address_of(service)) as client:

            async def ready() -> bool:
                try:
                    return (await client.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(ready)
            answer = await client.post("/v1/payments", json=stack.body(engine, payer))
            assert answer.status_code == 202, answer.text
            payment = UUID(answer.json()["id"])
            stream = {"accept": "text/event-stream"}
            async with client.stream("GET", f"/v1/payments/{payment}/events", headers=stream):
                await stack.all_are(engine, [payment], "sent")
                await ended(service)
        assert await holders(engine) == set()
        again = await start(env, "worker")
        await stack.release_blocks()
        await stack.all_are(engine, [payment], "completed")
        await ended(again)


@asynccontextmanager
async def embedded(
    stack: Stack, folder: Path
) -> AsyncIterator[Callable[[], Awaitable[asyncio.subprocess.Process]]]:
    """Starts workers whose database is the embedded one of this folder.

    Afterwards whatever they left is taken over, found whole, and ended.
    """
    env = stack.process_environment(database_url="", data_dir=str(folder))
    workers = []

    async def one() -> asyncio.subprocess.Process:
        workers.append(await start(env, "worker"))
        return workers[-1]

    try:
        yield one
    finally:
        for worker in workers:
            if worker.returncode is None:
                worker.kill()
                await worker.communicate()
        server = EmbeddedPostgres(folder)
        connection = await asyncpg.connect(await server.start(), timeout=10)
        assert await connection.fetchval("select count(*) from networks") == 1
        await connection.close()
        await server.stop()


def postmaster(folder: Path) -> int:
    lock = find_place(folder).cluster / "postmaster.pid"
    return int(lock.read_text().splitlines()[0])


async def follows(folder: Path) -> bool:
    """Whether somebody follows the chain for this folder's database."""
    try:
        connection = await asyncpg.connect(
            host=str(find_place(folder).socket), user="onsettle", database="onsettle", timeout=10
        )
    except (asyncpg.PostgresError, *UNAVAILABLE):
        return False
    try:
        held = "select count(*) from networks where lease_holder is not null"
        return bool(await connection.fetchval(held))
    except asyncpg.UndefinedTableError:
        return False
    finally:
        await connection.close()


async def test_an_embedded_database_that_hangs_is_not_waited_for(
    stack: Stack, data_folder: Path
) -> None:
    """A worker leaves it behind; it was told to stop, and does so when it can."""
    async with embedded(stack, data_folder) as worker:
        working = await worker()
        await eventually(lambda: follows(data_folder))
        server = postmaster(data_folder)
        os.kill(server, signal.SIGSTOP)
        try:
            await ended(working)
        finally:
            os.kill(server, signal.SIGCONT)

        async def gone() -> bool:
            return not runs(server, "postgres")

        await eventually(gone)


async def test_an_embedded_database_that_does_not_start_is_not_waited_for(
    stack: Stack, data_folder: Path
) -> None:
    """A worker that starts it, and one that starts it again after a crash, leave all the same."""

    async def tried() -> bool:
        """Somebody is about to start it."""
        with (data_folder / "postgres.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    async with embedded(stack, data_folder) as worker:
        working = await worker()
        await eventually(lambda: follows(data_folder))
        conf = find_place(data_folder).cluster / "postgresql.conf"
        good = conf.read_text()
        conf.write_text(good + "\nnot_a_setting = 1\n")
        try:
            os.kill(postmaster(data_folder), signal.SIGKILL)
            await eventually(tried)
            await ended(working)
            starting = await worker()
            await eventually(tried)
            await ended(starting)
        finally:
            conf.write_text(good)


async def test_a_rolling_restart_of_two_workers_loses_nothing(two_wallets: Stack) -> None:
    """Workers are replaced one after the other while payments keep coming: each is charged once,
    minted once, and no nonce is wasted."""
    stack = two_wallets
    env = stack.process_environment()
    async with stack.engine(start=False) as engine:
        await quick(stack, engine)
        payers = await stack.payers(40)
        workers = [await start(env, "worker"), await start(env, "worker")]
        ids: list[UUID] = []
        try:
            for at in range(4):
                batch = [stack.body(engine, payer) for payer in payers[10 * at : 10 * at + 10]]
                ids += await accepted(engine, batch)

                await eventually(partial(picked, stack, engine, list(ids), len(ids) - 5))
                if at in (1, 2):
                    await ended(workers.pop(0))
                    workers.append(await start(env, "worker"))
            await stack.all_are(engine, ids, "completed")
            await stack.all_minted(engine, len(ids))
        finally:
            for worker in workers:
                await ended(worker)
        assert await stack.token_balance(PAYEE) == len(ids) * PRICE
        nonces = [await stack.nonce(wallet) for wallet in stack.wallets]
        assert sum(nonces) == len(ids)
        await stack.verified(engine)


async def picked(stack: Stack, engine: Engine, ids: list[UUID], count: int) -> bool:
    """Whether so many of these payments are on their way."""
    found = await stack.statuses(engine, ids)
    return len(found) - found.count("pending") >= count
