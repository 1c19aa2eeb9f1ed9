"""The few contract calls we make, encoded and decoded by hand.

Every layout here is fixed, so a hex template per call does what a general ABI library does, many
times faster (see the golden tests against eth-abi). Decoders raise ValueError on data that does
not have the expected form.
"""

from collections.abc import Sequence

from onsettle.chain.codec import (
    as_bool,
    bytes_at,
    decode_address,
    decode_bool,
    decode_eip712_domain,
    decode_string,
    decode_uint,
    offset_at,
    padded,
    selector,
    topic,
    word,
    word_at,
)
from onsettle.chain.reverts import revert_reason
from onsettle.domain.authorization import Authorization

__all__ = [
    "DECIMALS",
    "DOMAIN_SEPARATOR",
    "EIP712_DOMAIN",
    "MAGIC_VALID_SIGNATURE",
    "NAME",
    "TOPIC_AUTHORIZATION_CANCELED",
    "TOPIC_AUTHORIZATION_USED",
    "TOPIC_TOKENS_MINTED",
    "TOPIC_TRANSFER",
    "VERSION",
    "aggregate3",
    "authorization_state",
    "balance_of",
    "batch_mint",
    "decode_address",
    "decode_aggregate3",
    "decode_bool",
    "decode_eip712_domain",
    "decode_string",
    "decode_uint",
    "has_minted",
    "is_valid_signature",
    "mint",
    "revert_reason",
    "transfer_with_authorization",
]

TOPIC_AUTHORIZATION_USED = topic("AuthorizationUsed(address,bytes32)")
TOPIC_AUTHORIZATION_CANCELED = topic("AuthorizationCanceled(address,bytes32)")
TOPIC_TRANSFER = topic("Transfer(address,address,uint256)")
TOPIC_TOKENS_MINTED = topic("TokensMinted(address,uint256,bytes32)")

_TRANSFER_ARGUMENTS = "address,address,uint256,uint256,uint256,bytes32"
_TRANSFER_VRS = selector(
    f"transferWithAuthorization({_TRANSFER_ARGUMENTS},uint8,bytes32,bytes32)"
).hex()
_TRANSFER_BYTES = selector(f"transferWithAuthorization({_TRANSFER_ARGUMENTS},bytes)").hex()
_AUTHORIZATION_STATE = selector("authorizationState(address,bytes32)").hex()
_BALANCE_OF = selector("balanceOf(address)").hex()
_MINT = selector("mint(address,bytes32)").hex()
_BATCH_MINT = selector("batchMint(address[],bytes32[])").hex()
_HAS_MINTED = selector("hasMinted(bytes32)").hex()
_IS_VALID_SIGNATURE = selector("isValidSignature(bytes32,bytes)").hex()
_AGGREGATE3 = selector("aggregate3((address,bool,bytes)[])")

NAME = selector("name()")
VERSION = selector("version()")
DECIMALS = selector("decimals()")
DOMAIN_SEPARATOR = selector("DOMAIN_SEPARATOR()")
EIP712_DOMAIN = selector("eip712Domain()")

#: What `isValidSignature` answers, padded to a word, when the signature is good (ERC-1271).
MAGIC_VALID_SIGNATURE = bytes.fromhex(_IS_VALID_SIGNATURE) + bytes(28)


def _fixed(template: str, words: int) -> bytes:
    data = bytes.fromhex(template)
    if len(data) != 4 + 32 * words:
        raise ValueError("an argument does not fit its ABI type")
    return data


def transfer_with_authorization(auth: Authorization) -> bytes:
    """The call that settles `auth` (EIP-3009).

    A signature of 65 bytes that ends in 27 or 28 goes by the (v, r, s) overload that every EIP-3009
    token has; any other goes by the `bytes` overload of tokens that know ERC-1271.
    """
    zeros = "0" * 24
    head = (
        f"{zeros}{auth.payer[2:]}{zeros}{auth.pay_to[2:]}"
        f"{auth.value:064x}{auth.valid_after:064x}{auth.valid_before:064x}{auth.nonce[2:]}"
    )
    signature = auth.signature
    if len(signature) == 65 and signature[64] in (27, 28):
        return _fixed(f"{_TRANSFER_VRS}{head}{signature[64]:064x}{signature[:64].hex()}", 9)
    call = _fixed(f"{_TRANSFER_BYTES}{head}{7 * 32:064x}", 7)
    return call + word(len(signature)) + padded(signature)


def authorization_state(payer: str, nonce: str) -> bytes:
    """`authorizationState`: answers a bool that is true for used and for cancelled."""
    return _fixed(f"{_AUTHORIZATION_STATE}{'0' * 24}{payer[2:]}{nonce[2:]}", 2)


def balance_of(address: str) -> bytes:
    """ERC-20 `balanceOf`: answers atomic units."""
    return _fixed(f"{_BALANCE_OF}{'0' * 24}{address[2:]}", 1)


def mint(to: str, key: str) -> bytes:
    """`mint(to, key)`; the token takes each bytes32 `key` once."""
    return _fixed(f"{_MINT}{'0' * 24}{to[2:]}{key[2:]}", 2)


def batch_mint(tos: Sequence[str], keys: Sequence[str]) -> bytes:
    """`batchMint(tos, keys)`: one unit for each pair."""
    count = len(tos)
    if len(keys) != count:
        raise ValueError("batchMint needs one key for each recipient")
    head = f"{_BATCH_MINT}{64:064x}{96 + 32 * count:064x}{count:064x}"
    recipients = "".join("0" * 24 + to[2:] for to in tos)
    return _fixed(
        f"{head}{recipients}{count:064x}{''.join(key[2:] for key in keys)}", 4 + 2 * count
    )


def has_minted(key: str) -> bytes:
    """`hasMinted(key)`: answers whether the token has minted under this key."""
    return _fixed(f"{_HAS_MINTED}{key[2:]}", 1)


def is_valid_signature(digest: bytes, signature: bytes) -> bytes:
    """ERC-1271 `isValidSignature`; compare the answer with MAGIC_VALID_SIGNATURE."""
    call = _fixed(f"{_IS_VALID_SIGNATURE}{digest.hex()}{64:064x}", 2)
    return call + word(len(signature)) + padded(signature)


def aggregate3(calls: Sequence[tuple[str, bool, bytes]]) -> bytes:
    """Multicall3 `aggregate3`: each call is (target, allow_failure, data)."""
    offsets: list[bytes] = []
    bodies: list[bytes] = []
    offset = 32 * len(calls)
    for target, allow_failure, data in calls:
        address = bytes.fromhex(target[2:])
        if len(address) != 20:
            raise ValueError("the target of a call is not an address")
        body = b"".join(
            (bytes(12), address, word(allow_failure), word(96), word(len(data)), padded(data))
        )
        offsets.append(word(offset))
        bodies.append(body)
        offset += len(body)
    return b"".join((_AGGREGATE3, word(32), word(len(calls)), *offsets, *bodies))


def decode_aggregate3(data: bytes) -> list[tuple[bool, bytes]]:
    """What each call of `aggregate3` answered: (success, returned data)."""
    start = offset_at(data, 0, 0)
    count = word_at(data, start)
    base = start + 32
    if count > len(data) // 32:
        raise ValueError("the answer of aggregate3 is cut off")
    results: list[tuple[bool, bytes]] = []
    for index in range(count):
        item = offset_at(data, base + 32 * index, base)
        returned = bytes_at(data, offset_at(data, item + 32, item))
        results.append((as_bool(word_at(data, item)), returned))
    return results
