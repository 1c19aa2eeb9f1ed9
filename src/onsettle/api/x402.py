"""x402 in our words: a payload and its requirements as a payment, our refusals as its reasons.

The reasons are those of the specification, and those that its SDK adds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from x402.schemas import PaymentPayload, PaymentRequirements
from x402.schemas.v1 import PaymentPayloadV1, PaymentRequirementsV1

from onsettle.domain.payment import Reason

M = TypeVar("M", bound=BaseModel)

SCHEME = "exact"
PAYMENT_TYPE = "x402"
WAITS = ("confirmed", "submitted", "accepted")
#: The names of chains in version 1: those of the SDK, which gives them away only with its own
#: signers. A test holds them against it.
NAMES = {
    "ethereum": 1, "base": 8453, "base-sepolia": 84532, "polygon": 137, "polygon-amoy": 80002,
    "avalanche": 43114, "avalanche-fuji": 43113, "celo": 42220, "sei": 1329, "sei-testnet": 1328,
    "iotex": 4689, "abstract": 2741, "abstract-testnet": 11124, "peaq": 3338, "story": 1513,
    "educhain": 656476, "skale-base-sepolia": 1444673419, "megaeth": 4326, "monad": 143,
    "monad-testnet": 10143, "stable": 988, "stable-testnet": 2201, "flare": 14,
}  # fmt: skip
_CAIP2 = re.compile(r"eip155:([1-9][0-9]{0,17})")
_DIGITS = re.compile(r"[0-9]{1,78}")

_REFUSED = {
    "signature_invalid": "invalid_exact_evm_payload_signature",
    "erc6492_not_supported": "eip6492_factory_not_allowed",
    "expired": "invalid_exact_evm_payload_authorization_valid_before",
    "validity_too_short": "invalid_exact_evm_payload_authorization_valid_before",
    "validity_too_long": "invalid_exact_evm_payload_authorization_valid_before",
    "not_yet_valid": "invalid_exact_evm_payload_authorization_valid_after",
    "zero_amount": "invalid_exact_evm_payload_authorization_value_mismatch",
    "payee_not_allowed": "invalid_payment_requirements",
    "asset_not_allowed": "invalid_payment_requirements",
    "wrong_network": "invalid_network",
    "conflict": "invalid_exact_evm_nonce_already_used",
}
_OURS = {"chain_unavailable", "asset_unavailable", "mint_token_unavailable", "database_unavailable",
         "paused", "queue_full", "too_many_pending", "overloaded"}  # fmt: skip
_FAILED: dict[str, str] = {
    Reason.INSUFFICIENT_BALANCE: "insufficient_funds",
    Reason.EXPIRED: "invalid_exact_evm_payload_authorization_valid_before",
    Reason.VALIDITY_TOO_SHORT: "invalid_exact_evm_payload_authorization_valid_before",
    Reason.SIGNATURE_INVALID: "invalid_exact_evm_payload_signature",
    Reason.CANCELLED: "invalid_exact_evm_nonce_already_used",
    Reason.USED_ELSEWHERE: "invalid_exact_evm_nonce_already_used",
}


class Unfit(Exception):
    """Not a payment that we can settle: a reason of x402 and a sentence."""

    def __init__(self, reason: str, message: str, payer: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.payer = payer


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """A payment of the scheme `exact` by EIP-3009, as intake takes it."""

    #: The network in the form in which it was asked for.
    network: str
    payer: str | None
    body: dict[str, Any]
    #: How long the caller is ready to wait, seconds.
    max_timeout_s: int
    #: `confirmed`, or what the merchant risks: `submitted` or `accepted`.
    wait_until: str
    #: Whether it may share a transaction, and so its hash, with other payments.
    packed: bool


def reason_of_refusal(code: str, *, otherwise: str) -> str:
    """`otherwise` is the reason for what is our trouble and not the payer's."""
    return otherwise if code in _OURS else _REFUSED.get(code, "invalid_payload")


def reason_of_failure(reason: str | None) -> str:
    """A row may hold any word: an operator's, or intake's where plain SQL wrote the payment."""
    return _FAILED.get(reason or "") or _REFUSED.get(reason or "", "transaction_failed")


