"""What is not valid is refused in words, with a stable code; nothing of it is kept."""

import asyncio
import copy
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from onsettle.api import bodies
from onsettle.api.app import create_app
from onsettle.chain.crypto import domain_separator
from onsettle.local.payers import Payer
from tests.harness.http import serving
from tests.harness.stack import PAYEE, PRICE, eventually
from tests.integration.api.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

_JSON = {"content-type": "application/json"}
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

Body = dict[str, Any]


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    """An RFC 9457 document with this code."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["code"] == code, document
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert ("retry-after" in response.headers) == (status in (429, 503))


def _set(path: str, value: object) -> Callable[[Body], None]:
    """Write `value` at a dotted path of a body that is good otherwise."""

    def change(body: Body) -> None:
        *parents, last = path.split(".")
        for name in parents:
            body = body[name]
        body[last] = value

    return change


def _without(path: str) -> Callable[[Body], None]:
    def change(body: Body) -> None:
        *parents, last = path.split(".")
        for name in parents:
            body = body[name]
        del body[last]

    return change


def _wrong_checksum(body: Body) -> None:
    body["authorization"]["to"] = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD".swapcase().replace(
        "0X", "0x"
    )


def _high_s(body: Body) -> None:
    raw = bytes.fromhex(body["authorization"]["signature"][2:])
    s = _ORDER - int.from_bytes(raw[32:64], "big")
    body["authorization"]["signature"] = (
        "0x" + (raw[:32] + s.to_bytes(32, "big") + bytes([27 + 28 - raw[64]])).hex()
    )


def _deep(body: Body) -> None:
    nested: dict[str, Any] = {}
    for _ in range(300):
        nested = {"in": nested}
    body["metadata"] = nested


#: what is wrong -> how a good body is spoilt, and the answer.
SPOILT: dict[str, tuple[Callable[[Body], None], int, str]] = {
    "payment_type of another kind": (_set("payment_type", 7), 422, "invalid_request"),
    "payment_type too long": (_set("payment_type", "x" * 65), 422, "invalid_request"),
    "payment_type with NUL": (_set("payment_type", "mi\0nt"), 422, "invalid_request"),
    "authorization missing": (_without("authorization"), 422, "invalid_request"),
    "authorization is a list": (_set("authorization", []), 422, "invalid_request"),
    "authorization is a string": (_set("authorization", "0x"), 422, "invalid_request"),
    "authorization is null": (_set("authorization", None), 422, "invalid_request"),
    "amount as float": (_set("authorization.value", 10000.0), 422, "invalid_amount"),
    "amount as float string": (_set("authorization.value", "10000.0"), 422, "invalid_amount"),
    "amount as boolean": (_set("authorization.value", True), 422, "invalid_amount"),
    "amount missing": (_without("authorization.value"), 422, "invalid_amount"),
    "amount negative": (_set("authorization.value", -1), 422, "invalid_amount"),
    "amount of 2^256": (_set("authorization.value", 2**256), 422, "invalid_amount"),
    "amount of 2^256 as string": (_set("authorization.value", str(2**256)), 422, "invalid_amount"),
    "amount far beyond": (_set("authorization.value", "9" * 5000), 422, "invalid_amount"),
    "amount in other digits": (_set("authorization.value", "١٢"), 422, "invalid_amount"),
    "amount in hex": (_set("authorization.value", "0x10"), 422, "invalid_amount"),
    "amount zero": (_set("authorization.value", "0"), 422, "zero_amount"),
    "amount is a list": (_set("authorization.value", [1]), 422, "invalid_amount"),
    "payer missing": (_without("authorization.from"), 422, "invalid_address"),
    "payer too short": (_set("authorization.from", "0x12"), 422, "invalid_address"),
    "recipient with a wrong checksum": (_wrong_checksum, 422, "invalid_address"),
    "recipient is an object": (_set("authorization.to", {}), 422, "invalid_address"),
    "validAfter as float": (_set("authorization.validAfter", 0.5), 422, "invalid_amount"),
    "validBefore missing": (_without("authorization.validBefore"), 422, "invalid_amount"),
    "nonce too short": (_set("authorization.nonce", "0x1234"), 422, "invalid_request"),
    "nonce with spaces": (
        _set("authorization.nonce", "0x" + "ab " * 32),
        422,
        "invalid_request",
    ),
    "nonce not hex": (_set("authorization.nonce", "0x" + "zz" * 32), 422, "invalid_request"),
    "signature missing": (_without("authorization.signature"), 422, "invalid_request"),
    "signature empty": (_set("authorization.signature", "0x"), 422, "signature_invalid"),
    "signature not hex": (_set("authorization.signature", "ab" * 65), 422, "invalid_request"),
    "signature too long": (
        _set("authorization.signature", "0x" + "00" * 9000),
        422,
        "signature_invalid",
    ),
    "signature of nobody": (
        _set("authorization.signature", "0x" + "11" * 65),
        422,
        "signature_invalid",
    ),
    "signature with a high s": (_high_s, 422, "signature_invalid"),
    "signature wrapped by ERC-6492": (
        _set("authorization.signature", "0x" + "00" * 96 + "6492" * 16),
        422,
        "erc6492_not_supported",
    ),
    "amount other than signed": (_set("authorization.value", "10001"), 422, "signature_invalid"),
    "recipient other than signed": (
        _set("authorization.to", "0x" + "22" * 20),
        422,
        "signature_invalid",
    ),
    "another network": (_set("network", "eip155:1"), 422, "wrong_network"),
    "network is an object": (_set("network", {"id": 1}), 422, "wrong_network"),
    "an asset that is not allowed": (_set("asset", "0x" + "33" * 20), 422, "asset_not_allowed"),
    "asset is a number": (_set("asset", 12), 422, "invalid_address"),
    "an unknown mint token": (
        _set("token_address", "0x" + "44" * 20),
        422,
        "unknown_mint_token",
    ),
    "no mint token": (_without("token_address"), 422, "unknown_mint_token"),
    "quantity zero": (_set("metadata.quantity", 0), 422, "quantity_out_of_range"),
    "quantity above 100": (_set("metadata.quantity", 101), 422, "quantity_out_of_range"),
    "quantity as boolean": (_set("metadata.quantity", True), 422, "quantity_out_of_range"),
    "quantity as float": (_set("metadata.quantity", 1.0), 422, "quantity_out_of_range"),
    "quantity as string": (_set("metadata.quantity", "1"), 422, "quantity_out_of_range"),
    "metadata is a list": (_set("metadata", []), 422, "invalid_request"),
    "metadata is a string": (_set("metadata", "x"), 422, "invalid_request"),
    "metadata too large": (_set("metadata.note", "x" * 17_000), 422, "metadata_too_large"),
    "metadata too deep": (_deep, 422, "invalid_metadata"),
    "metadata with NUL": (_set("metadata.note", "a\0b"), 422, "invalid_metadata"),
    "metadata with NUL in a name": (_set("metadata", {"a\0": 1}), 422, "invalid_metadata"),
    "metadata with a huge integer": (_set("metadata.order", 2**70), 422, "invalid_metadata"),
}

#: what is wrong -> the bytes of the body, and the answer.
UNREADABLE: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "malformed_json"),
    "half an object": (b'{"payment_type": "mint"', 400, "malformed_json"),
    "two documents": (b"{} {}", 400, "malformed_json"),
    "not UTF-8": (b'{"payment_type": "\xff\xfe"}', 400, "malformed_json"),
    "UTF-16": ('{"payment_type": "mint"}'.encode("utf-16"), 400, "malformed_json"),
    "a NUL byte": (b'{"a": "\x00"}', 400, "malformed_json"),
    "a lone surrogate": (b'{"payment_type": "\\ud800"}', 400, "malformed_json"),
    "a lone surrogate in metadata": (b'{"metadata": {"a": "\\udfff"}}', 400, "malformed_json"),
    "a lone surrogate in a name": (b'{"\\ud800x": 1}', 400, "malformed_json"),
    "NaN": (b'{"authorization": {"value": NaN}}', 400, "malformed_json"),
    "Infinity": (b'{"authorization": {"value": -Infinity}}', 400, "malformed_json"),
    "a number beyond all floats": (b'{"metadata": {"n": 1e999}}', 400, "malformed_json"),
    "an integer of 5000 digits": (b'{"n": ' + b"9" * 5000 + b"}", 400, "malformed_json"),
    "a name twice": (b'{"asset": "0x1", "asset": "0x2"}', 400, "malformed_json"),
    "100,000 levels": (b'{"a":' * 100_000, 400, "malformed_json"),
    "100,000 lists": (b"[" * 100_000 + b"]" * 100_000, 400, "malformed_json"),
    "a list": (b"[]", 422, "invalid_request"),
    "null": (b"null", 422, "invalid_request"),
    "a string": (b'"payment"', 422, "invalid_request"),
    "a number": (b"1", 422, "invalid_request"),
    "an empty object": (b"{}", 422, "invalid_request"),
    "more than 1 MiB": (b'{"a": "' + b"x" * (1024 * 1024) + b'"}', 413, "body_too_large"),
}


async def _good(api: Api, payer: Payer | None = None) -> Body:
    return api.stack.body(api.engine, payer or Payer())


@pytest.mark.parametrize("case", SPOILT)
async def test_a_body_with_one_thing_wrong_is_refused_by_its_code(api: Api, case: str) -> None:
    """Each is a problem document with its code, alone and in a batch, and no row is made."""
    spoil, status, code = SPOILT[case]
    body = await _good(api)
    spoil(body)
    before = await api.rows()
    content = json.dumps(body)
    alone = await api.http.post("/v1/payments", content=content, headers=_JSON)
    assert_problem(alone, status, code)
    batch = await api.http.post("/v1/payments/batch", content=f"[{content}]", headers=_JSON)
    assert batch.status_code == 200, batch.text
    [result] = batch.json()["results"]
    assert (result["http_status"], result["problem"]["code"]) == (status, code)
    assert await api.rows() == before


@pytest.mark.parametrize("case", UNREADABLE)
async def test_a_body_that_means_nothing_is_refused_by_its_code(api: Api, case: str) -> None:
    """What is not JSON of a payment is a problem document, and no row is made."""
    content, status, code = UNREADABLE[case]
    before = await api.rows()
    response = await api.http.post("/v1/payments", content=content, headers=_JSON)
    assert_problem(response, status, code)
    assert await api.rows() == before


async def test_the_window_of_an_authorization_is_checked(api: Api) -> None:
    """Not open yet, expired, nearly expired and open for too long are four codes."""
    now = int(time.time())
    domain = next(iter(api.engine.networks.values())).domains[api.stack.asset]
    for code, after, until in (
        ("not_yet_valid", now + 600, now + 3600),
        ("expired", 0, now - 60),
        ("validity_too_short", 0, now + 4),
        ("validity_too_long", 0, now + 8 * 86400),
        ("validity_too_long", 0, 2**256 - 1),
        ("not_yet_valid", 2**256 - 1, now + 3600),
    ):
        body = await _good(api)
        body["authorization"] = Payer().authorize(
            domain, PAYEE, PRICE, valid_after=after, valid_before=until
        )
        assert_problem(await api.http.post("/v1/payments", json=body), 422, code)


@pytest.mark.parametrize(
    "other",
    [{"chain_id": 8453}, {"address": "0x" + "33" * 20}, {"name": "USD Coin"}, {"version": "1"}],
    ids=["another chain", "another token", "another name", "another version"],
)
async def test_a_signature_of_another_domain_is_refused(api: Api, other: dict[str, Any]) -> None:
    """Signed by the payer and good in all else, for the same asset on another chain, or for
    another asset: nobody may use it here. Signed for this one it is taken."""
    domain = next(iter(api.engine.networks.values())).domains[api.stack.asset]
    own = {name: getattr(domain, name) for name in ("name", "version", "chain_id", "address")}
    assert domain.separator == domain_separator(**own)
    foreign = replace(domain, separator=domain_separator(**{**own, **other}))
    body = await _good(api)
    terms = {
        "valid_before": int(body["authorization"]["validBefore"]),
        "nonce": body["authorization"]["nonce"],
    }
    payer = Payer()
    before = await api.rows()
    body["authorization"] = payer.authorize(foreign, PAYEE, PRICE, **terms)
    assert_problem(await api.http.post("/v1/payments", json=body), 422, "signature_invalid")
    assert await api.rows() == before
    body["authorization"] = payer.authorize(domain, PAYEE, PRICE, **terms)
    assert (await api.http.post("/v1/payments", json=body)).status_code == 202


async def test_a_signature_of_another_payer_is_refused(api: Api) -> None:
    """Nobody pays with the signature of somebody else."""
    body = await _good(api)
    body["authorization"]["from"] = Payer().address
    assert_problem(await api.http.post("/v1/payments", json=body), 422, "signature_invalid")


async def test_price_and_payee_are_those_of_the_catalogue(api: Api) -> None:
    """Signed for another payee, for another amount, or for one unit where two are wanted: each is
    refused by its code. What the catalogue says is taken, alone and by two."""
    catalogue = f"{api.stack.mint_token}:{PRICE}:{PAYEE}"
    before = await api.rows()
    async with (
        api.stack.engine(start=False, mint_tokens=catalogue) as engine,
        serving(create_app(engine)) as http,
    ):

        async def post(**terms: Any) -> httpx.Response:
            return await http.post("/v1/payments", json=api.stack.body(engine, Payer(), **terms))

        elsewhere = await post(pay_to="0x" + "22" * 20)
        assert_problem(elsewhere, 422, "payee_not_allowed")
        assert PAYEE in elsewhere.json()["detail"]
        assert_problem(await post(value=PRICE - 1), 422, "price_mismatch")
        assert_problem(await post(value=PRICE + 1), 422, "price_mismatch")
        short = await post(quantity=2)
        assert_problem(short, 422, "price_mismatch")
        assert str(2 * PRICE) in short.json()["detail"]
        assert await api.rows() == before
        assert (await post()).status_code == 202
        assert (await post(value=2 * PRICE, quantity=2)).status_code == 202


async def test_a_batch_over_500_is_refused_as_a_whole(api: Api) -> None:
    """501 payments at once: one problem, nothing committed; a batch that is no list likewise."""
    body = await _good(api)
    before = await api.rows()
    over: Body = {"payments": [{"authorization": {}}] * 500 + [body]}
    assert_problem(await api.http.post("/v1/payments/batch", json=over), 422, "batch_too_large")
    for wrong in ({"payments": body}, {}, "x", 7):
        refused = await api.http.post("/v1/payments/batch", json=wrong)
        assert_problem(refused, 422, "invalid_request")
    assert await api.rows() == before


async def test_one_bad_payment_of_a_batch_does_not_touch_the_others(api: Api) -> None:
    """Each of a batch is answered for itself, in order."""
    good = [await _good(api) for _ in range(3)]
    mixed = [good[0], "x", good[1], {"payment_type": 1}, good[2], good[0]]
    response = await api.http.post("/v1/payments/batch", json=mixed)
    found = [result["http_status"] for result in response.json()["results"]]
    assert found == [202, 422, 202, 422, 202, 200]


async def test_other_content_under_the_same_identity_is_a_conflict(api: Api) -> None:
    """The same authorization with other metadata is 409; with the same content it is 200."""
    body = await _good(api)
    first = await api.http.post("/v1/payments", json=body)
    assert first.status_code == 202
    changed = copy.deepcopy(body)
    changed["metadata"]["quantity"] = 2
    assert_problem(await api.http.post("/v1/payments", json=changed), 409, "conflict")
    upper = copy.deepcopy(body)
    for name in ("from", "to", "nonce"):
        upper["authorization"][name] = "0x" + upper["authorization"][name][2:].upper()
    again = await api.http.post("/v1/payments", json=upper)
    assert again.status_code == 200
    assert again.json()["id"] == first.json()["id"]


async def test_fields_that_nobody_knows_are_ignored(api: Api) -> None:
    """A field without a meaning changes nothing, at any level."""
    body = await _good(api)
    plain = await api.http.post("/v1/payments", json=body)
    body["colour"] = "red"
    body["authorization"]["colour"] = {"deep": [1]}
    assert (await api.http.post("/v1/payments", json=body)).json()["id"] == plain.json()["id"]


async def test_limits_and_the_pause_are_said_with_a_time_to_come_back(api: Api) -> None:
    """Over the payer's limit is 429; queue full and paused are 503; what is known is answered."""
    payer = Payer()
    bodies_ = [api.stack.body(api.engine, payer) for _ in range(4)]
    taken = await api.http.post("/v1/payments", json=bodies_[0])
    for settings, status, code in (
        ({"payment_max_pending_per_payer": 1}, 429, "too_many_pending"),
        ({"payment_queue_limit": 1}, 503, "queue_full"),
        ({"payments_paused": True}, 503, "paused"),
    ):
        before = {row["key"]: row["value"] for row in await api.engine.db.fetch("settings_read")}
        await api.stack.set(api.engine, **settings)
        body = bodies_.pop()

        async def refused(body: Body = body, status: int = status) -> httpx.Response | None:
            response = await api.http.post("/v1/payments", json=body)
            return response if response.status_code == status else None

        # A setting is in force within two seconds; until then the payment might be taken, and
        # taken again it is a known one: so it is asked for with a body that breaks no other rule.
        await asyncio.sleep(0.3)
        response = await eventually(refused, within_s=2)
        assert response is not None
        assert_problem(response, status, code)
        known = await api.http.post("/v1/payments", json=bodies_[0])
        assert known.json()["id"] == taken.json()["id"]
        await api.stack.set(api.engine, **{key: before[key] for key in settings})
    await asyncio.sleep(0.3)


