"""What the API tells about payments that are settled for real."""

import asyncio
import json
import re
from typing import Any
from uuid import UUID

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from onsettle.api.app import create_app
from onsettle.api.schemas import EventPage, PaymentPage, PaymentView, StatsView
from onsettle.domain.payment import PaymentStatus
from onsettle.local.payers import Payer
from tests.harness.http import serving
from tests.harness.stack import eventually
from tests.integration.api.conftest import ADMIN, KEY, Api

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _submit(api: Api, count: int, **more: Any) -> list[UUID]:
    payers = await api.stack.payers(count)
    bodies = [api.stack.body(api.engine, payer, **more) for payer in payers]
    answer = await api.http.post("/v1/payments/batch", json={"payments": bodies})
    assert answer.status_code == 200, answer.text
    return [UUID(result["id"]) for result in answer.json()["results"]]


async def _completed(api: Api, count: int, **more: Any) -> list[UUID]:
    ids = await _submit(api, count, **more)
    await api.stack.all_are(api.engine, ids, "completed")
    return ids


async def test_one_payment_is_shown_with_its_mints_attempts_and_events(guarded: Api) -> None:
    """Every field that is promised is there, in the promised form, from acceptance to the mint."""
    [id_] = await _completed(guarded, 1, quantity=2)

    async def minted() -> dict[str, Any] | None:
        found: dict[str, Any] = (await guarded.http.get(f"/v1/payments/{id_}")).json()
        done = all(mint["status"] == "completed" for mint in found["mints"])
        return found if done and len(found["mints"]) == 2 else None

    found = await eventually(minted)
    assert found is not None
    view = PaymentView.model_validate(found, strict=False, extra="forbid")
    assert view.status == "completed"
    assert view.network == "eip155:84532"
    assert view.amount == "10000"
    assert view.error is None
    assert view.tx_hash == view.attempts[-1].hash
    assert [event.to for event in view.events] == ["pending", "processing", "sent", "completed"]
    assert found["attempts"][0]["max_fee"].isdigit()


async def test_pages_of_the_list_hold_every_payment_once(guarded: Api) -> None:
    """Walking the cursor meets each payment once, newest first, whatever comes in meanwhile."""
    wanted = set(await _completed(guarded, 7))
    seen: list[UUID] = []
    page: dict[str, Any] = {}
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": "3", "status": "completed"} | ({"cursor": cursor} if cursor else {})
        page = (await guarded.http.get("/v1/payments", params=query)).json()
        PaymentPage.model_validate(page, extra="forbid")
        seen += [UUID(payment["id"]) for payment in page["payments"]]
        cursor = page["next"]
        await _submit(guarded, 1)
    assert len(seen) == len(set(seen))
    assert wanted <= set(seen)
    payer = page["payments"][0]["payer"]
    mine = (await guarded.http.get("/v1/payments", params={"payer": payer.upper()[2:]})).status_code
    assert mine == 422
    by_payer = await guarded.http.get("/v1/payments", params={"payer": "0x" + payer[2:].upper()})
    assert [payment["payer"] for payment in by_payer.json()["payments"]] == [payer]


async def test_the_timeline_of_a_payment_is_streamed_while_it_happens(guarded: Api) -> None:
    """Server-sent events tell each status once, in order; Last-Event-ID goes on from there."""
    await guarded.stack.hold_blocks()
    try:
        [id_] = await _submit(guarded, 1)
        url = f"/v1/payments/{id_}/events"
        accept = {"accept": "text/event-stream"}
        told: list[tuple[int, str]] = []
        async with guarded.http.stream("GET", url, headers=accept) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            async for line in response.aiter_lines():
                if line.startswith("id: "):
                    told.append((int(line[4:]), ""))
                elif line.startswith("data: "):
                    told[-1] = (told[-1][0], json.loads(line[6:])["to"])
                    if told[-1][1] == "sent":
                        await guarded.stack.mine()
                    if told[-1][1] == "completed":
                        break
        assert [status for _, status in told] == ["pending", "processing", "sent", "completed"]
        last = {"last-event-id": str(told[2][0]), **accept}
        async with guarded.http.stream("GET", url, headers=last) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    assert json.loads(line[6:])["to"] == "completed"
                    break
        listed = (await guarded.http.get(url)).json()
        EventPage.model_validate(listed, extra="forbid")
        assert len(listed["events"]) == 4
    finally:
        await guarded.stack.rpc.call("evm_setAutomine", True)