def read(body: object) -> Exact:
    """A `/verify` or `/settle` request of either version; raises Unfit."""
    if not isinstance(body, Mapping):
        raise Unfit("invalid_payload", "send an object with paymentPayload and paymentRequirements")
    payload, requirements = body.get("paymentPayload"), body.get("paymentRequirements")
    version = body.get("x402Version")
    if version is None and isinstance(payload, Mapping):
        version = payload.get("x402Version")
    if version == 2 and not isinstance(version, bool):
        second = _model(PaymentPayload, payload, "invalid_payload")
        wanted = _model(PaymentRequirements, requirements, "invalid_payment_requirements")
        return _exact(second.payload, second.accepted, wanted, wanted.amount)
    if version == 1 and not isinstance(version, bool):
        first = _model(PaymentPayloadV1, payload, "invalid_payload")
        old = _model(PaymentRequirementsV1, requirements, "invalid_payment_requirements")
        return _exact(first.payload, first, old, old.max_amount_required)
    raise Unfit("invalid_x402_version", "x402Version must be 1 or 2")


def _model(model: type[M], value: object, reason: str) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Unfit(reason, f"{where}: {first['msg']}") from None


def _exact(
    payload: Mapping[str, Any],
    offered: PaymentRequirements | PaymentPayloadV1,
    wanted: PaymentRequirements | PaymentRequirementsV1,
    amount: str,
) -> Exact:
    raw = payload.get("authorization")
    authorization = dict(raw) if isinstance(raw, Mapping) else {}
    sender = authorization.get("from")
    exactly = isinstance(wanted, PaymentRequirements)
    payer = sender if isinstance(sender, str) else None
    extra = wanted.extra or {}
    if offered.scheme != SCHEME or wanted.scheme != SCHEME:
        raise Unfit("unsupported_scheme", f"only the scheme {SCHEME} is settled", payer)
    if extra.get("assetTransferMethod") not in (None, "eip3009") or not authorization:
        raise Unfit("unsupported_scheme", "only EIP-3009 authorizations are settled", payer)
    if offered.network != wanted.network:
        raise Unfit("network_mismatch", "the payload is for another network", payer)
    chain_id = _chain_id(wanted.network, payer)
    if str(authorization.get("to", "")).lower() != wanted.pay_to.lower():
        raise Unfit("invalid_exact_evm_payload_recipient_mismatch", "it pays somebody else", payer)
    if not _pays(str(authorization.get("value")), amount, exactly=exactly):
        raise Unfit(
            "invalid_exact_evm_payload_authorization_value_mismatch",
            f"it pays {str(authorization.get('value'))[:80]}, not {amount[:80]}",
            payer,
        )
    wait_until = extra.get("waitUntil", "confirmed")
    if wait_until not in WAITS:
        raise Unfit(
            "invalid_payment_requirements", f"extra.waitUntil is one of {', '.join(WAITS)}", payer
        )
    packed = extra.get("packed", False)
    if not isinstance(packed, bool):
        raise Unfit("invalid_payment_requirements", "extra.packed is true or false", payer)
    return Exact(
        network=wanted.network,
        payer=payer,
        max_timeout_s=wanted.max_timeout_seconds,
        wait_until=wait_until,
        packed=packed,
        body={
            "payment_type": PAYMENT_TYPE,
            "network": f"eip155:{chain_id}",
            "asset": wanted.asset,
            "authorization": {**authorization, "signature": payload.get("signature")},
        },
    )


def _pays(value: str, amount: str, *, exactly: bool) -> bool:
    """In version 1 the amount is the least that is due; the payment is what was authorized."""
    if exactly:
        return value == amount
    return bool(_DIGITS.fullmatch(value) and _DIGITS.fullmatch(amount)) and int(value) >= int(
        amount
    )


def _chain_id(name: str, payer: str | None) -> int:
    """Whether it is a chain of ours is for intake to say: it knows what can't be read yet."""
    if name in NAMES:
        return NAMES[name]
    if (caip := _CAIP2.fullmatch(name)) is not None:
        return int(caip[1])
    raise Unfit("invalid_network", f"{name[:40]} is not a network of this service", payer)
