"""One database, one chain, and a service that is killed again and again at a named point."""

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from onsettle.runtime import Engine
from tests.harness.commands import onsettle
from tests.harness.process import Ended, Process, post
from tests.harness.processes import ROOT
from tests.harness.receiver import SECRET, Receiver
from tests.harness.stack import Stack, eventually

Record = asyncpg.Record
#: What whoever takes over rows of other programs holds.
ADOPTION_LOCK = 40213
_ADMIN = "operators"


class World:
    """What the scenarios act upon. `bodies` are all requests that were ever posted."""

    def __init__(self, stack: Stack, engine: Engine, receiver: Receiver) -> None:
        self.stack = stack
        #: Where completed payments are told.
        self.receiver = receiver
        #: Not started: it signs requests and audits.
        self.engine = engine
        self.bodies: list[dict[str, Any]] = []
        #: A connection of ours that holds the service up.
        self.lock: asyncpg.Connection[Record] | None = None
        #: The mint token's code, while it is broken.
        self.code: object = None
        #: Rows that another program wrote.
        self.written = 0
        #: What the service acknowledged: position in `bodies` -> payment id.
        self.acknowledged: dict[int, str] = {}
        #: ONSETTLE_POINT of the commands of a scenario.
        self.point = ""
        self.command_died = False
        #: Where programs with handlers note the payments that they were told of.
        self.handled = stack.folder / "handled"
        self._numbers = itertools.count(1)
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        assert self._process is not None
        return self._process

    async def begin(self, point: str) -> None:
        """A new service; `point` as ONSETTLE_POINT has it, or nothing."""
        await self.release_leases()
        log = self.stack.folder / f"process-{next(self._numbers)}.log"
        environment = self.stack.process_environment(
            point=point,
            webhook_url=self.receiver.url,
            webhook_secret=SECRET,
            admin_token=_ADMIN,
        )
        self._process = Process(environment, "serve", log)
        self._process.start()

    async def command(self, *args: str) -> None:
        """One command, which is what is killed or traced in a scenario of commands."""
        answer = await onsettle(self.stack.process_environment(point=self.point), *args)
        self.command_died = answer.code == -signal.SIGKILL

    async def change(self, settings: dict[str, str]) -> None:
        """Settings by HTTP, as an operator's program changes them; the service may die of it."""
        headers = {"Authorization": f"Bearer {_ADMIN}"}
        url = f"{self.process.url}/v1/admin/settings"
        with contextlib.suppress(aiohttp.ClientError):
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.patch(url, json=settings) as answer,
            ):
                assert answer.status == 200, await answer.text()

    async def program(self, point: str = "") -> None:
        """A Python program with a handler, until nothing is left to be told or it dies."""
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.crash.program",
            str(self.handled),
            cwd=ROOT,
            env=self.stack.process_environment(point=point),
        )
        try:
            code = await asyncio.wait_for(program.wait(), 60)
        finally:
            if program.returncode is None:
                program.kill()
        self.command_died = code == -signal.SIGKILL
        assert self.command_died or code == 0

    async def release_leases(self) -> None:
        """The holder is known to be dead: nobody waits for its lease to run out."""
        await self.sql("update wallets set lease_until = now() where lease_holder is not null")
        await self.sql("update networks set lease_until = now() where lease_holder is not null")
        await self.sql("delete from workers")
        # Messages are claimed for a while too.
        await self.sql("update outbox set next_try_at = now() where status = 'pending'")

    async def unlock(self) -> None:
        lock, self.lock = self.lock, None
        if lock is not None:
            await lock.close()

    async def sql(self, statement: str, *args: object) -> list[Record]:
        return await self.engine.db.pool.fetch(statement, *args)

    async def pay(self, **more: Any) -> int:
        """Post one new payment; its position. The service may die of it."""
        payer = more.pop("payer", None) or (await self.stack.payers(1))[0]
        self.bodies.append(self.stack.body(self.engine, payer, **more))
        at = len(self.bodies) - 1
        await self.submit(at)
        return at

    async def submit(self, at: int) -> int:
        """Post a request (again); the HTTP status."""
        status, answer = await post(f"{self.process.url}/v1/payments", self.bodies[at])
        if status in (200, 202):
            known = self.acknowledged.setdefault(at, answer["id"])
            assert known == answer["id"], "the same payment was given two ids"
        return status

    async def until(self, question: Callable[[], Awaitable[bool]], within_s: float = 60) -> bool:
        """Wait until it is so, or until the service is dead; whether it is so."""
        deadline = asyncio.get_running_loop().time() + within_s
        while self.process.alive and asyncio.get_running_loop().time() < deadline:
            if await question():
                return True
            await asyncio.sleep(0.03)
        return False

    async def status(self, at: int) -> str:
        nonce = self.bodies[at]["authorization"]["nonce"]
        rows = await self.sql(
            "select status from payment_queue where authorization_nonce = $1", nonce
        )
        return rows[0]["status"] if rows else ""

    async def is_(self, at: int, *statuses: str) -> bool:
        return await self.until(lambda: self._has(at, statuses))

    async def _has(self, at: int, statuses: tuple[str, ...]) -> bool:
        return await self.status(at) in statuses

    async def minted(self, at: int) -> bool:
        nonce = self.bodies[at]["authorization"]["nonce"]

        async def done() -> bool:
            rows = await self.sql(
                "select count(*) filter (where m.status = 'completed') = p.quantity as done"
                " from payment_queue p left join mint_queue m on m.payment_id = p.id"
                " where p.authorization_nonce = $1 group by p.id, p.quantity",
                nonce,
            )
            return bool(rows and rows[0]["done"])

        return await self.until(done)

    async def told(self) -> bool:
        """Until no message is left to be told."""

        async def none_left() -> bool:
            return not await self.sql("select 1 from outbox where status <> 'delivered'")

        return await self.until(none_left)

    async def followed(self) -> None:
        """Until the service has looked at the newest block."""
        head = await self.stack.height()

        async def there() -> bool:
            [row] = await self.sql("select cursor_number from networks")
            return bool((row["cursor_number"] or 0) >= head)

        await self.until(there)

    @property
    def mark(self) -> Path:
        """From when this file is there, a marked scenario may be killed."""
        return self.stack.folder / "mark"

    async def automine(self) -> None:
        await self.stack.rpc.call("evm_setAutomine", True)
        await self.stack.mine()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`act` drives a service that may die at any moment of it; `calm` puts the chain right."""

    name: str
    act: Callable[[World], Awaitable[None]]
    calm: Callable[[World], Awaitable[None]] | None = None
    #: While no service runs.
    before: Callable[[World], Awaitable[None]] | None = None
    #: These points are killed at here, even if an earlier scenario has met them.
    always: tuple[str, ...] = ()
    #: Only these are (none named: all that are new).
    only: tuple[str, ...] = ()
    #: A command of an operator is killed, and the service stays.
    by_command: bool = False
    #: Killed only after `act` has set the mark: the points are met before that too.
    marked: bool = False


async def begin(world: World, scenario: Scenario, point: str) -> None:
    world.point, world.command_died = point, False
    if scenario.before is not None:
        await scenario.before(world)
    await world.begin("" if scenario.by_command else point)


async def trace(world: World, scenario: Scenario) -> list[str]:
    """The points that a service meets in this scenario, in the order of their first time."""
    handle, name = tempfile.mkstemp(dir=world.stack.folder)
    os.close(handle)
    await begin(world, scenario, f"trace:{name}")
    await world.process.ready()
    await scenario.act(world)
    await world.process.stop()
    if scenario.calm is not None:
        await scenario.calm(world)
    return (await asyncio.to_thread(Path(name).read_text)).split()


async def kill_at(world: World, scenario: Scenario, point: str) -> bool:
    """Whether the service died there. What it left behind is the next one's to finish."""
    world.mark.unlink(missing_ok=True)
    await begin(
        world, scenario, f"kill:{point}@{world.mark}" if scenario.marked else f"kill:{point}"
    )
    try:
        await world.process.ready()
        await scenario.act(world)
    except Ended:
        pass
    died = world.command_died
    # Some points are met at the end only.
    if scenario.by_command:
        await world.process.kill()
    else:
        await world.process.stop()
    if scenario.calm is not None:
        await scenario.calm(world)
    return died or world.process.killed


