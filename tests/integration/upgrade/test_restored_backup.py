"""A restored, older backup: what was lost is found on the chain, and nothing repeats."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from onsettle.runtime import Engine
from tests.harness.server import Server
from tests.harness.stack import PAYEE, PRICE, Stack, eventually, ids_of

_HOOK = "http://127.0.0.1:9/nobody-listens"
_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Backups:
    """Copies of a database that nobody is using."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.copies: list[str] = []

    async def take(self, dsn: str) -> str:
        copy = await asyncio.to_thread(lambda: self._server.create(like=dsn))
        self.copies.append(copy)
        return copy


@pytest.fixture
def backups(server: Server) -> Iterator[Backups]:
    found = Backups(server)
    yield found
    for copy in found.copies:
        server.drop(copy)


async def _column(engine: Engine, query: str) -> set[Any]:
    return {row[0] for row in await engine.db.pool.fetch(query)}


async def test_ids_nonces_mints_and_webhooks_do_not_repeat(stack: Stack, backups: Backups) -> None:
    """Of what landed in the lost time all is completed and delivered once, under the same ids."""
    payers = await stack.payers(4)
    async with stack.engine(start=False, webhook_url=_HOOK, webhook_secret=_SECRET) as engine:
        bodies = [stack.body(engine, payer, quantity=2) for payer in payers]
        known = ids_of(await engine.intake.submit_many(bodies[:2]))
    backup = await backups.take(stack.dsn)
    async with stack.engine(webhook_url=_HOOK, webhook_secret=_SECRET) as engine:
        lost = ids_of(await engine.intake.submit_many(bodies[2:3]))
        await stack.all_are(engine, known + lost, "completed")
        await stack.all_minted(engine, 6)
        keys = await _column(engine, "select tx_hash_bytes32 from mint_queue")
        messages = await _column(engine, "select id from outbox")
    sent = await stack.nonce(stack.wallets[0])
    stack.dsn = backup
    async with stack.engine(webhook_url=_HOOK, webhook_secret=_SECRET) as engine:
        # The client that got its answer in the lost time asks again, and one is new.
        again = ids_of(await engine.intake.submit_many(bodies[2:]))
        assert again[0] == lost[0]
        await stack.all_are(engine, known + again, "completed")
        await stack.all_minted(engine, 8)
        assert await stack.token_balance(PAYEE) == 4 * PRICE
        assert await stack.nonce(stack.wallets[0]) == sent + 1
        nonces = await _column(engine, "select nonce from transactions where kind = 'payment'")
        assert nonces == {sent}
        assert keys < await _column(engine, "select tx_hash_bytes32 from mint_queue")
        assert messages
        assert messages < await _column(engine, "select id from outbox")
        await stack.verified(engine)


async def test_nothing_is_signed_before_the_missed_blocks_are_read(
    stack: Stack, backups: Backups
) -> None:
    """A backup taken a moment ago says that its confirmer stands at the head: that was then."""
    async with stack.engine() as engine:
        payers = await stack.payers(2)
        first = ids_of(await engine.intake.submit_many([stack.body(engine, payers[0])]))
        await stack.all_are(engine, first, "completed")
        await stack.all_minted(engine, 1)
    stack.dsn = await backups.take(stack.dsn)
    await stack.mine(3)
    async with stack.engine(start=False) as engine:
        # The confirmer is kept from its work by a lease that somebody else holds.
        await engine.db.pool.execute(
            "update networks set following_since = now(), looked_at = now(),"
            " lease_holder = 'another', lease_until = now() + interval '1 hour'"
        )
        waiting = ids_of(await engine.intake.submit_many([stack.body(engine, payers[1])]))
        await engine.start()
        await _wallets_are_at_work(engine)
        assert await stack.statuses(engine, waiting) == ["pending"]
        await engine.db.pool.execute("update networks set lease_until = now()")
        await stack.all_are(engine, waiting, "completed")
        assert await stack.token_balance(PAYEE) == 2 * PRICE
        await stack.verified(engine)


async def _wallets_are_at_work(engine: Engine) -> None:
    """They hold their leases, and the worker has shown itself some times since."""

    async def held() -> bool:
        return bool(
            await engine.db.pool.fetchval(
                "select count(*) > 0 from wallets w join workers k on k.id = w.lease_holder"
                " where w.role = 'payment' and k.seen_at > k.started_at + interval '1.5 seconds'"
            )
        )

    await eventually(held)
