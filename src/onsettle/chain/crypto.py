"""Keccak, EIP-712 digests, key recovery and addresses."""

import re

from coincurve import PublicKey

from onsettle.chain.keccak import keccak
from onsettle.domain.authorization import Authorization

__all__ = [
    "address_of",
    "authorization_digest",
    "checksum_address",
    "domain_separator",
    "keccak",
    "parse_address",
    "recover",
]

_DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_TRANSFER_TYPE = (
    b"TransferWithAuthorization(address from,address to,uint256 value,"
    b"uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{40}")


_DOMAIN_TYPEHASH = keccak(_DOMAIN_TYPE)
_TRANSFER_TYPEHASH = keccak(_TRANSFER_TYPE).hex()
_PADDING = "0" * 24


def domain_separator(*, name: str, version: str, chain_id: int, address: str) -> bytes:
    """The EIP-712 domain separator of the token contract at `address`."""
    return keccak(
        _DOMAIN_TYPEHASH
        + keccak(name.encode())
        + keccak(version.encode())
        + chain_id.to_bytes(32, "big")
        + bytes(12)
        + bytes.fromhex(address[2:])
    )


def authorization_digest(separator: bytes, auth: Authorization) -> bytes:
    """What the payer signs: the EIP-712 digest of `TransferWithAuthorization` (EIP-3009).

    Raises ValueError when a field does not fit its ABI type.
    """
    # One hex string and one conversion: this runs for every payment that is submitted.
    struct = bytes.fromhex(
        f"{_TRANSFER_TYPEHASH}{_PADDING}{auth.payer[2:]}{_PADDING}{auth.pay_to[2:]}"
        f"{auth.value:064x}{auth.valid_after:064x}{auth.valid_before:064x}{auth.nonce[2:]}"
    )
    if len(struct) != 224:
        raise ValueError("a field of the authorization does not fit its ABI type")
    return keccak(b"\x19\x01" + separator + keccak(struct))


def recover(digest: bytes, signature: bytes) -> str | None:
    """The address whose key signed `digest`, or None when `signature` is not a valid one.

    As strict as the token contract: 65 bytes r || s || v, v 27 or 28, s in the lower half of the
    curve order (EIP-2). Never raises.
    """
    if len(digest) != 32 or len(signature) != 65 or signature[64] not in (27, 28):
        return None
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        return None
    compact = bytes(signature[:64]) + bytes((signature[64] - 27,))
    try:
        key = PublicKey.from_signature_and_message(compact, bytes(digest), hasher=None)
    except ValueError:
        return None
    return address_of(key)


def address_of(key: PublicKey) -> str:
    """The lower-case address of a public key."""
    return "0x" + keccak(key.format(compressed=False)[1:])[12:].hex()


def parse_address(text: str) -> str:
    """`text` as a lower-case address.

    Takes any letter case that has a valid EIP-55 checksum or none (all upper or all lower case).
    Raises ValueError otherwise.
    """
    if not _ADDRESS.fullmatch(text):
        raise ValueError("an address is 0x and 40 hexadecimal digits")
    digits = text[2:]
    lower = "0x" + digits.lower()
    if digits not in (digits.lower(), digits.upper()) and digits != checksum_address(lower)[2:]:
        raise ValueError("the checksum of the address is wrong: check it for a typing error")
    return lower


def checksum_address(address: str) -> str:
    """`address` in the mixed case of EIP-55, for people to read and copy."""
    digits = address[2:].lower()
    marks = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(mark, 16) >= 8 else digit
        for digit, mark in zip(digits, marks[:40], strict=True)
    )
