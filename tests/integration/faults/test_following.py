"""The confirmer goes on, whatever the chain does and however slowly a node answers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from onsettle.domain.authorization import payment_id
from onsettle.engine import blocks, confirmer
from onsettle.runtime import Engine
from tests.harness.books import accepted, alarms, becomes, payment, running, transactions
from tests.harness.contracts import act, calldata, deploy
from tests.harness.moves import mining, reorg
from tests.harness.proxy import FaultProxy
from tests.harness.stack import PAYEE, PRICE, Stack, eventually, only_network

_REVERTS_WHEN_MINED = 8


@pytest.fixture
async def node(held: Stack) -> AsyncIterator[FaultProxy]:
    """What stands between the engine and the chain."""
    async with FaultProxy(held.chain.rpc_url) as proxy:
        held.rpc_url = proxy.url
        yield proxy


async def _cursor(engine: Engine) -> int:
    row = await engine.db.fetchrow("network_get", only_network(engine).chain_id)
    return -1 if row is None or row["cursor_number"] is None else int(row["cursor_number"])


async def _stands_at(engine: Engine, height: int, *, within_s: float = 45) -> None:
    async def there() -> bool:
        return await _cursor(engine) == height

    await eventually(there, within_s=within_s)


async def test_a_reorg_that_meets_a_lagging_node_is_followed_by_the_next(
    held: Stack, node: FaultProxy
) -> None:
    """After a reorg a node that is behind shows only a part of the new branch; that part is
    dropped as well, and the confirmer still reaches the head."""
    async with running(held, finality_blocks=50) as engine:
        for _ in range(12):
            await held.mine()
        height = await held.height()
        await _stands_at(engine, height)
        # It sees three blocks of the new branch only.
        lag = node.script("behind", amount=3)
        await reorg(held, 6)
        await _stands_at(engine, height - 3)
        await reorg(held, 8)
        node.stop(lag)
        await held.mine(3)
        await _stands_at(engine, await held.height())


async def test_the_first_blocks_after_the_start_may_be_reorganised(held: Stack) -> None:
    """A database that is some seconds old finds its way back to a block before its first."""
    await held.mine(10)
    async with running(held, finality_blocks=50) as engine:
        await _stands_at(engine, await held.height())
        await reorg(held, 3)
        await held.mine(5)
        await _stands_at(engine, await held.height())


async def test_a_chain_without_a_known_block_is_begun_again_aloud(
    held: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing that was read is on the chain any more, an alarm says so, and what can be
    known of the new chain is."""
    monkeypatch.setattr(confirmer, "_LOST_S", 0.5)
    await held.mine(10)
    async with running(held, finality_blocks=500) as engine:
        await _stands_at(engine, await held.height())
        await engine.db.pool.execute("delete from blocks where number < $1", await held.height())
        await reorg(held, 5)
        await held.mine(3)
        await _stands_at(engine, await held.height())
        assert len(await alarms(engine, "reorg_too_deep")) == 1
        [payer] = await held.payers(1)
        [one] = await accepted(engine, [held.body(engine, payer, payment_type="plain")])
        async with mining(held):
            await becomes(engine, one, "completed")