async def test_other_routes_answer_problems_too(api: Api) -> None:
    """Unknown routes, wrong methods, malformed ids and parameters have codes as well."""
    for method, path, status, code in (
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/payments/", 404, "not_found"),
        ("DELETE", "/v1/payments", 405, "method_not_allowed"),
        ("PUT", "/healthz", 405, "method_not_allowed"),
        ("GET", "/v1/payments/42", 422, "invalid_request"),
        ("GET", "/v1/payments/%00", 422, "invalid_request"),
        ("GET", f"/v1/payments/{'0' * 8}-0000-0000-0000-{'0' * 12}", 404, "not_found"),
        ("GET", "/v1/payments?limit=0", 422, "invalid_request"),
        ("GET", "/v1/payments?limit=101", 422, "invalid_request"),
        ("GET", "/v1/payments?status=lost", 422, "invalid_request"),
        ("GET", "/v1/payments?payer=0x1", 422, "invalid_address"),
        ("GET", "/v1/payments?cursor=%ff", 422, "invalid_cursor"),
        ("GET", "/v1/payments?cursor=AAAA", 422, "invalid_cursor"),
        ("GET", "/v1/payments?cursor=" + "f" * 38, 422, "invalid_cursor"),
    ):
        assert_problem(await api.http.request(method, path), status, code)


