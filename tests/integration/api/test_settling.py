"""What is committed may settle: `/settle` never calls it failed, and `/verify` knows that."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from onsettle.api.app import create_app
from onsettle.engine import commits as commits_module
from onsettle.engine import watch as watch_module
from onsettle.engine.intake import Accepted
from onsettle.local.payers import Payer
from onsettle.store.database import Connection
from tests.harness.http import serving
from tests.harness.stack import PRICE, eventually
from tests.integration.api.asking import Asked, ask, first, second
from tests.integration.api.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

_NO_NODE = "http://127.0.0.1:9"


def _hasty(api: Api, payer: Payer, **extra: object) -> Asked:
    """A request whose sender waits for a second only."""
    asked = second(api, payer, **extra)
    asked["paymentRequirements"]["maxTimeoutSeconds"] = 1
    return asked


def _is_pending(answer: Asked) -> UUID:
    """The payment of an answer that says: not decided yet, and here is where to look."""
    assert (answer["success"], answer["errorReason"]) == (False, "settlement_pending"), answer
    assert answer["extra"]["statusUrl"] == f"/v1/payments/{answer['extra']['paymentId']}"
    return UUID(answer["extra"]["paymentId"])


async def _settled_at_last(api: Api, asked: Asked) -> Asked:
    async def settled() -> Asked | None:
        answer = await ask(api, "/settle", asked)
        return answer if answer["success"] else None

    answer = await eventually(settled)
    assert answer is not None
    return answer


@asynccontextmanager
async def _without_a_node(api: Api) -> AsyncIterator[Api]:
    """Another process on the same database, which could not read the chain yet."""
    async with (
        api.stack.engine(start=False, rpc_urls=_NO_NODE) as engine,
        serving(create_app(engine)) as http,
    ):
        yield Api(stack=api.stack, engine=engine, http=http)


async def test_no_room_to_watch_is_no_failure(
    guarded: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits then: the answer is how the payment stands, and the same again tells more."""
    [payer] = await guarded.stack.payers(1)
    monkeypatch.setattr(watch_module, "MAX_WATCHED", 0)
    await guarded.stack.hold_blocks()
    try:
        asked = second(guarded, payer)
        id_ = _is_pending(await ask(guarded, "/settle", asked))
    finally:
        await guarded.stack.release_blocks()
    answer = await _settled_at_last(guarded, asked)
    assert answer["extra"]["paymentId"] == str(id_)


@pytest.mark.parametrize("trouble", [OSError("gone"), RuntimeError("a fault of ours")])
async def test_a_payment_that_can_not_be_read_again_is_pending(
    api: Api, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    """The database fails after the commit, or we do: pending, with the payment's id."""
    whole = api.engine.db.fetchrow

    async def failing(query: str, *args: Any) -> object:
        if query == "payment_get":
            raise trouble
        return await whole(query, *args)

    monkeypatch.setattr(api.engine.db, "fetchrow", failing)
    id_ = _is_pending(await ask(api, "/settle", second(api, Payer(), waitUntil="accepted")))
    monkeypatch.undo()
    assert await api.engine.db.fetchrow("payment_get", id_)


async def test_a_commit_whose_fate_is_unknown_is_pending(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database falls silent in the commit and stays so: it may be committed, and here it is."""
    whole = api.engine.db.transaction

    @asynccontextmanager
    async def breaking() -> AsyncIterator[Connection]:
        async with whole() as connection:
            yield connection
        raise asyncpg.ConnectionDoesNotExistError("the connection was closed during the commit")

    monkeypatch.setattr(api.engine.db, "transaction", breaking)
    monkeypatch.setattr(commits_module, "_REREAD_S", 0)
    id_ = _is_pending(await ask(api, "/settle", _hasty(api, Payer())))
    monkeypatch.undo()
    assert await api.engine.db.fetchrow("payment_get", id_)


async def test_a_database_that_was_silent_before_the_commit_took_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was written, so nothing is pending: an error, to be tried again."""

    @asynccontextmanager
    async def silent() -> AsyncIterator[Connection]:
        raise asyncpg.CannotConnectNowError("starting up")
        yield

    before = await api.rows()
    monkeypatch.setattr(api.engine.db, "transaction", silent)
    monkeypatch.setattr(commits_module, "_REREAD_S", 0)
    answer = await ask(api, "/settle", _hasty(api, Payer()))
    assert answer["errorReason"] == "unexpected_settle_error"
    assert "extra" not in answer
    assert await api.rows() == before


async def test_a_chain_that_can_not_be_read_yet_is_not_an_invalid_network(api: Api) -> None:
    """What is known is pending there; what is not is an error of ours, not of the payer."""
    asked, unknown = _hasty(api, Payer()), _hasty(api, Payer())
    id_ = _is_pending(await ask(api, "/settle", asked))
    async with _without_a_node(api) as blind:
        assert _is_pending(await ask(blind, "/settle", asked)) == id_
        old = first(api, Payer())
        for each in (unknown, old):
            settled = await ask(blind, "/settle", each)
            assert (settled["success"], settled["errorReason"]) == (
                False, "unexpected_settle_error",
            )  # fmt: skip
            verified = await ask(blind, "/verify", each)
            assert (verified["isValid"], verified["invalidReason"]) == (
                False, "unexpected_verify_error",
            )  # fmt: skip


async def test_given_up_by_hand_is_pending_while_its_transaction_may_land(guarded: Api) -> None:
    """The operator wrote failed; the bytes are out, land, and the payment settles."""
    [payer] = await guarded.stack.payers(1)
    await guarded.stack.hold_blocks()
    try:
        asked = _hasty(guarded, payer)
        id_ = _is_pending(await ask(guarded, "/settle", asked))
        await guarded.stack.all_are(guarded.engine, [id_], "sent")
        await guarded.engine.db.pool.execute(
            "update payment_queue set status = 'failed', reason = 'manual' where id = $1", id_
        )
        assert _is_pending(await ask(guarded, "/settle", asked)) == id_
    finally:
        await guarded.stack.release_blocks()
    await _settled_at_last(guarded, asked)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (None, "transaction_failed"),
        ("an operator's own words", "transaction_failed"),
        ("reverted", "transaction_failed"),
        ("asset_not_allowed", "invalid_payment_requirements"),
        ("insufficient_balance", "insufficient_funds"),
    ],
)
async def test_every_reason_of_a_row_has_a_word_of_x402(
    api: Api, reason: str | None, told: str
) -> None:
    """Whatever a failed row holds, `/settle` answers in x402's words, and `/verify` the same."""
    asked = _hasty(api, Payer())
    id_ = _is_pending(await ask(api, "/settle", asked))
    await api.engine.db.pool.execute(
        "update payment_queue set status = 'failed', reason = $2 where id = $1", id_, reason
    )
    settled = await ask(api, "/settle", asked)
    assert (settled["success"], settled["errorReason"]) == (False, told)
    verified = await ask(api, "/verify", asked)
    assert (verified["isValid"], verified["invalidReason"]) == (False, told)


