"""The EIP-3009 authorization: what the payer signed."""

import uuid
from dataclasses import dataclass

# Fixed for ever: payment ids are derived from it, so that a restored backup can't double anything.
PAYMENT_NAMESPACE = uuid.UUID("6f1d5c0e-3f0b-5a57-9d5e-0a5e77c1e900")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """A signed `transferWithAuthorization` (EIP-3009).

    Addresses and the nonce are lower-case hex, `value` is in atomic token units, the window is in
    epoch seconds and open on both sides. `signature` is r || s || v with v 27 or 28 for a key, or
    whatever the payer's contract accepts (ERC-1271).
    """

    payer: str
    pay_to: str
    value: int
    valid_after: int
    valid_before: int
    nonce: str
    signature: bytes


def payment_id(*, chain_id: int, asset: str, payer: str, nonce: str) -> uuid.UUID:
    """The id of the payment with this identity: the same for ever, on every machine."""
    identity = f"{chain_id}:{asset.lower()}:{payer.lower()}:{nonce.lower()}"
    return uuid.uuid5(PAYMENT_NAMESPACE, identity)
