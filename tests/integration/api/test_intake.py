"""Intake: committed before it is answered, once for each payment, within its limits."""

import asyncio
import copy
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from onsettle.chain.crypto import authorization_digest
from onsettle.domain.authorization import Authorization
from onsettle.engine.choice import Accepted, Candidate
from onsettle.engine.request import Refused
from onsettle.local.payers import Payer
from onsettle.runtime import Engine
from onsettle.store.database import Connection
from tests.harness.contracts import act, calldata, deploy
from tests.harness.stack import PAYEE, PRICE, domain_of, only_network
from tests.integration.api.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

Body = dict[str, Any]
Answer = Accepted | Refused


def _kinds(answers: list[Answer]) -> Counter[str]:
    return Counter(
        a.code if isinstance(a, Refused) else ("known" if a.known else "new") for a in answers
    )


async def _submit(engine: Engine, body: Body) -> Answer:
    try:
        return await engine.intake.submit(body)
    except Refused as refused:
        return refused


@asynccontextmanager
async def _another(api: Api) -> AsyncIterator[Engine]:
    """A second process, as far as the database can tell."""
    async with api.stack.engine(start=False) as engine:
        yield engine


async def test_two_processes_that_take_one_payment_at_once_make_one_row(api: Api) -> None:
    """One says it is new, everybody else that it is known, and all name the same row."""
    async with _another(api) as other:
        for _ in range(5):
            body = api.stack.body(api.engine, Payer())
            before = await api.rows()
            answers = await asyncio.gather(
                *(_submit(engine, body) for engine in (api.engine, other) for _ in range(10))
            )
            assert _kinds(answers) == {"new": 1, "known": 19}
            assert len({a.id for a in answers if isinstance(a, Accepted)}) == 1
            assert await api.rows() == before + 1


async def test_two_processes_that_take_conflicting_payments_keep_the_first(api: Api) -> None:
    """Of two contents under one identity one is taken; the other is a conflict for everybody."""
    async with _another(api) as other:
        one = api.stack.body(api.engine, Payer())
        two = copy.deepcopy(one)
        two["metadata"]["quantity"] = 2
        answers = await asyncio.gather(
            *(_submit(e, body) for body in (one, two) for e in (api.engine, other) * 3)
        )
        assert _kinds(answers) == {"new": 1, "known": 5, "conflict": 6}


async def test_the_limit_of_a_payer_holds_across_processes(api: Api) -> None:
    """Two processes that race for the last places of one payer let in exactly so many."""
    await api.stack.set(api.engine, payment_max_pending_per_payer=7)
    await asyncio.sleep(0.3)
    try:
        async with _another(api) as other:
            payer = Payer()
            bodies = [api.stack.body(api.engine, payer) for _ in range(40)]
            answers = await asyncio.gather(
                *(_submit((api.engine, other)[at % 2], body) for at, body in enumerate(bodies))
            )
            assert _kinds(answers) == {"new": 7, "too_many_pending": 33}
    finally:
        await api.stack.set(api.engine, payment_max_pending_per_payer=100)
        await asyncio.sleep(0.3)


async def test_the_queue_limit_holds_across_processes(api: Api) -> None:
    """Two processes that race for the last places of the queue let in exactly so many."""
    waiting = await api.engine.db.fetchval("payments_pending_count", 10**6)
    await api.stack.set(api.engine, payment_queue_limit=waiting + 5)
    await asyncio.sleep(0.3)
    try:
        async with _another(api) as other:
            bodies = [api.stack.body(api.engine, Payer()) for _ in range(20)]
            answers = await asyncio.gather(
                *(_submit((api.engine, other)[at % 2], body) for at, body in enumerate(bodies))
            )
            assert _kinds(answers) == {"new": 5, "queue_full": 15}
    finally:
        await api.stack.set(api.engine, payment_queue_limit=1_000_000)
        await asyncio.sleep(0.3)


async def test_submissions_that_come_together_share_commits(api: Api) -> None:
    """A hundred single submissions at once take far fewer than a hundred commits."""
    bodies = [api.stack.body(api.engine, Payer()) for _ in range(100)]
    first = await api.engine.db.pool.fetchval("select txid_current()")
    answers = await asyncio.gather(*(_submit(api.engine, body) for body in bodies))
    assert _kinds(answers) == {"new": 100}
    last = await api.engine.db.pool.fetchval("select txid_current()")
    assert last - first < 30


async def test_an_answer_that_is_lost_after_the_commit_is_read_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks when the commit is done: the payment is acknowledged, once."""
    whole = api.engine.db.transaction
    broken = 0

    @asynccontextmanager
    async def breaking() -> AsyncIterator[Connection]:
        nonlocal broken
        async with whole() as connection:
            yield connection
        broken += 1
        raise asyncpg.ConnectionDoesNotExistError("the connection was closed during the commit")

    monkeypatch.setattr(api.engine.db, "transaction", breaking)
    body = api.stack.body(api.engine, Payer())
    answer = await api.engine.intake.submit(body)
    assert broken == 1
    monkeypatch.undo()
    row = await api.engine.db.fetchrow("payment_get", answer.id)
    assert row is not None


async def test_a_database_that_refuses_the_commit_acknowledges_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a commit there is no 202: the client hears 503 and finds nothing."""

    @asynccontextmanager
    async def refusing() -> AsyncIterator[Connection]:
        raise asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT")
        yield

    before = await api.rows()
    monkeypatch.setattr(api.engine.db, "transaction", refusing)
    answer = await api.http.post("/v1/payments", json=api.stack.body(api.engine, Payer()))
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert "retry-after" in answer.headers
    assert await api.rows() == before


