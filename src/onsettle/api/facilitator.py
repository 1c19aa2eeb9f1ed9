"""An x402 facilitator, versions 1 and 2: `/verify`, `/settle`, `/supported`.

Business answers are always HTTP 200: stock servers take anything else for a broken facilitator.
"""

from fastapi import APIRouter, Request
from x402.schemas import SettleResponse, SupportedKind, SupportedResponse, VerifyResponse

from onsettle.api import schemas, x402
from onsettle.api.answers import Json
from onsettle.api.bodies import need_key, read_json
from onsettle.api.settling import is_failed, settled
from onsettle.chain import abi
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.chain.reverts import is_revert, revert_data, revert_reason
from onsettle.engine.choice import FAR
from onsettle.engine.intake import Accepted
from onsettle.engine.network import number
from onsettle.engine.request import Refused
from onsettle.engine.request import Request as Payment
from onsettle.engine.triage import early
from onsettle.engine.watch import Watch
from onsettle.runtime import Engine
from onsettle.store.database import UNAVAILABLE


def facilitator(engine: Engine, watch: Watch) -> APIRouter:
    routes = APIRouter(tags=["x402"])

    @routes.post(
        "/verify", summary="Would this x402 payment settle?", response_model=VerifyResponse
    )
    async def verify(request: Request) -> Json:
        need_key(request, engine.config)
        body = await read_json(request)
        return _answer(await _verified(engine, body))

    @routes.post("/settle", **schemas.SETTLE)
    async def settle(request: Request) -> Json:
        """The same payload again gets the same answer: it is the same payment."""
        need_key(request, engine.config)
        body = await read_json(request)
        return _answer(await settled(engine, watch, body))

    @routes.get("/supported", summary="What can be settled", response_model=SupportedResponse)
    async def supported() -> Json:
        return _answer(await _supported(engine))

    return routes


def _answer(model: VerifyResponse | SettleResponse | SupportedResponse) -> Json:
    return Json(model.model_dump(mode="json", by_alias=True, exclude_none=True))


async def _supported(engine: Engine) -> SupportedResponse:
    names = {chain_id: name for name, chain_id in x402.NAMES.items()}
    kinds: list[SupportedKind] = []
    for chain_id in engine.networks:
        network = f"eip155:{chain_id}"
        kinds.append(SupportedKind(x402_version=2, scheme=x402.SCHEME, network=network))
        if chain_id in names:
            kinds.append(SupportedKind(x402_version=1, scheme=x402.SCHEME, network=names[chain_id]))
    wallets = await engine.db.fetch("wallets_list", None)
    signers = [row["address"] for row in wallets if row["role"] == "payment"]
    return SupportedResponse(kinds=kinds, signers={"eip155:*": signers})


async def _verified(engine: Engine, body: object) -> VerifyResponse:
    payer: str | None = None
    try:
        exact = x402.read(body)
        payer = exact.payer
        payment, known = await engine.intake.judge(exact.body)
        if known is not None:
            await _need_hope(engine, known)
        await _simulate(engine, payment)
    except x402.Unfit as unfit:
        return VerifyResponse(
            is_valid=False,
            invalid_reason=unfit.reason,
            invalid_message=unfit.message,
            payer=unfit.payer or payer,
        )
    except Refused as refused:
        reason = x402.reason_of_refusal(refused.code, otherwise="unexpected_verify_error")
        return VerifyResponse(
            is_valid=False, invalid_reason=reason, invalid_message=refused.message, payer=payer
        )
    except UNAVAILABLE:
        return VerifyResponse(
            is_valid=False,
            invalid_reason="unexpected_verify_error",
            invalid_message="the database does not answer: try again",
            payer=payer,
        )
    return VerifyResponse(is_valid=True, payer=payer)


async def _need_hope(engine: Engine, known: Accepted) -> None:
    """What `/settle` would call failed is not valid, whatever a simulation says; raises Unfit."""
    row = await engine.db.fetchrow("payment_get", known.id)
    if row is not None and await is_failed(engine.db, row):
        raise x402.Unfit(x402.reason_of_failure(row["reason"]), row["error"] or "it has failed")


async def _simulate(engine: Engine, payment: Payment) -> None:
    """Ask the chain whether the transfer would go through now; raises Unfit and Refused."""
    auth = payment.authorization
    asked = [
        abi.transfer_with_authorization(auth),
        abi.authorization_state(auth.payer, auth.nonce),
        abi.balance_of(auth.payer),
    ]
    calls = [
        Call("eth_call", ({"to": payment.asset, "data": "0x" + data.hex()}, "latest"))
        for data in asked
    ]
    network = engine.networks[payment.chain_id]
    silent = Refused("chain_unavailable", "no node answers: try again", 503)
    try:
        transfer, used, balance, head = await network.pool.batch(
            [*calls, Call("eth_getBlockByNumber", ("latest", False))]
        )
        if number(used) == 1:
            raise x402.Unfit(
                "invalid_exact_evm_nonce_already_used", "the authorization is used or cancelled"
            )
        if number(balance) < auth.value:
            raise x402.Unfit("insufficient_funds", "the payer holds less than that")
    except (RpcError, RpcUnavailable):
        raise silent from None
    if isinstance(transfer, RpcError) and is_revert(transfer):
        why = revert_reason(revert_data(transfer)) or transfer.message
        if auth.valid_after >= _time(head) and early(why):
            return  # its window has opened since the last block, and the next one takes it
        raise x402.Unfit("invalid_exact_evm_transaction_simulation_failed", why)
    if isinstance(transfer, Exception):
        raise silent


def _time(head: object) -> int:
    """Of a block, epoch seconds; later than any window opens where it can't be read."""
    try:
        return number(head["timestamp"]) if isinstance(head, dict) else FAR
    except (KeyError, RpcError):
        return FAR
