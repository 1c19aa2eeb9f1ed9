"""The x402 facilitator, asked by the official client."""

import asyncio
import copy
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from x402.http.facilitator_client import HTTPFacilitatorClient
from x402.http.facilitator_client_base import CreateHeadersAuthProvider, FacilitatorConfig
from x402.schemas import PaymentPayload, PaymentRequirements, SettleResponse
from x402.schemas.v1 import PaymentPayloadV1, PaymentRequirementsV1

from onsettle.local.payers import Payer
from tests.harness.moves import mining, owner_says
from tests.harness.stack import PAYEE, PRICE, domain_of, eventually
from tests.integration.api.asking import Asked, ask, first, second
from tests.integration.api.conftest import KEY, Api

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def _client(api: Api) -> AsyncIterator[HTTPFacilitatorClient]:
    bearer = {"Authorization": f"Bearer {KEY}"}
    config = FacilitatorConfig(
        url=str(api.http.base_url).rstrip("/"),
        auth_provider=CreateHeadersAuthProvider(
            lambda: {"verify": bearer, "settle": bearer, "supported": bearer}
        ),
    )
    async with HTTPFacilitatorClient(config) as client:
        yield client


async def test_the_official_client_verifies_and_settles(guarded: Api) -> None:
    """Version 2: valid, settled with the transaction's hash, and no longer valid afterwards."""
    [payer] = await guarded.stack.payers(1)
    asked = second(guarded, payer)
    payload = PaymentPayload.model_validate(asked["paymentPayload"])
    requirements = PaymentRequirements.model_validate(asked["paymentRequirements"])
    async with _client(guarded) as client:
        before = await client.verify(payload, requirements)
        assert before.is_valid
        assert before.payer == payer.address
        settled = await client.settle(payload, requirements)
        assert settled.success, settled
        assert settled.network == "eip155:84532"
        assert settled.amount == str(PRICE)
        after = await client.verify(payload, requirements)
        assert not after.is_valid
        assert after.invalid_reason == "invalid_exact_evm_nonce_already_used"
        again = await client.settle(payload, requirements)
        assert again.success
        assert again.transaction == settled.transaction
    receipt = await guarded.stack.rpc.call("eth_getTransactionReceipt", settled.transaction)
    assert isinstance(receipt, dict)
    assert receipt["status"] == "0x1"


async def test_version_one_settles_as_well(guarded: Api) -> None:
    """Names instead of CAIP-2, maxAmountRequired instead of amount: the same payment."""
    [payer] = await guarded.stack.payers(1)
    asked = first(guarded, payer)
    payload = PaymentPayloadV1.model_validate(asked["paymentPayload"])
    requirements = PaymentRequirementsV1.model_validate(asked["paymentRequirements"])
    async with _client(guarded) as client:
        assert (await client.verify(payload, requirements)).is_valid
        settled = await client.settle(payload, requirements)
    assert settled.success
    assert settled.network == "base-sepolia"


async def test_one_payload_settled_five_times_at_once_is_one_transaction(guarded: Api) -> None:
    """Everybody gets the same success, and the payer is charged once."""
    [payer] = await guarded.stack.payers(1)
    asked = second(guarded, payer)
    before = await guarded.stack.nonce(guarded.stack.wallets[0])
    answers = await asyncio.gather(*(ask(guarded, "/settle", asked) for _ in range(5)))
    assert all(answer["success"] for answer in answers)
    assert len({answer["transaction"] for answer in answers}) == 1
    assert await guarded.stack.nonce(guarded.stack.wallets[0]) == before + 1


async def test_twenty_at_once_settle_without_a_nonce_error(guarded: Api) -> None:
    """What facilitators are known to stumble over: concurrent settles of one chain."""
    payers = await guarded.stack.payers(20)
    answers = await asyncio.gather(
        *(ask(guarded, "/settle", second(guarded, payer)) for payer in payers)
    )
    assert [answer["success"] for answer in answers] == [True] * 20