async def test_the_state_of_the_service_adds_up(guarded: Api) -> None:
    """Counts, wallets, endpoints and latencies are those of the database; the verdict is a word."""
    await _completed(guarded, 2)
    stats: dict[str, Any] = {}

    async def settled() -> bool:
        stats.update((await guarded.http.get("/v1/stats")).json())
        return bool(
            stats["payments"]["completed"]["count"] == await guarded.rows()
            and stats["payments"]["pending"]["count"] == 0
        )

    await eventually(settled)
    StatsView.model_validate(stats)
    assert stats["health"] == "healthy", stats["reasons"]
    assert set(stats["payments"]) == {status.value for status in PaymentStatus}
    assert stats["latency_s"]["accept_to_completed"]["p50"] > 0
    assert stats["rates"]["completed_per_minute"] > 0
    roles = sorted(wallet["role"] for wallet in stats["wallets"])
    assert roles == ["mint", "payment"]
    assert all(
        wallet["balance"] is None or wallet["balance"].isdigit() for wallet in stats["wallets"]
    )
    [network] = stats["networks"]
    assert network["rpc"][0]["calls"] > 0
    assert network["rpc"][0]["answers"] is True


async def test_figures_for_prometheus_can_be_read(guarded: Api) -> None:
    """Depths, ages, moves, latencies, calls by method and wallets have onsettle_ names."""
    await guarded.http.get("/metrics")  # counters begin with the first look
    await asyncio.sleep(0)
    await _completed(guarded, 3)

    async def counted() -> dict[str, dict[str, float]] | None:
        text = (await guarded.http.get("/metrics")).text
        found: dict[str, dict[str, float]] = {}
        for family in text_string_to_metric_families(text):
            assert family.name.startswith("onsettle_")
            for sample in family.samples:
                labels = ",".join(v for k, v in sorted(sample.labels.items()) if k != "endpoint")
                found.setdefault(sample.name, {})[labels] = sample.value
        ready = found["onsettle_payment_moves_total"]["completed"] >= 3
        return found if ready else None

    found = await eventually(counted)
    assert found is not None
    assert found["onsettle_payments"]["completed"] >= 3
    assert found["onsettle_payments_oldest_seconds"]["pending"] >= 0
    assert found["onsettle_payment_moves_total"]["sent"] >= 3
    assert found["onsettle_accept_to_sent_seconds_bucket"]["+Inf"] >= 3
    assert found["onsettle_mined_to_completed_seconds_count"][""] >= 3
    assert found["onsettle_rpc_calls_total"]["eth_sendRawTransaction,eip155:84532"] > 0
    assert len(found["onsettle_wallet_in_flight"]) == 2
    assert found["onsettle_workers"][""] == 1
    assert found["onsettle_health"]["healthy"] == 1


async def test_the_routes_of_the_guides_server_answer_as_it_did(guarded: Api) -> None:
    """The two old routes keep their names and fields; `result` names the mints of a payment, as
    that server wrote it, or is what that server wrote; before it is completed it is null."""
    [id_] = await _completed(guarded, 1, quantity=2)
    payment = (await guarded.http.get(f"/api/payment/{id_}")).json()
    assert list(payment) == [
        "paymentId", "paymentType", "status", "payer", "amount", "paymentTokenAddress", "txHash",
        "error", "createdAt", "processedAt", "result",
    ]  # fmt: skip
    assert (payment["paymentId"], payment["status"]) == (str(id_), "completed")
    assert re.fullmatch(r"0x[0-9a-f]{64}", payment["txHash"])
    mints = (await guarded.http.get(f"/v1/payments/{id_}")).json()["mints"]
    queued = [mint["id"] for mint in mints]
    assert payment["result"] == {"success": True, "queueIds": queued, "quantity": 2}
    assert len(set(queued)) == 2
    poor = guarded.stack.body(guarded.engine, Payer())
    accepted = (await guarded.http.post("/v1/payments", json=poor)).json()
    told = (await guarded.http.get(f"/api/payment/{accepted['id']}")).json()
    assert told["result"] is None
    theirs = {"success": True, "tokenAddress": "0x" + "ab" * 20}
    statement = "update payment_queue set result = $2 where id = $1"
    await guarded.engine.db.pool.execute(statement, id_, theirs)
    assert (await guarded.http.get(f"/api/payment/{id_}")).json()["result"] == theirs

    async def the_nonce_of_the_chain() -> bool:
        stats = (await guarded.http.get("/api/payment-stats")).json()
        assert set(stats) == {status.value for status in PaymentStatus} | {"nonceState"}
        states = {state["role"]: state for state in stats["nonceState"]}
        chain = await guarded.stack.nonce(guarded.stack.wallets[0])
        return bool(states["payment"]["nextNonce"] == chain)

    await eventually(the_nonce_of_the_chain)