async def test_a_shorter_chain_that_makes_blocks_on_demand_is_followed_back(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chain comes back some blocks shorter and makes none by itself: that is told, what it
    dropped is sent again, and new payments are settled."""
    monkeypatch.setattr(confirmer, "_LOST_S", 0.5)
    async with running(stack, finality_blocks=50) as engine:
        first, second = await stack.payers(2)
        before = await stack.rpc.call("evm_snapshot")
        [one] = await accepted(engine, [stack.body(engine, first)])
        await becomes(engine, one, "completed")
        await stack.all_minted(engine, 1)
        await stack.rpc.call("evm_revert", before)
        [two] = await accepted(engine, [stack.body(engine, second)])
        await becomes(engine, two, "completed")

        async def back() -> bool:
            return bool(await stack.token_balance(PAYEE) == 2 * PRICE)

        await eventually(back)
        await stack.all_minted(engine, 2)

        async def whole() -> bool:
            return (await payment(engine, one))["block_number"] is not None

        await eventually(whole)
        assert len(await alarms(engine, "chain_went_back")) == 1
        await stack.verified(engine)


async def test_blocks_that_come_faster_than_they_are_read_hold_up_no_verdict(
    dsn: str, tmp_path: Path
) -> None:
    """Five blocks a second at a node that takes its time: a payment that reverted is told, and
    what completed becomes final."""
    async with (
        Stack(dsn, tmp_path, block_time=0.2) as stack,
        FaultProxy(stack.chain.rpc_url) as proxy,
    ):
        stack.rpc_url = proxy.url
        token = await deploy(stack.rpc, "OddToken")
        more = {"assets": f"{stack.asset},{token}"}
        async with running(stack, finality_blocks=5, environment=more) as engine:
            good, bad = await stack.payers(2)
            await act(stack.rpc, OWNER_OF_ODD, token, _mint(bad.address))
            await act(stack.rpc, bad.address, token, _odd(bad.address))
            proxy.script("delay", amount=0.06)
            bodies = [
                stack.body(engine, good, payment_type="plain"),
                stack.body(engine, bad, payment_type="plain", asset=token),
            ]
            one, two = await accepted(engine, bodies)
            await becomes(engine, one, "completed", final=True)
            await becomes(engine, two, "confirmation_failed", "reverted")
            proxy.clear()
            assert {row["state"] for row in await transactions(engine)} == {"mined", "reverted"}


OWNER_OF_ODD = "0x" + "fa" * 20


def _mint(payer: str) -> str:
    return calldata("mint(address,uint256)", payer, PRICE)


def _odd(payer: str) -> str:
    return calldata("setOddity(address,uint8)", payer, _REVERTS_WHEN_MINED)


async def test_a_range_that_takes_longer_than_a_lease_is_halved(
    held: Stack, node: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a long absence a node takes longer for a wide range than the lease is trusted: what
    it answers counts, and it is asked for less."""
    monkeypatch.setattr(blocks, "_WIDEST", 1000)
    monkeypatch.setattr(blocks, "SLOW_S", 0.5)
    monkeypatch.setattr(confirmer, "SLOW_S", 0.5)
    monkeypatch.setattr("onsettle.engine.lease._TRUST_S", 1.0)
    async with running(held, finality_blocks=5) as engine:
        await _stands_at(engine, await held.height())
    await held.mine(1500)
    widths: list[int] = []

    async def slowly(call: dict[str, Any]) -> None:
        where = call["params"][0]
        if "fromBlock" in where:
            widths.append(int(where["toBlock"], 16) - int(where["fromBlock"], 16) + 1)
            await asyncio.sleep(1.5 if widths[-1] > 600 else 0)

    node.watch["eth_getLogs"] = slowly
    async with running(held, finality_blocks=5) as engine:
        await _stands_at(engine, await held.height())
    assert widths[0] == 1000
    assert widths[1] <= 500


async def test_a_low_limit_of_requests_is_enough_to_catch_up(held: Stack) -> None:
    """Ten requests a second and a gap of a hundred blocks: less is read at a time until it fits,
    and the head is reached."""
    async with running(held, finality_blocks=5) as engine:
        await _stands_at(engine, await held.height())
    await held.mine(60)
    async with running(held, finality_blocks=5, rpc_requests_per_second=20) as engine:
        await _stands_at(engine, await held.height())


async def test_a_node_that_takes_no_hashes_is_read_by_numbers(
    held: Stack, node: FaultProxy
) -> None:
    """Neither EIP-1898 nor EIP-234: numbers are used, between two looks at the hash, and payments
    are settled and judged all the same."""
    node.script("no_hashes")
    async with running(held, finality_blocks=5) as engine:
        payers = await held.payers(2)
        bodies = [held.body(engine, payer) for payer in payers]
        ids = await accepted(engine, bodies)
        async with mining(held):
            await held.all_are(engine, ids, "completed")
            await held.all_minted(engine, 2)
        assert await held.token_balance(PAYEE) == 2 * PRICE


async def test_many_blocks_in_one_commit_wait_for_nobody_who_waits_for_them(
    held: Stack, node: FaultProxy
) -> None:
    """Two blocks are taken in at once, and the payment of the second has the lower id: a session
    that holds it, and wants the other next as every statement does, gets that one too."""
    async with running(held, finality_blocks=5) as engine:
        bodies = [held.body(engine, payer) for payer in await held.payers(2)]
        by_id = sorted(bodies, key=lambda body: _id_of(engine, body))
        await _stands_at(engine, await held.height())
        lag = node.script("frozen")
        for body in reversed(by_id):
            [one] = await accepted(engine, [body])
            await becomes(engine, one, "sent")
            await held.mine()
        low, high = (_id_of(engine, body) for body in by_id)
        session = await asyncpg.connect(held.dsn)
        try:
            holding = session.transaction()
            await holding.start()
            lock = "select id from payment_queue where id = $1 for update"
            await session.execute(lock, low)
            node.stop(lag)
            await eventually(lambda: _waited_for(held.dsn))
            await session.execute(f"{lock} nowait", high)
            await holding.rollback()
        finally:
            await session.close()
        await held.all_are(engine, [low, high], "completed")


def _id_of(engine: Engine, body: dict[str, Any]) -> UUID:
    auth = body["authorization"]
    return payment_id(
        chain_id=only_network(engine).chain_id,
        asset=body["asset"],
        payer=auth["from"],
        nonce=auth["nonce"],
    )


async def _waited_for(dsn: str) -> bool:
    """Whether some session waits for a row that another one holds."""
    session = await asyncpg.connect(dsn)
    try:
        return bool(
            await session.fetchval(
                "select count(*) from pg_stat_activity where datname = current_database()"
                " and wait_event_type = 'Lock'"
            )
        )
    finally:
        await session.close()