async def converge(world: World) -> None:
    """A healthy service finishes all, and the audit finds nothing."""
    await world.begin("")
    await world.process.ready()
    before = dict(world.acknowledged)
    for at in range(len(world.bodies)):
        assert await world.submit(at) in (200, 202), world.bodies[at]["authorization"]["nonce"]
    assert before.items() <= world.acknowledged.items()

    async def settled() -> bool:
        [row] = await world.sql(
            "select (select count(*) from payment_queue"
            " where status in ('pending', 'processing', 'sent')"
            " or status = 'completed' and block_number is null)"
            " + (select count(*) from mint_queue where status <> 'completed')"
            " + (select count(*) from outbox where status <> 'delivered')"
            " + (select count(*) from transactions where state = 'live') as open"
        )
        return bool(row["open"] == 0)

    await eventually(settled, within_s=90)
    await world.process.stop()
    [row] = await world.sql("select count(*) as n from payment_queue")
    assert row["n"] == len(world.bodies) + world.written
    told = await world.sql("select id from outbox where channel = 'webhook'")
    assert {str(row["id"]) for row in told} <= set(world.receiver.tries)
    handled = await world.sql("select payment_id from outbox where channel = 'handler'")
    assert {str(row["payment_id"]) for row in handled} <= set(world.handled.read_text().split())
    await world.stack.verified(world.engine)
