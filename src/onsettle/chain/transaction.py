"""Our transactions as bytes: RLP, type 2 (EIP-1559) and legacy with EIP-155."""

from dataclasses import dataclass

from onsettle.chain.crypto import keccak

_EMPTY_LIST = b"\xc0"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTransaction:
    """The bytes to broadcast and their hash."""

    raw: bytes
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsignedTransaction:
    """One transaction before it is signed. `value` and fees in wei, fees per unit of gas.

    `legacy` makes a type 0 transaction whose gas price is `max_fee`.
    """

    chain_id: int
    nonce: int
    to: str
    value: int = 0
    data: bytes = b""
    gas_limit: int
    max_fee: int
    priority_fee: int
    legacy: bool = False

    def signing_payload(self) -> bytes:
        """The bytes whose Keccak-256 is signed."""
        if self.legacy:
            return _list(self._fields() + _int(self.chain_id) + b"\x80\x80")
        return b"\x02" + _list(self._fields())

    def signed(self, *, r: int, s: int, parity: int) -> SignedTransaction:
        """This transaction with its signature; `parity` is that of the curve point, 0 or 1."""
        if self.legacy:
            v = self.chain_id * 2 + 35 + parity
            raw = _list(self._fields() + _int(v) + _int(r) + _int(s))
        else:
            raw = b"\x02" + _list(self._fields() + _int(parity) + _int(r) + _int(s))
        return SignedTransaction(raw=raw, hash="0x" + keccak(raw).hex())

    def _fields(self) -> bytes:
        to = bytes.fromhex(self.to[2:])
        if len(to) != 20:
            raise ValueError("`to` is not an address")
        call = _int(self.gas_limit) + b"\x94" + to + _int(self.value) + _string(self.data)
        if self.legacy:
            return _int(self.nonce) + _int(self.max_fee) + call
        fees = _int(self.priority_fee) + _int(self.max_fee)
        return _int(self.chain_id) + _int(self.nonce) + fees + call + _EMPTY_LIST


def decode_transaction(raw: bytes) -> UnsignedTransaction:
    """What a signed transaction of ours says. Raises ValueError when it is not one of ours."""
    typed = raw[:1] == b"\x02"
    items = _items(raw[1:] if typed else raw)
    if len(items) != (12 if typed else 9):
        raise ValueError("not a transaction of type 2 or legacy")
    if typed:
        if items[8] != b"":
            raise ValueError("a transaction with an access list is not ours")
        chain_id, nonce, priority_fee, max_fee, gas_limit = map(_number, items[:5])
        to, value, data = items[5:8]
    else:
        nonce, max_fee, gas_limit = map(_number, items[:3])
        to, value, data = items[3:6]
        priority_fee, chain_id = max_fee, (_number(items[6]) - 35) // 2
    if len(to) != 20 or chain_id < 1:
        raise ValueError("a transaction that creates a contract, or names no chain, is not ours")
    return UnsignedTransaction(
        chain_id=chain_id,
        nonce=nonce,
        to="0x" + to.hex(),
        value=_number(value),
        data=data,
        gas_limit=gas_limit,
        max_fee=max_fee,
        priority_fee=priority_fee,
        legacy=not typed,
    )


def _int(value: int) -> bytes:
    if value == 0:
        return b"\x80"
    if 0 < value < 0x80:
        return bytes((value,))
    length = (value.bit_length() + 7) // 8
    if length > 32:
        raise ValueError("a number does not fit into 256 bits")
    return bytes((0x80 + length,)) + value.to_bytes(length, "big")


def _string(data: bytes) -> bytes:
    length = len(data)
    if length == 1 and data[0] < 0x80:
        return data
    return _length(length, 0x80) + data


def _list(payload: bytes) -> bytes:
    return _length(len(payload), 0xC0) + payload


def _length(length: int, base: int) -> bytes:
    if length < 56:
        return bytes((base + length,))
    size = (length.bit_length() + 7) // 8
    return bytes((base + 55 + size,)) + length.to_bytes(size, "big")


def _number(data: bytes) -> int:
    if len(data) > 32 or data[:1] == b"\0":
        raise ValueError("not a canonical RLP number")
    return int.from_bytes(data, "big")


def _items(raw: bytes) -> list[bytes]:
    """The contents of the items of the one list that `raw` is."""
    is_list, start, end = _span(raw, 0)
    if not is_list or end != len(raw):
        raise ValueError("not one RLP list")
    items: list[bytes] = []
    while start < end:
        _, begin, stop = _span(raw, start)
        items.append(raw[begin:stop])
        start = stop
    return items


def _span(raw: bytes, at: int) -> tuple[bool, int, int]:
    """(is a list, begin, end) of the content of the item at `at`."""
    if at >= len(raw):
        raise ValueError("the RLP is cut off")
    prefix = raw[at]
    if prefix < 0x80:
        return False, at, at + 1
    is_list = prefix >= 0xC0
    size = prefix - (0xC0 if is_list else 0x80)
    begin = at + 1
    if size > 55:
        begin += size - 55
        size = int.from_bytes(raw[at + 1 : begin], "big")
    if begin + size > len(raw):
        raise ValueError("the RLP is cut off")
    return is_list, begin, begin + size