async def test_a_payment_that_the_database_can_not_take_fails_alone(api: Api) -> None:
    """One poisoned row in a shared commit does not fail its company."""
    settings = await api.engine.settings.get()
    bodies = [api.stack.body(api.engine, Payer()) for _ in range(3)]
    examined = await api.engine.intake.examine(bodies)
    requests = [item.request for item in examined if isinstance(item, Candidate)]
    poisoned = replace(requests[1], quantity=-1)
    commits = api.engine.intake._commits  # the checks would not let it through
    outcomes = await asyncio.gather(
        *(
            commits.commit([Candidate(request=request)], settings)
            for request in (requests[0], poisoned, requests[2])
        ),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], asyncpg.CheckViolationError)
    for at in (0, 2):
        assert isinstance(outcomes[at], list)
        assert (await api.engine.db.fetchrow("payment_get", requests[at].id)) is not None


async def test_every_form_of_a_key_signature_is_one_payment(api: Api) -> None:
    """v of 27 or 28, of 0 or 1, as v, r, s and as the 64 bytes of EIP-2098: the same row."""
    for _ in range(4):  # both parities
        body = api.stack.body(api.engine, Payer())
        raw = bytes.fromhex(body["authorization"].pop("signature")[2:])
        v, s = raw[64], int.from_bytes(raw[32:64], "big")
        compact = raw[:32] + (s | (v - 27) << 255).to_bytes(32, "big")
        parts = {"r": "0x" + raw[:32].hex(), "s": "0x" + raw[32:64].hex()}
        forms: list[Body] = [
            {"signature": "0x" + raw.hex()},
            {"signature": "0x" + (raw[:64] + bytes([v - 27])).hex()},
            {"signature": "0x" + compact.hex()},
            {"v": v, **parts},
            {"v": str(v - 27), **parts},
        ]
        answers = [
            await _submit(api.engine, {**body, "authorization": {**body["authorization"], **form}})
            for form in forms
        ]
        assert _kinds(answers) == {"new": 1, "known": 4}
        first = answers[0]
        assert isinstance(first, Accepted)
        row = await api.engine.db.fetchrow("payment_get", first.id)
        assert row is not None
        assert row["authorization"]["signature"] == "0x" + raw.hex()


async def test_a_payer_with_code_is_asked(api: Api) -> None:
    """A contract that says yes is a payer; one that says no, reverts or burns gas is refused."""
    owner = Payer()
    wallet = await deploy(api.stack.rpc, "ContractWallet", owner.address)
    body = _signed_by(api, owner, wallet)
    assert _kinds([await _submit(api.engine, body)]) == {"new": 1}
    stranger = _signed_by(api, Payer(), wallet)
    assert _kinds([await _submit(api.engine, stranger)]) == {"signature_invalid": 1}
    await act(api.stack.rpc, owner.address, wallet, calldata("setBurnsGas(bool)", True))
    burns = _signed_by(api, owner, wallet)
    assert _kinds([await _submit(api.engine, burns)]) == {"signature_invalid": 1}


def _signed_by(api: Api, owner: Payer, wallet: str) -> Body:
    """A request of a contract wallet, signed by the key that owns it."""
    body = api.stack.body(api.engine, owner, pay_to=PAYEE, value=PRICE)
    raw = body["authorization"]
    auth = Authorization(
        payer=wallet,
        pay_to=PAYEE,
        value=PRICE,
        valid_after=int(raw["validAfter"]),
        valid_before=int(raw["validBefore"]),
        nonce=raw["nonce"],
        signature=b"",
    )
    digest = authorization_digest(domain_of(api.engine, api.stack.asset).separator, auth)
    raw["from"], raw["signature"] = wallet, "0x" + owner.sign(digest).hex()
    return body


async def test_a_silent_node_is_no_verdict_on_a_contracts_signature(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a node nobody knows whether a contract signed: 503, while keys are still taken."""
    pool = only_network(api.engine).pool
    monkeypatch.setattr(pool, "batch", _silence)
    unknown = api.stack.body(api.engine, Payer())
    unknown["authorization"]["signature"] = "0x" + "22" * 65
    assert _kinds([await _submit(api.engine, unknown)]) == {"chain_unavailable": 1}
    good = api.stack.body(api.engine, Payer())
    assert _kinds([await _submit(api.engine, good)]) == {"new": 1}


async def _silence(*_: object, **__: object) -> list[object]:
    from onsettle.chain.jsonrpc import RpcUnavailable

    raise RpcUnavailable("node", "no answer")
