"""What this service takes: its networks, assets and catalogue, and windows it can still meet."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from onsettle.chain import abi
from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.network import Network, number
from onsettle.engine.request import Refused, Request, address, parse

# Less than this is left: it could not be sent and mined in time.
MIN_REMAINING_S = 6

# A chain id that the database can hold.
_CAIP2 = re.compile(r"eip155:([1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A payment in full; `refusal` is why it is not taken where it is not known already.

    What is configured may change after a payment was taken, and its chain may be silent: then it
    has a refusal, and an identity all the same. `network` is None where the chain is not open.
    """

    network: Network | None
    request: Request
    refusal: Refused | None


def read_request(body: object, networks: Mapping[int, Network], *, configured: int) -> Reading:
    """A payment, and whether it is for a network, an asset and a catalogue of ours.

    Raises Refused where it is not the form of a payment.
    """
    if not isinstance(body, Mapping):
        raise Refused("invalid_request", "a payment must be an object")
    chain_id, refusal = _chain(body.get("network"), networks, configured)
    network = networks.get(chain_id)
    if network is None and body.get("asset") is None and refusal is not None:
        raise refusal
    asset, strange = _asset(body.get("asset"), network)
    refusal = refusal or strange
    request = parse(body, chain_id=chain_id, asset=asset)
    if network is not None and refusal is None:
        try:
            check_catalogue(network, request)
        except Refused as refused:
            refusal = refused
    return Reading(network=network, request=request, refusal=refusal)


def _chain(
    wanted: object, networks: Mapping[int, Network], configured: int
) -> tuple[int, Refused | None]:
    """The chain's id, and why it can't be used now; raises Refused where no chain is named."""
    if wanted is None:
        if configured > 1:
            raise Refused("invalid_request", "network is needed: several are configured")
        if not networks:
            raise Refused("chain_unavailable", "no chain could be read yet: try again", 503)
        return next(iter(networks)), None
    if not isinstance(wanted, str):
        raise Refused("wrong_network", "network must be a name such as eip155:8453")
    for network in networks.values():
        if wanted in (f"eip155:{network.chain_id}", network.config.name):
            return network.chain_id, None
    refusal = Refused("wrong_network", f"{wanted[:40]} is not a network of this service")
    if len(networks) < max(configured, 1):
        refusal = Refused(
            "chain_unavailable", f"{wanted[:40]} may be a chain that could not be read yet", 503
        )
    if (named := _CAIP2.fullmatch(wanted)) is None:
        raise refusal
    return int(named[1]), refusal


def _asset(wanted: object, network: Network | None) -> tuple[str, Refused | None]:
    """The asset, and why it is not taken; raises Refused where none is named."""
    assets = () if network is None else network.config.assets
    if wanted is None:
        if len(assets) != 1:
            raise Refused("invalid_request", "asset is needed: it is not one that is configured")
        return assets[0], None
    asset = address(wanted, "asset")
    if asset not in assets:
        refusal = Refused("asset_not_allowed", f"{asset} is not one of ONSETTLE_ASSETS")
        return asset, refusal
    return asset, None


def check_catalogue(network: Network, request: Request) -> None:
    """Asset, payee, mint token and price, as configured and as far as known; raises Refused."""
    auth = request.authorization
    if request.asset not in network.domains:
        trouble = network.tokens.assets.get(request.asset)
        words = f"asset {request.asset} is not known yet" if trouble is None else trouble.message
        raise Refused("asset_unavailable", words, 503)
    allowed = network.config.pay_to
    if allowed and auth.pay_to not in allowed:
        raise Refused("payee_not_allowed", f"{auth.pay_to} is not one of ONSETTLE_PAY_TO")
    if request.payment_type != "mint":
        return
    if request.token_address is None:
        raise Refused("unknown_mint_token", "token_address is needed: which token is minted?")
    for token in network.config.mint_tokens:
        if token.address != request.token_address:
            continue
        if token.payee is not None and auth.pay_to != token.payee:
            raise Refused("payee_not_allowed", f"this token is paid to {token.payee}")
        if token.price is not None and auth.value != token.price * request.quantity:
            raise Refused(
                "price_mismatch",
                f"{request.quantity} of this token cost {token.price * request.quantity}",
            )
        if trouble := network.tokens.mint_tokens.get(token.address):
            if trouble.refused is None:
                raise Refused("mint_token_unavailable", trouble.message, 503)
            raise Refused(trouble.refused, trouble.message)
        return
    raise Refused("unknown_mint_token", f"{request.token_address} is not in ONSETTLE_MINT_TOKENS")


async def now(network: Network) -> int:
    """Admission is judged by the later of both clocks, epoch seconds."""
    return max(int(time.time()), await network.chain_time())


def check_window(request: Request, at: int, settings: RuntimeSettings) -> None:
    """Raises Refused; an expired one is told by the code `expired`."""
    auth = request.authorization
    if auth.valid_before <= at:
        raise Refused("expired", f"validBefore {auth.valid_before} has passed")
    if auth.valid_after >= at:
        raise Refused("not_yet_valid", f"not valid before {auth.valid_after}")
    if auth.valid_before < at + MIN_REMAINING_S:
        raise Refused("validity_too_short", f"less than {MIN_REMAINING_S} s of validity are left")
    if auth.valid_before > at + settings.payment_max_validity_s:
        raise Refused(
            "validity_too_long",
            f"validBefore may be at most {settings.payment_max_validity_s} s away",
        )


async def was_used(network: Network, request: Request) -> bool:
    """An expired authorization that is used may have paid us already: it is looked up."""
    auth = request.authorization
    data = "0x" + abi.authorization_state(auth.payer, auth.nonce).hex()
    try:
        used = await network.pool.call("eth_call", {"to": request.asset, "data": data}, "latest")
        return number(used) == 1
    except (RpcError, RpcUnavailable):
        raise Refused(
            "chain_unavailable", "whether it was used can't be read: try again", 503
        ) from None