async def test_what_is_not_confirmed_in_time_is_pending_and_never_failed(guarded: Api) -> None:
    """`settlement_pending` with the hash and a payment id; asked again, it has settled."""
    [payer] = await guarded.stack.payers(1)
    await guarded.stack.hold_blocks()
    try:
        asked = second(guarded, payer)
        asked["paymentRequirements"]["maxTimeoutSeconds"] = 1
        pending = await ask(guarded, "/settle", asked)
        assert pending["success"] is False
        assert pending["errorReason"] == "settlement_pending"
        assert pending["extra"]["statusUrl"] == f"/v1/payments/{pending['extra']['paymentId']}"
        assert pending["transaction"].startswith("0x")
    finally:
        await guarded.stack.rpc.call("evm_setAutomine", True)
        await guarded.stack.mine()

    async def settled() -> Asked | None:
        answer = await ask(guarded, "/settle", asked)
        return answer if answer["success"] else None

    answer = await eventually(settled)
    assert answer is not None
    assert answer["extra"]["paymentId"] == pending["extra"]["paymentId"]


async def test_a_merchant_may_take_the_risk_and_not_wait(guarded: Api) -> None:
    """`extra.waitUntil`: accepted answers after the commit, submitted once a node has it."""
    payers = await guarded.stack.payers(2)
    await guarded.stack.hold_blocks()
    try:
        accepted = await ask(guarded, "/settle", second(guarded, payers[0], waitUntil="accepted"))
        assert accepted["success"] is True
        assert accepted["extra"]["status"] != "completed"
        submitted = await ask(guarded, "/settle", second(guarded, payers[1], waitUntil="submitted"))
        assert submitted["success"] is True
        assert submitted["extra"]["status"] == "sent"
        assert submitted["transaction"].startswith("0x")
    finally:
        await guarded.stack.rpc.call("evm_setAutomine", True)
        await guarded.stack.mine()


async def test_every_thing_that_is_wrong_has_its_reason(guarded: Api) -> None:
    """HTTP 200 with the specification's word, for `/verify` and for `/settle`."""
    [payer] = await guarded.stack.payers(1)
    good = second(guarded, payer)

    def spoilt(**changes: object) -> Asked:
        asked = copy.deepcopy(good)
        for path, value in changes.items():
            *parents, last = path.split("__")
            inner = asked
            for name in parents:
                inner = inner[name]
            inner[last] = value
        return asked

    cases: list[tuple[object, str]] = [
        ([], "invalid_payload"),
        ({}, "invalid_x402_version"),
        (spoilt(x402Version=3), "invalid_x402_version"),
        (spoilt(x402Version=True), "invalid_x402_version"),
        (spoilt(paymentPayload={}), "invalid_payload"),
        (spoilt(paymentRequirements=7), "invalid_payment_requirements"),
        (spoilt(paymentRequirements__scheme="upto"), "unsupported_scheme"),
        (spoilt(paymentPayload__accepted__scheme="upto"), "unsupported_scheme"),
        (spoilt(paymentPayload__payload={"permit2Authorization": {}}), "unsupported_scheme"),
        (spoilt(paymentRequirements__network="eip155:1"), "network_mismatch"),
        (
            spoilt(
                paymentRequirements__network="eip155:1",
                paymentPayload__accepted__network="eip155:1",
            ),
            "invalid_network",
        ),
        (
            spoilt(paymentRequirements__payTo="0x" + "22" * 20),
            "invalid_exact_evm_payload_recipient_mismatch",
        ),
        (
            spoilt(paymentRequirements__amount="1"),
            "invalid_exact_evm_payload_authorization_value_mismatch",
        ),
        (spoilt(paymentRequirements__asset="0x" + "33" * 20), "invalid_payment_requirements"),
        (
            spoilt(paymentRequirements__extra={"waitUntil": "never"}),
            "invalid_payment_requirements",
        ),
        (
            spoilt(paymentPayload__payload__signature="0x" + "11" * 65),
            "invalid_exact_evm_payload_signature",
        ),
        (
            spoilt(paymentPayload__payload__authorization__validBefore="1"),
            "invalid_exact_evm_payload_signature",
        ),
        (_late(guarded, payer), "invalid_exact_evm_payload_authorization_valid_before"),
    ]
    before = await guarded.rows()
    for asked, reason in cases:
        verified = await ask(guarded, "/verify", asked)
        assert (verified["isValid"], verified["invalidReason"]) == (False, reason)
        settled = await ask(guarded, "/settle", asked)
        assert (settled["success"], settled["errorReason"]) == (False, reason)
        assert settled["transaction"] == ""
        SettleResponse.model_validate(settled)
    assert await guarded.rows() == before


