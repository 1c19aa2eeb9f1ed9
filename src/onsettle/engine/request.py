"""One submitted payment: read from JSON, strictly, before anything else looks at it."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from onsettle.chain.codec import unhex
from onsettle.chain.crypto import parse_address
from onsettle.domain.authorization import Authorization, payment_id

MAX_QUANTITY = 100
MAX_METADATA_BYTES = 16 * 1024
MAX_SIGNATURE_BYTES = 8192
_UINT256 = 2**256
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
# A NUL as JSON writes it: an escape that is not itself escaped. PostgreSQL can't store one.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
# Ends every signature that is wrapped for a wallet not deployed yet (ERC-6492).
_ERC6492 = bytes.fromhex("6492" * 16)


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


def _bytes(value: object, name: str, *, size: int | None = None) -> bytes:
    try:
        data = unhex(value[:2].lower() + value[2:] if isinstance(value, str) else "")
    except ValueError:
        message = f"{name} must be hex with 0x, two digits for each byte"
        raise Refused("invalid_request", message) from None
    if size is not None and len(data) != size:
        raise Refused("invalid_request", f"{name} must have {size} bytes, not {len(data)}")
    return data


def _signature(raw: Mapping[str, object]) -> bytes:
    if raw.get("signature") is not None:
        data = _bytes(raw["signature"], "authorization.signature")
        if not 1 <= len(data) <= MAX_SIGNATURE_BYTES:
            raise Refused(
                "signature_invalid",
                f"authorization.signature must have 1 to {MAX_SIGNATURE_BYTES} bytes",
            )
        if data.endswith(_ERC6492):
            raise Refused(
                "erc6492_not_supported",
                "the payer's contract must be deployed: a signature wrapped by ERC-6492 is refused",
            )
        return data
    if raw.get("v") is None:
        raise Refused("invalid_request", "authorization needs a signature, or v, r and s")
    v = amount(raw["v"], "authorization.v")
    if v not in (0, 1, 27, 28):
        raise Refused("signature_invalid", "authorization.v must be 27 or 28 (or 0 or 1)")
    data = _bytes(raw.get("r"), "authorization.r", size=32)
    return data + _bytes(raw.get("s"), "authorization.s", size=32) + bytes([v])


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


def _metadata(value: object) -> dict[str, Any]:
    """An object that the database can hold and give back unchanged."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused("invalid_request", "metadata must be an object")
    try:
        text = orjson.dumps(value)
    except TypeError as error:
        # Integers beyond 64 bits, lone surrogates, hundreds of levels.
        raise Refused("invalid_metadata", f"metadata can't be stored: {error}") from None
    if orjson.loads(text) != value:
        raise Refused("invalid_metadata", "metadata must be plain JSON: it would be changed")
    if len(text) > MAX_METADATA_BYTES:
        raise Refused(
            "metadata_too_large", f"metadata may have at most {MAX_METADATA_BYTES} bytes as JSON"
        )
    if _NUL.search(text):
        raise Refused("invalid_metadata", "metadata must not hold the character U+0000")
    return value


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
    if not isinstance(kind, str) or not _WORD.fullmatch(kind):
        raise Refused(
            "invalid_request",
            "payment_type must be a word of at most 64 letters, digits and . _ : -",
        )
    metadata = _metadata(body.get("metadata"))
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
