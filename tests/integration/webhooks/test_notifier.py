"""Completed payments are told as Standard Webhooks: at least once, signed, under one stable id."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from aiohttp import web

from onsettle.domain.delivery import WEBHOOK_SCHEDULE, message_id
from onsettle.engine import notifier as notifier_module
from onsettle.engine.verify import verify
from onsettle.runtime import Engine
from onsettle.store.database import Record
from tests.harness.commands import onsettle
from tests.harness.receiver import SECRET, Message, Receiver, receiving
from tests.harness.server import Server
from tests.harness.stack import Stack, eventually, ids_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    stack: Stack
    engine: Engine
    receiver: Receiver

    async def sell(self, count: int = 1) -> list[UUID]:
        """Completed payments."""
        payers = await self.stack.payers(count)
        bodies = [self.stack.body(self.engine, p, payment_type="order") for p in payers]
        ids = ids_of(await self.engine.intake.submit_many(bodies))
        await self.stack.all_are(self.engine, ids, "completed")
        return ids

    async def message(self, payment: UUID, **wanted: object) -> Record:
        """The message of a payment, once it has these values."""

        async def there() -> Record | None:
            rows = await self.engine.db.fetch("outbox_list", None, payment, 10)
            [row] = [row for row in rows if row["channel"] == "webhook"]
            return row if all(row[k] == v for k, v in wanted.items()) else None

        found = await eventually(there, within_s=20)
        assert found is not None
        return found

    async def due_now(self, payment: UUID) -> None:
        """Let the time of the next try come."""
        await self.engine.db.pool.execute(
            "update outbox set next_try_at = now() where payment_id = $1", payment
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    dsn = server.create()
    try:
        async with Stack(dsn, tmp_path_factory.mktemp("webhooks")) as whole:
            yield whole
    finally:
        server.drop(dsn)


@asynccontextmanager
async def _open(stack: Stack) -> AsyncIterator[Shop]:
    async with (
        receiving() as receiver,
        stack.engine(webhook_url=receiver.url, webhook_secret=SECRET) as engine,
    ):
        yield Shop(stack=stack, engine=engine, receiver=receiver)


@pytest_asyncio.fixture(loop_scope="module")
async def shop(stack: Stack) -> AsyncIterator[Shop]:
    async with _open(stack) as whole:
        yield whole


async def test_a_completed_payment_is_told_once_with_all_its_facts(shop: Shop) -> None:
    """The body has type, timestamp and data; its id is derived from the payment and the event."""
    ids = await shop.sell(3)
    for id_ in ids:
        await shop.message(id_, status="delivered", tries=1)
    told = {UUID(m.body["data"]["id"]): m for m in shop.receiver.messages}
    assert set(told) == set(ids)
    assert all(count == 1 for count in shop.receiver.tries.values())
    message = told[ids[0]]
    assert UUID(message.id) == message_id(ids[0], "payment.completed", "webhook")
    assert set(message.body) == {"type", "timestamp", "data"}
    assert message.body["type"] == "payment.completed"
    row = await shop.engine.db.fetchrow("payment_get", ids[0])
    assert row is not None
    data = message.body["data"]
    assert data["status"] == "completed"
    assert (data["amount"], data["tx_hash"]) == (str(int(row["amount"])), row["tx_hash"])
    assert (data["payer"], data["pay_to"], data["network"]) == (
        row["payer"], row["pay_to"], "eip155:84532",
    )  # fmt: skip
    assert len(message.raw) < 20_000


async def test_a_failed_delivery_is_tried_again_under_the_same_id(shop: Shop) -> None:
    """A 500, a redirect and a broken answer are failures; the next try has the same id and body."""
    answers: list[web.Response] = [
        web.Response(status=500, text="no\x07 luck"),
        web.Response(status=302, headers={"location": "/elsewhere"}),
        web.Response(status=404),
    ]

    def answer(_: Message) -> web.Response:
        return answers.pop(0) if answers else web.Response(status=200)

    shop.receiver.answer = answer
    [id_] = await shop.sell()
    for tries, error in ((1, "HTTP 500: no luck"), (2, "HTTP 302"), (3, "HTTP 404")):
        failed = await shop.message(id_, tries=tries, status="pending", last_error=error)
        assert failed["next_try_at"] > failed["created_at"]
        await shop.due_now(id_)
    await shop.message(id_, tries=4, status="delivered", last_error=None)
    assert len(shop.receiver.tries) == 1
    assert {m.raw for m in shop.receiver.messages} == {shop.receiver.messages[0].raw}
    assert {m.path for m in shop.receiver.messages} == {"/hook"}


async def test_a_slow_endpoint_gets_sixteen_deliveries_at_once(shop: Shop) -> None:
    """However many wait, no more than sixteen are under way."""
    shop.receiver.hold.clear()
    ids = await shop.sell(24)

    async def busy() -> bool:
        return shop.receiver.most_at_once >= 16

    await eventually(busy)
    shop.receiver.hold.set()
    for id_ in ids:
        await shop.message(id_, status="delivered")
    assert shop.receiver.most_at_once == 16


async def test_an_endpoint_that_hangs_is_not_waited_for(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the timeout it counts as failed, and is tried again."""
    monkeypatch.setattr(notifier_module, "TIMEOUT_S", 0.3)
    async with _open(stack) as shop:
        shop.receiver.hold.clear()
        [id_] = await shop.sell()
        await shop.message(id_, status="pending", last_error="no answer within 0.3 s")
        shop.receiver.hold.set()
        await shop.due_now(id_)
        await shop.message(id_, status="delivered", tries=2)