def _late(api: Api, payer: Payer) -> Asked:
    asked = second(api, payer)
    body = api.stack.body(api.engine, payer, lifetime_s=3)["authorization"]
    asked["paymentPayload"]["payload"] = {"signature": body.pop("signature"), "authorization": body}
    return asked


async def test_a_window_that_has_opened_since_the_last_block_is_open(guarded: Api) -> None:
    """A chain that makes its blocks on demand stands still while nobody pays: its state still
    refuses the payment, and the next block takes it, as `/settle` shows."""
    [payer] = await guarded.stack.payers(1)
    head = await guarded.stack.rpc.call("eth_getBlockByNumber", "latest", False)
    assert isinstance(head, dict)
    opens = int(head["timestamp"], 16) + 1

    async def open_by_the_clock() -> bool:
        return time.time() > opens + 1

    await eventually(open_by_the_clock)
    asked = second(guarded, payer)
    body = payer.authorize(
        domain_of(guarded.engine, guarded.stack.asset),
        PAYEE,
        PRICE,
        valid_after=opens,
        valid_before=int(time.time()) + 600,
    )
    asked["paymentPayload"]["payload"] = {"signature": body.pop("signature"), "authorization": body}
    verified = await ask(guarded, "/verify", asked)
    assert verified["isValid"], verified
    async with mining(guarded.stack):
        settled = await ask(guarded, "/settle", asked)
    assert settled["success"], settled


async def test_a_payer_without_the_money_is_not_valid_and_fails(guarded: Api) -> None:
    """`insufficient_funds` from both, before any gas is spent."""
    asked = second(guarded, Payer())
    verified = await ask(guarded, "/verify", asked)
    assert (verified["isValid"], verified["invalidReason"]) == (False, "insufficient_funds")
    async with mining(guarded.stack):
        settled = await ask(guarded, "/settle", asked)
    assert (settled["success"], settled["errorReason"]) == (False, "insufficient_funds")
    assert settled["extra"]["status"] == "failed"


async def test_a_transfer_that_the_token_refuses_is_told_by_simulation(guarded: Api) -> None:
    """A paused token refuses; `/verify` quotes it."""
    [payer] = await guarded.stack.payers(1)
    await owner_says(guarded.stack, guarded.stack.asset, "pause()")
    try:
        verified = await ask(guarded, "/verify", second(guarded, payer))
    finally:
        await owner_says(guarded.stack, guarded.stack.asset, "unpause()")
    assert verified["invalidReason"] == "invalid_exact_evm_transaction_simulation_failed"
    assert verified["invalidMessage"] == "Pausable: paused"


async def test_what_is_supported_is_listed(guarded: Api) -> None:
    """Both versions of the configured network, and the wallets that pay the gas."""
    async with _client(guarded) as client:
        supported = await asyncio.to_thread(client.get_supported)
    kinds = {(kind.x402_version, kind.scheme, kind.network) for kind in supported.kinds}
    assert kinds == {(2, "exact", "eip155:84532"), (1, "exact", "base-sepolia")}
    assert supported.signers == {"eip155:*": guarded.stack.wallets}