async def test_packing_is_asked_for(api: Api) -> None:
    """Each has a hash of its own, where packs are configured too; `extra.packed` shares one."""
    await api.stack.set(api.engine, payment_pack_size=10)
    payers = await api.stack.payers(7)
    ids: list[list[UUID]] = []
    for extra, some in (({}, payers[:3]), ({"packed": True}, payers[3:6])):
        answers = [
            await ask(api, "/settle", second(api, payer, waitUntil="accepted", **extra))
            for payer in some
        ]
        ids.append([UUID(answer["extra"]["paymentId"]) for answer in answers])
    native = await api.engine.intake.submit(api.stack.body(api.engine, payers[6]))
    wrong = second(api, Payer(), packed="yes")
    assert (await ask(api, "/settle", wrong))["errorReason"] == "invalid_payment_requirements"
    async with api.stack.engine() as settling:
        await api.stack.all_are(settling, [*ids[0], *ids[1], native.id], "completed")
    hashes = [await _hashes(api, each) for each in (*ids, [native.id])]
    assert [len(each) for each in hashes] == [3, 1, 1]
    assert hashes[1] == hashes[2]
    assert not hashes[0] & hashes[1]


async def _hashes(api: Api, ids: list[UUID]) -> set[str]:
    return {row["tx_hash"] for row in await api.engine.db.fetch("payments_by_ids", ids)}


async def test_version_one_may_be_paid_more_than_the_least(guarded: Api) -> None:
    """The value may meet or exceed `maxAmountRequired`; the payment is what was authorized."""
    [payer] = await guarded.stack.payers(1)
    asked = first(guarded, payer)
    for least in (str(PRICE + 1), "-1", "1e3", ""):
        asked["paymentRequirements"]["maxAmountRequired"] = least
        answer = await ask(guarded, "/verify", asked)
        assert answer["invalidReason"] in (
            "invalid_exact_evm_payload_authorization_value_mismatch",
            "invalid_payment_requirements",
        )
    asked["paymentRequirements"]["maxAmountRequired"] = str(PRICE - 1)
    assert (await ask(guarded, "/verify", asked))["isValid"]
    settled = await ask(guarded, "/settle", asked)
    assert (settled["success"], settled["amount"]) == (True, str(PRICE))


async def _verified_as(api: Api, asked: Asked, reason: str) -> None:
    """Within the time that a change of settings takes."""

    async def told() -> bool:
        answer = await ask(api, "/verify", asked)
        return (answer["isValid"], answer.get("invalidReason")) == (False, reason)

    await eventually(told, within_s=5)


@pytest.mark.parametrize(
    "settings",
    [{"payments_paused": True}, {"payment_queue_limit": 1}, {"payment_max_pending_per_payer": 1}],
)
async def test_what_settle_would_not_take_does_not_verify(
    api: Api, settings: Mapping[str, object]
) -> None:
    """Paused, a full queue, a payer's limit: not valid now, and valid when there is room again."""
    [payer] = await api.stack.payers(1)
    for _ in range(2):
        await api.engine.intake.submit(api.stack.body(api.engine, payer))
    asked = _hasty(api, payer)
    usual = await api.engine.settings.get()
    before = await api.rows()
    await api.stack.set(api.engine, **settings)
    try:
        await _verified_as(api, asked, "unexpected_verify_error")
        assert (await ask(api, "/settle", asked))["errorReason"] == "unexpected_settle_error"
        assert await api.rows() == before
    finally:
        await api.stack.set(api.engine, **{name: getattr(usual, name) for name in settings})

    async def valid() -> bool:
        return bool((await ask(api, "/verify", asked))["isValid"])

    await eventually(valid, within_s=5)


async def test_an_identity_that_is_known_with_other_content_does_not_verify(api: Api) -> None:
    """The authorization serves another payment: `/settle` calls it a conflict, and so does this."""
    [payer] = await api.stack.payers(1)
    asked = _hasty(api, payer)
    payload = asked["paymentPayload"]["payload"]
    body = {
        "payment_type": "order",
        "authorization": payload["authorization"] | {"signature": payload["signature"]},
    }
    taken = await api.engine.intake.submit(body)
    assert isinstance(taken, Accepted)
    verified, settled = await asyncio.gather(ask(api, "/verify", asked), ask(api, "/settle", asked))
    assert verified["invalidReason"] == "invalid_exact_evm_nonce_already_used"
    assert settled["errorReason"] == "invalid_exact_evm_nonce_already_used"
