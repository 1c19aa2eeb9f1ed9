"""A payment that was taken stays taken: the same again is the same row, whatever has changed."""

import copy
from typing import Any

import pytest

from onsettle.chain.crypto import authorization_digest
from onsettle.engine.choice import Accepted
from onsettle.engine.request import Refused, parse
from onsettle.local.payers import Payer
from onsettle.runtime import Engine
from tests.harness.contracts import act, calldata, deploy
from tests.harness.stack import domain_of
from tests.integration.api.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

Body = dict[str, Any]
_NOBODY = "0x" + "22" * 20
_NO_NODE = "http://127.0.0.1:9"


async def _code(engine: Engine, body: Body) -> str:
    """`known`, `new`, or the code of the refusal."""
    try:
        answer = await engine.intake.submit(body)
    except Refused as refused:
        return refused.code
    return "known" if answer.known else "new"


async def _taken(api: Api, **more: Any) -> tuple[Body, Accepted]:
    body = api.stack.body(api.engine, Payer(), **more) | {"network": "eip155:84532"}
    return body, await api.engine.intake.submit(body)


@pytest.mark.parametrize(
    ("refusal", "changed"),
    [
        ("payee_not_allowed", {"pay_to": _NOBODY}),
        ("unknown_mint_token", {"mint_tokens": ""}),
        ("price_mismatch", {"mint_tokens": "{mint_token}:77:0x" + "11" * 20}),
        ("chain_unavailable", {"rpc_urls": _NO_NODE}),
    ],
)
async def test_a_known_payment_outlives_a_change_of_configuration(
    api: Api, refusal: str, changed: dict[str, str]
) -> None:
    """What would be refused today was taken yesterday: its row is the answer, and only its."""
    body, first = await _taken(api)
    other = copy.deepcopy(body)
    other["metadata"]["note"] = "another"
    unknown = api.stack.body(api.engine, Payer()) | {"network": "eip155:84532"}
    before = await api.rows()
    values = {k: v.format(mint_token=api.stack.mint_token) for k, v in changed.items()}
    async with api.stack.engine(start=False, **values) as engine:
        again = await engine.intake.submit(body)
        assert (again.known, again.id) == (True, first.id)
        # Where the chain can't be read nobody knows who signed: nothing is told then.
        different = refusal if refusal == "chain_unavailable" else "conflict"
        assert await _code(engine, other) == different
        assert await _code(engine, unknown) == refusal
    assert await api.rows() == before


async def test_a_known_payment_outlives_its_asset_and_its_network(api: Api) -> None:
    """An asset or a chain that is no longer configured: the row is found by its identity."""
    body, first = await _taken(api)
    token = await api.stack.deploy("FeeToken")
    async with api.stack.engine(start=False, assets=token) as engine:
        assert (await engine.intake.submit(body)).id == first.id
        unknown = api.stack.body(api.engine, Payer())
        assert await _code(engine, unknown) == "asset_not_allowed"
    await api.engine.db.pool.execute(
        "update payment_queue set chain_id = 5 where id = $1", first.id
    )
    gone = body | {"network": "eip155:5"}
    assert await _code(api.engine, gone) == "known"
    assert await _code(api.engine, body | {"network": "eip155:6"}) == "wrong_network"


async def test_a_known_payment_outlives_the_signature_that_it_was_taken_with(api: Api) -> None:
    """A contract that no longer accepts the signature: the payment was taken when it did."""
    owner = Payer()
    wallet = await deploy(api.stack.rpc, "ContractWallet", owner.address)
    body = api.stack.body(api.engine, owner)
    _sign(api, body, owner, wallet)
    first = await api.engine.intake.submit(body)
    await act(api.stack.rpc, owner.address, wallet, calldata("setOwner(address)", _NOBODY))
    again = await api.engine.intake.submit(body)
    assert (again.known, again.id) == (True, first.id)
    fresh = api.stack.body(api.engine, owner)
    _sign(api, fresh, owner, wallet)
    assert await _code(api.engine, fresh) == "signature_invalid"


def _sign(api: Api, body: Body, owner: Payer, wallet: str) -> None:
    """Make it a payment of a contract, signed by the key that owns it."""
    body["authorization"]["from"] = wallet
    request = parse(body, chain_id=84532, asset=api.stack.asset)
    separator = domain_of(api.engine, api.stack.asset).separator
    digest = authorization_digest(separator, request.authorization)
    body["authorization"]["signature"] = "0x" + owner.sign(digest).hex()


async def test_without_the_payers_signature_nothing_is_told_about_a_payment(api: Api) -> None:
    """A guess at somebody's payment is a bad signature, as it is for one that nobody has sent."""
    body, first = await _taken(api)
    unsigned = copy.deepcopy(body)
    unsigned["authorization"]["signature"] = "0x" + "11" * 65
    # All of it is known to whoever asks, so that the row tells nothing new.
    assert (await api.engine.intake.submit(unsigned)).id == first.id
    guessed = copy.deepcopy(unsigned)
    guessed["metadata"]["quantity"] = 2
    assert await _code(api.engine, guessed) == "signature_invalid"
    signed = copy.deepcopy(body)
    signed["metadata"]["quantity"] = 2
    assert await _code(api.engine, signed) == "conflict"


async def test_metadata_is_compared_as_json(api: Api) -> None:
    """true is not 1, however deep; 1e16 is the integer that the database makes of it."""
    body = api.stack.body(api.engine, Payer())
    body["metadata"] = {"gift": True, "lines": [{"paid": 0}], "large": 1e16, "small": -0.0}
    assert await _code(api.engine, body) == "new"
    assert await _code(api.engine, copy.deepcopy(body)) == "known"
    for metadata in (
        body["metadata"] | {"gift": 1},
        body["metadata"] | {"lines": [{"paid": False}]},
        body["metadata"] | {"large": 1e16 + 2},
    ):
        assert await _code(api.engine, body | {"metadata": metadata}) == "conflict"
    together = [body | {"authorization": _fresh(api), "metadata": {"gift": g}} for g in (True, 1)]
    together[1]["authorization"] = together[0]["authorization"]
    answers = await api.engine.intake.submit_many(together)
    assert [a.code if isinstance(a, Refused) else a.known for a in answers] == [False, "conflict"]


def _fresh(api: Api) -> Body:
    authorization: Body = api.stack.body(api.engine, Payer())["authorization"]
    return authorization


@pytest.mark.parametrize("first_has_it", [True, False])
async def test_a_quantity_of_one_may_be_left_out(api: Api, first_has_it: bool) -> None:
    """Python programs always write it and HTTP clients may not: one payment all the same."""
    body = api.stack.body(api.engine, Payer())
    without, written = body | {"metadata": {}}, body | {"metadata": {"quantity": 1}}
    order = (written, without) if first_has_it else (without, written)
    assert [await _code(api.engine, each) for each in order] == ["new", "known"]
    assert await _code(api.engine, body | {"metadata": {"quantity": 2}}) == "conflict"
