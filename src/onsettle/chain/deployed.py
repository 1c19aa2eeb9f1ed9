"""Which addresses have code, asked in one call."""

from collections.abc import Sequence

from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable

# Creation code, run by `eth_call` without a recipient. It reads the 32-byte words that follow it
# and returns one byte for each: 1 where the address in the word has code.
#
#   0: i = 0
#   2: loop: offset = 45 + 32 * i; leave when the code is not longer than that
#  17: copy the word to memory 0, EXTCODESIZE of it, store "not zero" at memory 32 + i
#  34: i = i + 1, again
#  40: leave: return memory 32 .. 32 + i
_PROGRAM = bytes.fromhex(
    "60005b80602002602d01803811156028576020906000396000513b151581602001536001016002565b506020f3"
)
# The creation code of a call may have 49,152 bytes (EIP-3860).
_AT_ONCE = 1000


async def with_code(endpoint: Endpoint, addresses: Sequence[str]) -> set[str]:
    """Those of `addresses` that have code now, delegated accounts (EIP-7702) among them.

    Raises RpcUnavailable, and RpcError when the node answers neither way of asking.
    """
    found: set[str] = set()
    for start in range(0, len(addresses), _AT_ONCE):
        some = addresses[start : start + _AT_ONCE]
        data = _PROGRAM + b"".join(bytes(12) + bytes.fromhex(a[2:]) for a in some)
        try:
            answer = await endpoint.call("eth_call", {"data": "0x" + data.hex()}, "latest")
            flags = bytes.fromhex(answer[2:]) if isinstance(answer, str) else b""
        except (RpcError, ValueError):
            flags = b""
        if len(flags) != len(some):
            found |= await _one_by_one(endpoint, some)
            continue
        found.update(a for a, flag in zip(some, flags, strict=True) if flag)
    return found


async def _one_by_one(endpoint: Endpoint, addresses: Sequence[str]) -> set[str]:
    codes = await endpoint.batch([Call("eth_getCode", (a, "latest")) for a in addresses])
    for code in codes:
        if isinstance(code, RpcError | RpcUnavailable):
            raise code
    return {a for a, code in zip(addresses, codes, strict=True) if code != "0x"}