async def test_settings_change_within_two_seconds_or_not_at_all(guarded: Api) -> None:
    """One value out of range refuses the whole change; a pause refuses payments until resumed."""
    wrong = {"payment_batch_size": 60, "payment_mode": "later"}
    refused = await guarded.http.patch("/v1/admin/settings", json=wrong)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_setting")
    assert "async or sync" in refused.json()["detail"]
    bad: list[Any] = [{}, [], {"payment_colour": 1}, {"payment_mode": None}, {"payment_mode": []}]
    for each in bad:
        assert (await guarded.http.patch("/v1/admin/settings", json=each)).status_code == 422
    assert (await guarded.engine.settings.get()).payment_batch_size == 50
    right = await guarded.http.patch("/v1/admin/settings", json={"payment_batch_size": 60})
    values = {row["key"]: row["value"] for row in right.json()["settings"]}
    assert values["payment_batch_size"] == "60"

    async def in_force() -> bool:
        return (await guarded.engine.settings.get()).payment_batch_size == 60

    await eventually(in_force, within_s=2)
    await guarded.http.post("/v1/admin/pause")
    body = guarded.stack.body(guarded.engine, (await guarded.stack.payers(1))[0])

    async def paused() -> bool:
        return (await guarded.engine.settings.get()).payments_paused

    await eventually(paused, within_s=2)
    assert (await guarded.http.post("/v1/payments", json=body)).json()["code"] == "paused"
    assert (await guarded.http.get("/v1/stats")).status_code == 200
    await guarded.http.post("/v1/admin/resume")

    async def taken() -> bool:
        return (await guarded.http.post("/v1/payments", json=body)).status_code in (200, 202)

    await eventually(taken, within_s=2)


async def test_an_operator_rechecks_and_retries_only_what_the_chain_allows(guarded: Api) -> None:
    """What has landed is left alone, an unknown id is told, and a dry run writes nothing."""
    [id_] = await _completed(guarded, 1)
    unknown = UUID(int=1)
    body = {"ids": [str(id_), str(unknown)], "dry_run": True}
    told = (await guarded.http.post("/v1/admin/retry", json=body)).json()
    assert told["missing"] == [str(unknown)]
    assert told["payments"][0]["verdict"] == "nothing"
    assert told["payments"][0]["done"] is None
    assert (await guarded.http.post("/v1/admin/retry", json={"ids": [str(id_)]})).status_code == 200
    assert await guarded.stack.statuses(guarded.engine, [id_]) == ["completed"]
    again = await guarded.http.post("/v1/admin/recheck", json={"ids": [str(id_)]})
    assert again.status_code == 202
    bad: list[Any] = [{}, {"ids": []}, {"ids": ["x"]}, {"ids": [1]}, {"ids": "x"}, []]
    for wrong in bad:
        answer = await guarded.http.post("/v1/admin/retry", json=wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_a_wallet_is_paused_by_its_address(guarded: Api) -> None:
    """A paused wallet sends nothing, and the verdict says so; resumed, it goes on."""
    address = guarded.stack.wallets[0]
    url = f"/v1/admin/wallets/{address}"
    assert (await guarded.http.post(f"{url}/pause")).json()["paused"] is True
    ids = await _submit(guarded, 1)

    async def said() -> bool:
        stats = (await guarded.http.get("/v1/stats")).json()
        return any("is paused" in reason for reason in stats["reasons"])

    await eventually(said)
    assert await guarded.stack.statuses(guarded.engine, ids) == ["pending"]
    await guarded.http.post(f"{url}/resume")
    await guarded.stack.all_are(guarded.engine, ids, "completed")
    for path, status in ((f"{url}/stop", 404), ("/v1/admin/wallets/0x1/pause", 422)):
        assert (await guarded.http.post(path)).status_code == status
    nobody = await guarded.http.post(f"/v1/admin/wallets/0x{'99' * 20}/pause")
    assert nobody.status_code == 404


@pytest.mark.parametrize("token", [None, "wrong", KEY + "x", "ä"])
async def test_without_a_key_nothing_is_told(guarded: Api, token: str | None) -> None:
    """With API keys configured, only health and the documentation are open to everybody."""
    url = str(guarded.http.base_url)
    headers = httpx.Headers(
        None if token is None else {b"authorization": f"Bearer {token}".encode()}
    )
    async with httpx.AsyncClient(base_url=url, headers=headers) as http:
        for method, path in (
            ("POST", "/v1/payments"),
            ("POST", "/v1/payments/batch"),
            ("GET", "/v1/payments"),
            ("GET", f"/v1/payments/{UUID(int=1)}"),
            ("GET", f"/v1/payments/{UUID(int=1)}/events"),
            ("GET", "/v1/stats"),
            ("GET", "/metrics"),
            ("GET", f"/api/payment/{UUID(int=1)}"),
            ("GET", "/api/payment-stats"),
            ("POST", "/v1/admin/pause"),
        ):
            answer = await http.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), path
            assert answer.headers["www-authenticate"] == "Bearer"
        for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
            assert (await http.get(path)).status_code == 200, path