async def test_what_arrives_while_it_stops_is_written_down(stack: Stack) -> None:
    """Beside an endpoint that hangs: the answers of the last moments are kept, the session is
    closed, and the stop takes no longer than it may."""
    async with _open(stack) as shop:
        [notifier] = shop.engine._notifiers
        shop.receiver.hold.clear()
        [slow] = await shop.sell()
        shop.receiver.hangs = lambda message: message.body["data"]["id"] == str(slow)
        await shop.due_now(slow)
        [quick] = await shop.sell()

        async def both_are_out() -> bool:
            return len(notifier._under_way) == 3

        await eventually(both_are_out)
        stopping = asyncio.create_task(shop.engine.stop())

        async def leaving() -> bool:
            return notifier._stopping

        await eventually(leaving)
        session = notifier._session
        shop.receiver.hold.set()
        await asyncio.wait_for(stopping, 20)
        assert session is not None
        assert session.closed
        assert notifier._under_way == set()
        await shop.message(quick, status="delivered", tries=1)


async def test_what_is_given_up_is_listed_and_can_be_replayed(shop: Shop) -> None:
    """After the whole schedule the message is dead, and a replay delivers it under its id."""
    shop.receiver.answer = lambda _: web.Response(status=500)
    [id_] = await shop.sell()
    await shop.message(id_, tries=1, status="pending")
    await shop.engine.db.pool.execute(
        "update outbox set tries = $2, next_try_at = now() where payment_id = $1",
        id_, len(WEBHOOK_SCHEDULE),
    )  # fmt: skip
    dead = await shop.message(id_, status="dead")
    environment = shop.stack.process_environment()
    listed = await onsettle(environment, "webhooks", "list", "--dead", "--json")
    assert [row["id"] for row in listed.json] == [str(dead["id"])]
    shop.receiver.answer = lambda _: web.Response(status=200)
    said = await onsettle(environment, "webhooks", "replay", "--dead", "--yes")
    assert (said.code, said.out) == (0, "1 messages will be delivered again.\n")
    again = await shop.message(id_, status="delivered")
    assert again["id"] == dead["id"]
    assert shop.receiver.tries[str(dead["id"])] >= 3
    nothing = await onsettle(environment, "webhooks", "replay", str(UUID(int=5)), "--yes")
    assert nothing.code == 1
    dry = await onsettle(environment, "webhooks", "replay", "--dead", "--dry-run")
    assert dry.out == "Would deliver everything that was given up again.\n"


async def test_an_endpoint_that_is_gone_is_left_alone(shop: Shop) -> None:
    """410 stops all sending and raises an alarm; what completes meanwhile is kept for a replay."""
    shop.receiver.answer = lambda _: web.Response(status=410)
    [first] = await shop.sell()
    await shop.message(first, status="dead")
    asked = len(shop.receiver.messages)
    [second] = await shop.sell()
    missed = await shop.message(second, status="dead")
    assert "410 Gone" in missed["last_error"]
    assert len(shop.receiver.messages) == asked
    kinds = {row["kind"] for row in await shop.engine.db.fetch("alarms_open")}
    assert "webhook_gone" in kinds
    shop.receiver.answer = lambda _: web.Response(status=200)
    environment = shop.stack.process_environment()
    assert (await onsettle(environment, "webhooks", "enable", "--yes")).code == 0
    assert (await onsettle(environment, "webhooks", "replay", "--dead", "--yes")).code == 0
    for id_ in (first, second, *await shop.sell()):
        await shop.message(id_, status="delivered")
    assert not await shop.engine.db.fetch("alarms_open")


