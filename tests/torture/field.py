"""What is tortured: a database server, a chain behind lying nodes, workers, clients."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import asyncpg

from onsettle.local.payers import Payer
from onsettle.local.postgres import EmbeddedPostgres
from onsettle.runtime import Engine
from tests.harness.process import Process, post
from tests.harness.proxy import FaultProxy
from tests.harness.stack import PRICE, Stack
from tests.torture.plan import DEEPEST_REORG, dice

_PAYERS = 40
WORKERS = 2
SETTINGS = {
    "payment_batch_interval_ms": 300,
    "payment_confirmation_interval_ms": 200,
    "mint_batch_interval_ms": 200,
    "fee_bump_after_ms": 3000,
    "finality_blocks": 8,
}


@dataclass(slots=True, kw_only=True)
class Job:
    """One payment that a client wants settled, and what it was told."""

    body: dict[str, Any]
    quantity: int
    id: str | None = None


class Field:
    """`jobs` are all payments that clients ever asked for."""

    def __init__(
        self, stack: Stack, postgres: EmbeddedPostgres, proxies: list[FaultProxy], pack: int
    ) -> None:
        self.stack = stack
        self.postgres = postgres
        self.proxies = proxies
        self.workers: list[Process] = []
        self.jobs: list[Job] = []
        self.injected: Counter[str] = Counter()
        #: What the faults did, and what the service said of it.
        self.seen: Counter[str] = Counter()
        #: Answers to clients, by HTTP status; 0: none.
        self.answers: Counter[int] = Counter()
        self._pack = pack
        self._payers: list[Payer] = []
        self._engine: Engine | None = None
        self._turn = itertools.count()

    async def prepare(self) -> None:
        async with self.stack.engine(start=False) as engine:
            await self.stack.set(engine, **SETTINGS, payment_pack_size=self._pack)
            self._engine = engine
        self._payers = await self.stack.payers(_PAYERS, 10_000 * PRICE)
        # A reorg takes back payments, never the payers' money.
        for _ in range(DEEPEST_REORG):
            await self.stack.mine()
        for at in range(WORKERS):
            self.workers.append(self._new(at))
            self.workers[at].start()
        for worker in self.workers:
            await worker.ready()

    def _new(self, at: int) -> Process:
        urls = ",".join(proxy.url for proxy in self.proxies)
        environment = self.stack.process_environment(rpc_urls=urls)
        return Process(environment, "serve", self.stack.folder / f"worker-{at}.log")

    def restart(self, at: int) -> None:
        """In the place of a worker that is dead."""
        if not self.workers[at].alive:
            self.workers[at] = self._new(at)
            self.workers[at].start()

    def new_job(self, random: Random) -> Job:
        assert self._engine is not None
        quantity = random.randint(1, 2)
        payer = random.choice(self._payers)
        job = Job(body=self.stack.body(self._engine, payer, quantity=quantity), quantity=quantity)
        self.jobs.append(job)
        return job

    async def submit(self, job: Job) -> bool:
        """One try, at the next worker; whether it was acknowledged."""
        worker = self.workers[next(self._turn) % WORKERS]
        status, answer = await post(f"{worker.url}/v1/payments", job.body, timeout_s=5)
        self.answers[status] += 1
        if status not in (200, 202):
            return False
        if job.id not in (None, answer["id"]):
            raise AssertionError(f"one payment was given two ids: {job.id} and {answer['id']}")
        job.id = answer["id"]
        return True

    def refused(self) -> int:
        """How often a worker was told in a commit that it does not hold its lease any more."""
        logs = self.stack.folder.glob("worker-*.log")
        return sum(log.read_text("utf-8", "replace").count("LostLease: ") for log in logs)

    async def row(self, statement: str, *args: object) -> Any:
        """The first row of a query on a connection of its own; None while nobody answers."""
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection = await asyncpg.connect(self.stack.dsn, timeout=5)
            try:
                return await connection.fetchrow(statement, *args)
            finally:
                await connection.close()
        return None


@asynccontextmanager
async def field(folder: Path, seed: int) -> AsyncIterator[Field]:
    random = dice(seed, "field")
    pack = random.choice((1, 1, 10))
    lies = [random.getrandbits(32) for _ in range(2)]
    postgres = EmbeddedPostgres(folder / "database")
    dsn = await postgres.start()
    try:
        async with (
            Stack(dsn, folder / "stack", block_time=1, wallets=2) as stack,
            FaultProxy(stack.chain.rpc_url, seed=lies[0], geth=True) as first,
            FaultProxy(stack.chain.rpc_url, seed=lies[1]) as second,
        ):
            whole = Field(stack, postgres, [first, second], pack)
            try:
                await whole.prepare()
                yield whole
            finally:
                await asyncio.gather(*(worker.kill() for worker in whole.workers))
    finally:
        await postgres.stop()