async def test_an_api_key_submits_and_does_not_operate(guarded: Api) -> None:
    """A key reads and submits; the admin routes want the admin token."""
    headers = {"authorization": f"bearer {KEY}"}
    assert (await guarded.http.get("/v1/stats", headers=headers)).status_code == 200
    answer = await guarded.http.post("/v1/admin/pause", headers=headers)
    assert answer.status_code == 401
    assert ADMIN not in answer.text


async def test_without_an_admin_token_the_admin_routes_are_off(api: Api) -> None:
    """Nobody can operate what has no token."""
    for method, path in (
        ("POST", "/v1/admin/pause"),
        ("PATCH", "/v1/admin/settings"),
        ("POST", "/v1/admin/retry"),
    ):
        assert (await api.http.request(method, path)).status_code == 404


async def test_openapi_describes_every_route_and_body(guarded: Api) -> None:
    """Each reference in the document resolves, and bodies and answers have real schemas."""
    document = (await guarded.http.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    for name in set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document))):
        assert name in schemas
    submit = document["paths"]["/v1/payments"]["post"]
    assert submit["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("Body")
    assert {"200", "202", "409", "422", "429", "503"} <= set(submit["responses"])
    assert "application/problem+json" in submit["responses"]["422"]["content"]
    assert set(schemas["AuthorizationBody"]["properties"]) >= {"from", "to", "value", "nonce", "v"}
    for path in ("/v1/payments/{payment_id}/events", "/v1/stats", "/metrics", "/v1/admin/settings"):
        assert path in document["paths"]


async def test_readiness_says_in_words_what_is_missing(api: Api, guarded: Api) -> None:
    """Ready while it settles and the database and an RPC endpoint answer; else a problem document
    and why. HEAD answers as GET does, without a body."""
    async with api.stack.engine(start=False) as idle, serving(create_app(idle)) as http:
        answer = await http.get("/readyz")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        told = answer.json()
        assert (told["status"], told["code"], told["ready"]) == (503, "not_ready", False)
        assert told["problems"] == ["the worker is not started"]
        assert told["problems"][0] in told["detail"]
        assert (await http.head("/readyz")).status_code == 503
        [network] = idle.networks.values()
        stats = network.pool.endpoints[0].stats
        # Nothing that works asks it meanwhile, so it goes on resting.
        stats.resting_until, stats.last_error = float("inf"), "connection refused"
        problems = (await http.get("/readyz")).json()["problems"]
        assert any("no RPC endpoint answers (connection refused)" in each for each in problems)
    api = guarded
    assert (await api.http.get("/readyz")).json() == {"ready": True, "problems": []}
    assert (await api.http.get("/healthz")).json() == {"status": "ok"}
    for path in ("/healthz", "/readyz"):
        answer = await api.http.head(path)
        assert (answer.status_code, answer.content) == (200, b""), path


async def test_an_empty_filter_filters_nothing(guarded: Api) -> None:
    """A form that sends its empty fields gets the list that it would get without them."""
    [id_] = await _completed(guarded, 1)
    found = []
    for query in ("", "?status=&payer=&cursor="):
        page = (await guarded.http.get(f"/v1/payments{query}")).json()
        found.append([payment["id"] for payment in page["payments"]])
    assert found[0] == found[1]
    assert found[0][0] == str(id_)
