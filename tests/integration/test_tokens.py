"""A token that is at fault, or can't be read yet, stops its own payments and nothing else."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from onsettle import runtime
from onsettle.api.app import create_app
from onsettle.local.payers import fund
from onsettle.runtime import Engine
from tests.harness.books import accepted, alarms, quick
from tests.harness.commands import onsettle
from tests.harness.http import serving
from tests.harness.moves import STRANGER, ahead, transfer_of
from tests.harness.proxy import FaultProxy
from tests.harness.stack import PRICE, Stack, eventually, only_network


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be read is tried again at once."""
    monkeypatch.setattr(runtime, "_RETRY_S", 0.1)
    monkeypatch.setattr(runtime, "_LONGEST_TOKEN_S", 0.3)


async def _code(stack: Stack, address: str, code: object) -> object:
    """Put this code at an address; what was there."""
    before = await stack.rpc.call("eth_getCode", address, "latest")
    await stack.rpc.call("anvil_setCode", address, code)
    return before


async def _refusal(http: httpx.AsyncClient, body: dict[str, Any]) -> tuple[int, str, str]:
    answer = await http.post("/v1/payments", json=body)
    return answer.status_code, answer.json()["code"], answer.json()["detail"]


async def _settles(stack: Stack, engine: Engine, http: httpx.AsyncClient) -> None:
    """A payment of the good asset with a mint of the good token goes all the way."""
    [payer] = await stack.payers(1)
    answer = await http.post("/v1/payments", json=stack.body(engine, payer))
    assert answer.status_code == 202, answer.text
    await stack.all_are(engine, [UUID(answer.json()["id"])], "completed")


async def test_a_bad_asset_stops_its_own_payments_only(stack: Stack) -> None:
    """Beside a good one: 503 with the reason for its payments, told everywhere, read again until
    it is known; meanwhile the good one settles and the service is ready."""
    bad = await stack.deploy("PaymentToken")
    code = await _code(stack, bad, "0x")
    assets = f"{bad},{stack.asset}"
    async with stack.engine(assets=assets) as engine, serving(create_app(engine)) as http:
        await quick(stack, engine)
        ready = await http.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["ready"] is True
        [problem] = ready.json()["problems"]
        assert f"{bad} has no code on chain" in problem
        await _settles(stack, engine, http)
        [payer] = await stack.payers(1)
        wanted = {**stack.body(engine, payer), "asset": bad}
        status, refused, detail = await _refusal(http, wanted)
        assert (status, refused) == (503, "asset_unavailable")
        assert "has no code" in detail
        process = stack.process_environment(assets=assets)
        assert f"ALARM asset_unavailable {bad}" in (await onsettle(process, "status")).out
        doctor = await onsettle(process, "doctor", "--json")
        failed = {f["subject"]: f for f in doctor.json["findings"] if f["state"] == "fail"}
        assert "has no code" in failed[bad]["found"]
        (await onsettle(process, "verify")).ok()
        await _code(stack, bad, code)

        async def known() -> bool:
            return bool((await http.get("/readyz")).json() == {"ready": True, "problems": []})

        await eventually(known)
        await fund(stack.chain.rpc_url, bad, [payer.address], PRICE)
        ids = await accepted(engine, [stack.body(engine, payer, asset=bad)])
        await stack.all_are(engine, ids, "completed")
        assert await alarms(engine) == []


async def test_a_mint_token_without_has_minted_stops_its_own_payments_only(stack: Stack) -> None:
    """Beside a good one it is refused by its code, for ever; what it owes waits and holds nobody
    up; alone it makes the service not ready."""
    bad = await stack.deploy("PaymentToken")
    both = f"{bad},{stack.mint_token}"
    async with stack.engine(mint_tokens=both) as engine, serving(create_app(engine)) as http:
        await quick(stack, engine)
        ready = await http.get("/readyz")
        assert ready.status_code == 200
        [problem] = ready.json()["problems"]
        assert f"mint token {bad} does not answer hasMinted" in problem
        [payer] = await stack.payers(1)
        wanted = {**stack.body(engine, payer), "token_address": bad}
        status, refused, _ = await _refusal(http, wanted)
        assert (status, refused) == (422, "mint_token_without_has_minted")
        [row] = await alarms(engine)
        assert (row["kind"], row["subject"]) == ("mint_token_unavailable", bad)
        # Accepted while it was fine, by another process.
        tokens = only_network(engine).tokens
        trouble = tokens.mint_tokens.pop(bad)
        ids = await accepted(engine, [wanted])
        tokens.mint_tokens[bad] = trouble
        await stack.all_are(engine, ids, "completed")
        await _settles(stack, engine, http)
        await stack.all_minted(engine, 1)
        rows = await engine.db.pool.fetch(
            "select status, error_message from mint_queue where token_address = $1", bad
        )
        assert [row["status"] for row in rows] == ["pending"]
    async with stack.engine(mint_tokens=bad) as engine, serving(create_app(engine)) as http:
        assert (await http.get("/readyz")).status_code == 503


async def test_tokens_that_can_not_be_read_yet_are_503_until_they_are(stack: Stack) -> None:
    """While the node answers for no contract: not ready, 503 for their payments; then all is well
    without a restart, and what was known once is kept."""
    async with FaultProxy(stack.rpc_url) as proxy:
        proxy.script("internal_error", "eth_call")
        async with stack.engine(start=False) as other:
            [payer] = await stack.payers(1)
            body = stack.body(other, payer)
            await other.db.pool.execute("delete from assets")
        async with stack.engine(rpc_urls=proxy.url) as engine, serving(create_app(engine)) as http:
            assert (await http.get("/readyz")).status_code == 503
            status, refused, detail = await _refusal(http, body)
            assert (status, refused) == (503, "asset_unavailable")
            assert "could not be read yet" in detail
            proxy.clear()

            async def ready() -> bool:
                return (await http.get("/readyz")).status_code == 200

            await eventually(ready)
            assert (await http.post("/v1/payments", json=body)).status_code == 202
        proxy.script("internal_error", "eth_call")
        async with stack.engine(rpc_urls=proxy.url) as engine, serving(create_app(engine)) as http:
            status, refused, _ = await _refusal(http, body)
            assert (status, refused) == (503, "mint_token_unavailable")
            assert [row["kind"] for row in await alarms(engine)] == ["mint_token_unavailable"]


async def test_the_chain_is_followed_for_all_configured_contracts(stack: Stack) -> None:
    """A payment of an asset that this process could not read is completed when it lands."""
    async with stack.engine(start=False) as signing, FaultProxy(stack.rpc_url) as proxy:
        [payer] = await stack.payers(1)
        body = stack.body(signing, payer, payment_type="order")
        ids = await accepted(signing, [body])
        await signing.db.pool.execute("delete from assets")
        proxy.script("internal_error", "eth_call")
        async with stack.engine(rpc_urls=proxy.url) as engine:
            await quick(stack, engine)

            async def following() -> bool:
                [row] = await engine.db.fetch("networks_all")
                return bool(row["following_since"])

            await eventually(following)
            await ahead(stack, STRANGER, stack.asset, transfer_of(body))
            await stack.all_are(engine, ids, "completed")
            assert list(only_network(engine).tokens.assets) == [stack.asset]
