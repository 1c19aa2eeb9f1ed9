"""The database or the node is down, at the start or in the middle: words first, then recovery."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from onsettle.local.chain import LocalChain
from onsettle.local.postgres import EmbeddedPostgres
from tests.harness.processes import (
    Process,
    bare_environment,
    free_port,
    is_ready,
    onsettle,
    pay,
    running,
)
from tests.harness.stack import eventually


class Ground:
    """A database and a chain that a test stops and starts, and a service that it watches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = EmbeddedPostgres(folder)
        self.chain = LocalChain(folder, port=free_port(), block_time=0.5)
        self.environment: dict[str, str] = {}

    async def start(self) -> None:
        dsn = await self.database.start()
        await self.chain.start()
        self.environment = bare_environment() | {
            "DATABASE_URL": dsn,
            "ONSETTLE_RPC_URLS": self.chain.rpc_url,
            "ONSETTLE_ASSETS": self.chain.tokens.asset,
            "ONSETTLE_MINT_TOKENS": self.chain.tokens.mint_token,
            "ONSETTLE_PAYMENT_KEYS": ",".join(self.chain.payment_keys),
            "ONSETTLE_MINT_KEYS": ",".join(self.chain.mint_keys),
            "ONSETTLE_PORT": str(free_port()),
        }

    async def stop(self) -> None:
        await self.chain.stop()
        await self.database.stop()

    async def get(self, route: str) -> httpx.Response:
        async with httpx.AsyncClient(timeout=20) as client:
            return await client.get(f"http://127.0.0.1:{self.environment['ONSETTLE_PORT']}{route}")

    async def unready(self, *words: str) -> list[str]:
        """Wait until the service says that it is not ready, in these words; all that it says."""

        async def says() -> Any:
            try:
                answer = await self.get("/readyz")
            except httpx.HTTPError:
                return None
            problems = answer.json().get("problems", [])
            told = answer.status_code == 503 and all(
                any(word in problem for problem in problems) for word in words
            )
            return problems if told else None

        found: list[str] = await eventually(says)
        return found


@asynccontextmanager
async def ground(folder: Path) -> AsyncIterator[Ground]:
    made = Ground(folder)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def is_alive(service: Process) -> bool:
    return service.popen.poll() is None


async def test_a_service_waits_for_what_is_down_at_its_start(data_folder: Path) -> None:
    """It answers at once, says what is missing, and settles as soon as both are there."""
    async with ground(data_folder) as here:
        await here.stop()
        with running(data_folder, here.environment, "serve") as service:
            await here.unready("the database does not answer")
            assert (await here.get("/healthz")).status_code == 200
            refused = await here.get("/v1/payments")
            assert refused.status_code == 503
            assert refused.json()["code"] == "database_unavailable"
            assert "the database does not answer" in service.said
            await here.database.start()
            problems = await here.unready(f"{here.chain.rpc_url}: no connection")
            assert not [problem for problem in problems if "database" in problem]
            await here.chain.start()
            await is_ready(here.environment)
            assert (await pay(here.environment))["status"] == "completed"
            assert service.end() == 0


async def test_a_service_comes_back_after_an_outage(data_folder: Path) -> None:
    """The database goes, then the node; each is told, and the same process settles afterwards."""
    async with ground(data_folder) as here:
        with running(data_folder, here.environment, "serve") as service:
            await is_ready(here.environment)
            assert (await pay(here.environment))["status"] == "completed"
            await here.database.stop()
            await here.unready("the database does not answer")
            status = await asyncio.to_thread(onsettle, data_folder, here.environment, "status")
            assert status.returncode == 1
            assert "The database can't be reached" in status.stderr
            await here.database.start()
            await is_ready(here.environment)
            assert (await pay(here.environment))["status"] == "completed"
            await here.chain.stop()
            await here.unready("no RPC endpoint answers")
            status = await asyncio.to_thread(onsettle, data_folder, here.environment, "status")
            assert re.search(
                r"network default \(eip155:84532\): block \d+, read \S+ s ago", status.stdout
            )
            await here.chain.start()
            await is_ready(here.environment)
            assert (await pay(here.environment))["status"] == "completed"
            assert is_alive(service)
            assert "loop_waits" in service.said
            assert "loop_recovered" in service.said
            assert service.end() == 0
        # The node forgot the state of old blocks when it was started again, so not all is checked.
        checked = await asyncio.to_thread(
            onsettle, data_folder, here.environment, "verify", "--json"
        )
        assert json.loads(checked.stdout)["differences"] == []


async def test_a_worker_waits_for_the_database_and_can_be_stopped(data_folder: Path) -> None:
    """Without a database it says so, stays, and still leaves at once when it is asked to."""
    async with ground(data_folder) as here:
        await here.database.stop()
        with running(data_folder, here.environment, "worker") as worker:

            async def told() -> bool:
                return "the database does not answer" in worker.said

            await eventually(told)
            assert is_alive(worker)
            assert worker.end(within_s=20) == 0
