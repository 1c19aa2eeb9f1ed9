"""One submitted payment: read from JSON, strictly, before anything else looks at it."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onsettle.chain.crypto import parse_address
from onsettle.domain.authorization import Authorization, payment_id

MAX_QUANTITY = 100
_UINT256 = 2**256


class Refused(Exception):
    """A payment that is not taken: a stable code, a sentence, and its HTTP status."""

    def __init__(self, code: str, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A payment as asked for; nothing of it is checked against the chain yet."""

    id: uuid.UUID
    chain_id: int
    asset: str
    payment_type: str
    token_address: str | None
    quantity: int
    metadata: dict[str, Any]
    authorization: Authorization

    @property
    def identity(self) -> tuple[int, str, str, str]:
        auth = self.authorization
        return self.chain_id, self.asset, auth.payer, auth.nonce


def address(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise Refused("invalid_address", f"{name} must be an address in hex")
    try:
        return parse_address(value)
    except ValueError as error:
        raise Refused("invalid_address", f"{name}: {error}") from None


def amount(value: object, name: str) -> int:
    """A uint256 as an integer or a decimal string; floats lose money and are refused."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 78:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused("invalid_amount", f"{name} must be an integer or a decimal string")
    if not 0 <= value < _UINT256:
        raise Refused("invalid_amount", f"{name} must be from 0 to 2^256 - 1")
    return value


def _bytes(value: object, name: str, *, size: int | None = None, limit: int = 8192) -> bytes:
    if not isinstance(value, str) or not value.lower().startswith("0x"):
        raise Refused("invalid_request", f"{name} must be hex with 0x")
    try:
        data = bytes.fromhex(value[2:])
    except ValueError:
        raise Refused("invalid_request", f"{name} is not hex") from None
    if (size is not None and len(data) != size) or len(data) > limit:
        raise Refused("invalid_request", f"{name} must have {size or f'at most {limit}'} bytes")
    return data


def _signature(raw: Mapping[str, object]) -> bytes:
    if raw.get("signature") is not None:
        data = _bytes(raw["signature"], "authorization.signature")
    else:
        v = amount(raw.get("v"), "authorization.v")
        if v > 255:
            raise Refused("signature_invalid", "authorization.v must be 27 or 28")
        data = _bytes(raw.get("r"), "authorization.r", size=32)
        data += _bytes(raw.get("s"), "authorization.s", size=32) + bytes([v])
    if len(data) == 65 and data[64] in (0, 1):
        # x402 payers send both forms; the token takes 27 and 28 only.
        data = data[:64] + bytes([data[64] + 27])
    return data


def _authorization(raw: object) -> Authorization:
    if not isinstance(raw, Mapping):
        raise Refused("invalid_request", "authorization must be an object")
    value = amount(raw.get("value"), "authorization.value")
    if value == 0:
        raise Refused("zero_amount", "authorization.value must be above zero")
    return Authorization(
        payer=address(raw.get("from"), "authorization.from"),
        pay_to=address(raw.get("to"), "authorization.to"),
        value=value,
        valid_after=amount(raw.get("validAfter"), "authorization.validAfter"),
        valid_before=amount(raw.get("validBefore"), "authorization.validBefore"),
        nonce="0x" + _bytes(raw.get("nonce"), "authorization.nonce", size=32).hex(),
        signature=_signature(raw),
    )


def _quantity(metadata: Mapping[str, object]) -> int:
    quantity = metadata.get("quantity", 1)
    if isinstance(quantity, bool) or not isinstance(quantity, int):
        raise Refused("quantity_out_of_range", "metadata.quantity must be an integer")
    if not 1 <= quantity <= MAX_QUANTITY:
        raise Refused("quantity_out_of_range", f"metadata.quantity must be 1 to {MAX_QUANTITY}")
    return quantity


def parse(body: object, *, chain_id: int, asset: str) -> Request:
    """Read one payment for a chain and asset that are already chosen; raises Refused."""
    if not isinstance(body, Mapping):
        raise Refused("invalid_request", "a payment must be an object")
    kind = body.get("payment_type", "mint")
    if not isinstance(kind, str) or not 1 <= len(kind) <= 64:
        raise Refused("invalid_request", "payment_type must be a word of at most 64 letters")
    metadata = body.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise Refused("invalid_request", "metadata must be an object")
    token = body.get("token_address")
    auth = _authorization(body.get("authorization"))
    return Request(
        id=payment_id(chain_id=chain_id, asset=asset, payer=auth.payer, nonce=auth.nonce),
        chain_id=chain_id,
        asset=asset,
        payment_type=kind,
        token_address=None if token is None else address(token, "token_address"),
        quantity=_quantity(metadata),
        metadata=metadata,
        authorization=auth,
    )
