"""Several networks: rows of one that can't be read now wait for it, whatever the others do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from onsettle.config import load
from onsettle.local.chain import LocalChain
from onsettle.runtime import Engine
from tests.harness.commands import onsettle
from tests.harness.older import OlderServer
from tests.harness.proxy import FaultProxy
from tests.harness.stack import PAYEE, PRICE, Stack, eventually

_CONFIG = """
[networks.near]
onsettle_rpc_urls = ["{near_url}"]
onsettle_assets = ["{near_asset}"]
[networks.far]
onsettle_rpc_urls = ["{far_url}"]
onsettle_assets = [{far_assets}]
onsettle_mint_tokens = ["{mint_token}"]
"""


class _Two:
    """One network that answers, and one behind a proxy."""

    def __init__(self, near: Stack, far: Stack, proxy: FaultProxy, near_asset: str) -> None:
        self.near = near
        self.far = far
        self.proxy = proxy
        self.near_asset = near_asset

    def environment(self, *, far_assets: list[str]) -> dict[str, str]:
        config = self.far.folder / "two.toml"
        config.write_text(
            _CONFIG.format(
                near_url=self.near.chain.rpc_url,
                near_asset=self.near_asset,
                far_url=self.proxy.url,
                far_assets=", ".join(f'"{asset}"' for asset in far_assets),
                mint_token=self.far.mint_token,
            ),
            "utf-8",
        )
        config.chmod(0o600)
        given = self.far.process_environment(rpc_urls="", assets="", mint_tokens="")
        return given | {"ONSETTLE_CONFIG": str(config)}

    @asynccontextmanager
    async def engine(self, *, far_assets: list[str]) -> AsyncIterator[Engine]:
        engine = await Engine.open(load(self.environment(far_assets=far_assets), self.far.folder))
        try:
            await engine.start()
            yield engine
            await engine.stop()
        finally:
            await engine.close()


@pytest.fixture
async def two(dsn: str, tmp_path: Path) -> AsyncIterator[_Two]:
    near, far = Stack(dsn, tmp_path / "near"), Stack(dsn, tmp_path / "far")
    far.chain = LocalChain(tmp_path / "far", block_time=0, chain_id=31337, save_every_s=None)
    async with near, far, FaultProxy(far.chain.rpc_url) as proxy:
        yield _Two(near, far, proxy, await near.deploy("PaymentToken"))


async def _rows(older: OlderServer, ids: list[UUID]) -> list[dict[str, Any]]:
    rows = await older.hand.fetch("select * from payment_queue where id = any($1::uuid[])", ids)
    by_id = {row["id"]: dict(row) for row in rows}
    return [by_id[each] for each in ids]


async def _marked(older: OlderServer, ids: list[UUID], mark: str) -> None:
    async def there() -> bool:
        return all(row["refused"] == mark for row in await _rows(older, ids))

    await eventually(there)


async def test_rows_of_a_network_that_is_down_wait_for_it_and_settle(two: _Two) -> None:
    """What waits, what a crash left, what failed and what is INSERTed meanwhile keep their status
    while their network is down, and go their way when it is back."""
    down = two.proxy.script("drop")
    async with OlderServer.on(two.far) as older:
        await older.make_tables()
        payers = await two.far.payers(5)
        signed = [older.authorization(payer) for payer in payers]
        waiting, crashed, landed, done = [await older.insert(each) for each in signed[:4]]
        for payment in (crashed, landed, done):
            await older.claim(payment)
        await older.failed(landed, "Transaction timeout", await older.settle(signed[2]))
        await older.completed(done, await older.settle(signed[3]))
        environment = two.environment(far_assets=[two.far.asset])
        said = (await onsettle(environment, "migrate")).ok()
        assert "left for later: 3 payments that are not completed" in said.out
        assert "not taken over" not in said.out
        async with two.engine(far_assets=[two.far.asset]) as engine:
            written = await older.insert(signed[4])
            ids = [waiting, crashed, landed, done, written]
            await _marked(older, ids, "awaits_network")
            statuses = [row["status"] for row in await _rows(older, ids)]
            assert statuses == ["pending", "processing", "failed", "completed", "pending"]
            assert await older.hand.fetchval("select count(*) from alarms") == 0
            two.proxy.stop(down)
            await two.far.all_are(engine, ids, "completed")
            await two.far.all_minted(engine, 4)
            assert await two.far.token_balance(PAYEE) == 5 * PRICE
            assert {row["refused"] for row in await _rows(older, ids)} == {None}
            await two.far.verified(engine)


async def test_a_known_payment_is_known_as_soon_as_its_network_is_back(two: _Two) -> None:
    """A completed row that waited is answered with its own id, before the engine has got to it."""
    down = two.proxy.script("drop")
    async with OlderServer.on(two.far) as older:
        await older.make_tables()
        [payer] = await two.far.payers(1)
        signed = older.authorization(payer)
        done = await older.insert(signed)
        await older.completed(done, await older.settle(signed))
        assets = [two.far.asset]
        async with two.engine(far_assets=assets):
            await _marked(older, [done], "awaits_network")
        two.proxy.stop(down)
        engine = await Engine.open(load(two.environment(far_assets=assets), two.far.folder))
        try:
            body = {
                "payment_type": "mint",
                "network": "eip155:31337",
                "token_address": two.far.mint_token,
                "authorization": signed,
                "metadata": {"quantity": 1, "mode": "x402"},
            }
            answer = await engine.intake.submit(body)
            assert (answer.id, answer.known, answer.status) == (done, True, "completed")
        finally:
            await engine.close()


async def test_what_a_refusal_failed_is_put_back_when_its_asset_is_configured(two: _Two) -> None:
    """It is looked up first: one that was paid meanwhile completes, one that was not is sent."""
    async with OlderServer.on(two.far) as older:
        await older.make_tables()
        payers = await two.far.payers(2)
        signed = [older.authorization(payer) for payer in payers]
        paid, unpaid = [await older.insert(each) for each in signed]
        await older.claim(paid)
        other = await two.far.deploy("PaymentToken")
        async with two.engine(far_assets=[other]) as engine:
            await two.far.all_are(engine, [paid, unpaid], "failed")
            rows = await _rows(older, [paid, unpaid])
            assert {row["reason"] for row in rows} == {"asset_not_allowed"}
            [alarm] = await eventually(lambda: engine.db.fetch("alarms_open"))
            assert alarm["subject"] == "asset_not_allowed"
            assert "refused = 'asset_not_allowed'" in alarm["message"]
        await older.settle(signed[0])
        environment = two.environment(far_assets=[two.far.asset])
        said = (await onsettle(environment, "migrate")).ok()
        assert "taken over: 2 payments" in said.out
        async with two.engine(far_assets=[two.far.asset]) as engine:
            await two.far.all_are(engine, [paid, unpaid], "completed")
            await two.far.all_minted(engine, 2)
            assert await two.far.token_balance(PAYEE) == 2 * PRICE
            assert await engine.db.fetch("alarms_open") == []
            await two.far.verified(engine)


async def test_an_asset_of_two_networks_is_not_given_to_the_one_that_answers(two: _Two) -> None:
    """Which chain is meant can't be told: while one is down the row waits, then it is refused."""
    down = two.proxy.script("drop")
    two.near_asset = two.near.asset
    assert two.near.asset == two.far.asset
    async with OlderServer.on(two.far) as older:
        await older.make_tables()
        [payer] = await two.far.payers(1)
        payment = await older.insert(older.authorization(payer))
        async with two.engine(far_assets=[two.far.asset]) as engine:
            await _marked(older, [payment], "awaits_network")
            assert (await _rows(older, [payment]))[0]["status"] == "pending"
            two.proxy.stop(down)
            await two.far.all_are(engine, [payment], "failed")
            assert (await _rows(older, [payment]))[0]["reason"] == "asset_ambiguous"