async def test_two_processes_share_the_deliveries(shop: Shop) -> None:
    """Both deliver, and nothing is told twice while both live."""
    more: dict[str, Any] = {"webhook_url": shop.receiver.url, "webhook_secret": SECRET}
    async with shop.stack.engine(**more):
        ids = await shop.sell(30)
        for id_ in ids:
            await shop.message(id_, status="delivered")
    told = [m.id for m in shop.receiver.messages if UUID(m.body["data"]["id"]) in ids]
    assert len(told) == len(set(told)) == 30


async def test_an_endpoint_that_asks_for_a_rest_gets_it(shop: Shop) -> None:
    """Retry-After of a 429 is honoured."""
    # A message of another test that comes up again here would be the one that is told to rest.
    await shop.engine.db.pool.execute("update outbox set status = 'dead' where status = 'pending'")
    shop.receiver.answer = lambda _: web.Response(status=429, headers={"retry-after": "90"})
    [id_] = await shop.sell()
    row = await shop.message(id_, tries=1, status="pending", last_error="HTTP 429")
    assert 60 < (row["next_try_at"] - row["created_at"]).total_seconds() < 200


async def test_a_rest_may_be_asked_for_until_a_date(shop: Shop) -> None:
    """Retry-After as an HTTP date counts from now."""
    await shop.engine.db.pool.execute("update outbox set status = 'dead' where status = 'pending'")
    until = formatdate(time.time() + 90, usegmt=True)
    shop.receiver.answer = lambda _: web.Response(status=503, headers={"retry-after": until})
    [id_] = await shop.sell()
    row = await shop.message(id_, tries=1, status="pending", last_error="HTTP 503")
    assert 60 < (row["next_try_at"] - row["created_at"]).total_seconds() < 200


@pytest.mark.parametrize(
    ("status", "body", "becomes"),
    [
        ("200 OK", "content-length: 100\r\n\r\n", "delivered"),
        ("200 OK", "content-encoding: gzip\r\ncontent-length: 3\r\n\r\n???", "delivered"),
        ("410 Gone", "content-length: 100\r\n\r\n", "dead"),
        ("410 Gone", "content-encoding: gzip\r\ncontent-length: 3\r\n\r\n???", "dead"),
    ],
)
async def test_the_status_is_the_verdict_and_the_body_is_not(
    stack: Stack, status: str, body: str, becomes: str
) -> None:
    """A body that is cut off or can't be unpacked: delivered is delivered, and gone is gone."""
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        writer.write(f"HTTP/1.1 {status}\r\nconnection: close\r\n{body}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server, stack.engine(webhook_url=url, webhook_secret=SECRET) as engine:
        shop = Shop(stack=stack, engine=engine, receiver=Receiver())
        await engine.db.pool.execute("update outbox set status = 'dead' where status = 'pending'")
        [id_] = await shop.sell()
        await shop.message(id_, status=becomes, tries=1)
        assert asked == 1
        disabled = [row for row in await engine.db.fetch("channels_list") if row["disabled"]]
        assert len(disabled) == (becomes == "dead")


async def test_a_message_that_was_never_written_is_found_by_the_audit(shop: Shop) -> None:
    """Every payment completed since the channel was opened has a message, or verify names it."""
    await shop.engine.db.pool.execute(
        "update channels set created_at = created_at - interval '1 minute'"
    )
    ids = await shop.sell(2)
    await shop.stack.verified(shop.engine)
    await shop.engine.db.pool.execute("delete from outbox where payment_id = $1", ids[0])
    report = await verify(shop.engine.db, shop.engine.networks)
    [difference] = report.differences
    assert difference.startswith(f"payment {ids[0]}: it completed, and no message")
    await shop.engine.db.execute("channel_close", "webhook")
    await shop.stack.verified(shop.engine)