async def test_a_body_that_says_it_is_something_else_is_refused(api: Api) -> None:
    """Only JSON is read: a form or a text is told which header to send."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        response = await api.http.post(
            "/v1/payments", content=b"{}", headers={"content-type": kind}
        )
        assert_problem(response, 415, "unsupported_media_type")
    for kind in ("application/json; charset=utf-8", "application/vnd.x+json", "APPLICATION/JSON"):
        response = await api.http.post(
            "/v1/payments", content=b"{}", headers={"content-type": kind}
        )
        assert response.status_code == 422


async def test_a_body_may_come_in_chunks(api: Api) -> None:
    """A chunked body is a body; one that grows beyond 1 MiB is cut off."""

    async def slices(content: bytes, size: int) -> Any:
        for at in range(0, len(content), size):
            yield content[at : at + size]

    good = json.dumps(await _good(api)).encode()
    response = await api.http.post("/v1/payments", content=slices(good, 7), headers=_JSON)
    assert response.status_code == 202, response.text
    large = b'{"a": "' + b"x" * (1024 * 1024) + b'"}'
    try:
        response = await api.http.post("/v1/payments", content=slices(large, 65536), headers=_JSON)
    except httpx.HTTPError:
        return  # it was cut off while we were still sending
    assert_problem(response, 413, "body_too_large")


async def test_a_body_that_does_not_arrive_is_given_up(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that sends half a body and stops holds nothing for long."""
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", 0.2)
    reader, writer = await asyncio.open_connection(api.http.base_url.host, api.http.base_url.port)
    writer.write(
        b"POST /v1/payments HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b'content-length: 400\r\n\r\n{"payment_type"'
    )
    answer = await asyncio.wait_for(reader.readuntil(b"}"), 10)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"body_too_slow" in answer
    writer.close()
    await writer.wait_closed()
