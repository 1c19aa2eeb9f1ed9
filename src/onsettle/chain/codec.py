"""ABI words: the pieces that calls and answers are made of.

All decoders raise ValueError on data that does not have the expected form: it comes from a node or
from somebody's contract.
"""

from onsettle.chain.keccak import keccak


def selector(signature: str) -> bytes:
    """The first four bytes of the hash of a function or error signature."""
    return keccak(signature.encode())[:4]


def topic(signature: str) -> str:
    """The first topic of an event with this signature."""
    return "0x" + keccak(signature.encode()).hex()


def unhex(text: str) -> bytes:
    """The bytes of hex with 0x, two digits for each; raises ValueError on anything else."""
    # Faster than a pattern by ten times. Only that it skips white space must be seen.
    data = bytes.fromhex(text[2:])
    if text[:2] != "0x" or 2 * len(data) + 2 != len(text):
        raise ValueError("this is not hex with 0x")
    return data


def word(value: int) -> bytes:
    """`value` as a uint256."""
    return value.to_bytes(32, "big")


def padded(data: bytes) -> bytes:
    """`data` filled up with zeros to whole words."""
    return data + bytes(-len(data) % 32)


def decode_uint(data: bytes) -> int:
    """One uint256."""
    return word_at(whole_word(data), 0)


def decode_bool(data: bytes) -> bool:
    """One bool; any word but 0 and 1 is refused."""
    return as_bool(word_at(whole_word(data), 0))


def decode_address(data: bytes) -> str:
    """One address, lower-case."""
    raw = whole_word(data)
    if any(raw[:12]):
        raise ValueError("this is not an address")
    return "0x" + raw[12:].hex()


def decode_string(data: bytes) -> str:
    """A string, or the bytes32 that some old tokens answer in its place."""
    raw = data.rstrip(b"\0") if len(data) == 32 else bytes_at(data, offset_at(data, 0, 0))
    return raw.decode("utf-8")


def decode_eip712_domain(data: bytes) -> tuple[str, str, int, str]:
    """(name, version, chain id, verifying contract) of an ERC-5267 `eip712Domain()` answer.

    Raises ValueError for a domain that is not of these four fields, too.
    """
    if data[:1] != b"\x0f":
        raise ValueError("the domain has other fields")
    name = bytes_at(data, offset_at(data, 32, 0)).decode("utf-8")
    version = bytes_at(data, offset_at(data, 64, 0)).decode("utf-8")
    return name, version, word_at(data, 96), decode_address(data[128:160])


def whole_word(data: bytes) -> bytes:
    """The first word of `data`."""
    # Longer is fine: Solidity's own decoder ignores what follows, and some proxies append to it.
    if len(data) < 32:
        raise ValueError("the answer is shorter than one word")
    return data[:32]


def word_at(data: bytes, at: int) -> int:
    """The uint256 at byte `at`."""
    if at + 32 > len(data):
        raise ValueError("the answer is cut off")
    return int.from_bytes(data[at : at + 32], "big")


def as_bool(value: int) -> bool:
    """The bool that a word stands for."""
    if value > 1:
        raise ValueError("this is not a bool")
    return value == 1


def offset_at(data: bytes, at: int, base: int) -> int:
    """Where the offset in the word at `at` points, counted from `base`."""
    offset = word_at(data, at)
    if offset > len(data):
        raise ValueError("an offset points outside the answer")
    return base + offset


def bytes_at(data: bytes, at: int) -> bytes:
    """The dynamic bytes (or string) whose length stands at `at`."""
    length = word_at(data, at)
    if length > len(data) - at - 32:
        raise ValueError("the answer is cut off")
    return data[at + 32 : at + 32 + length]
