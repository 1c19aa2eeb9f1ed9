"""Why a call reverted, from the bytes that it returned."""

import re

from onsettle.chain.codec import decode_string, decode_uint, selector
from onsettle.chain.jsonrpc import RpcError

_LONGEST = 300

_PANICS = {
    0x00: "generic panic",
    0x01: "assertion failed",
    0x11: "arithmetic overflow or underflow",
    0x12: "division by zero",
    0x21: "invalid enum value",
    0x22: "badly encoded storage array",
    0x31: "pop of an empty array",
    0x32: "array index out of bounds",
    0x41: "out of memory",
    0x51: "call of an uninitialized function",
}

# Errors of OpenZeppelin's contracts, of EIP-3009 tokens, and of mintable tokens as people write
# them. A name serves the reader; nothing is decided by the arguments, so they are not decoded.
_KNOWN = {
    selector(signature): signature.partition("(")[0]
    for signature in (
        "ERC20InsufficientBalance(address,uint256,uint256)",
        "ERC20InsufficientAllowance(address,uint256,uint256)",
        "ERC20InvalidSender(address)",
        "ERC20InvalidReceiver(address)",
        "ERC20InvalidApprover(address)",
        "ERC20InvalidSpender(address)",
        "ERC20ExceededCap(uint256,uint256)",
        "ERC20InvalidCap(uint256)",
        "ERC721InvalidReceiver(address)",
        "ERC1155InvalidReceiver(address)",
        "EnforcedPause()",
        "ExpectedPause()",
        "OwnableUnauthorizedAccount(address)",
        "AccessControlUnauthorizedAccount(address,bytes32)",
        "AccessControlBadConfirmation()",
        "ReentrancyGuardReentrantCall()",
        "ECDSAInvalidSignature()",
        "ECDSAInvalidSignatureLength(uint256)",
        "ECDSAInvalidSignatureS(bytes32)",
        "ERC2612ExpiredSignature(uint256)",
        "ERC2612InvalidSigner(address,address)",
        "InvalidAccountNonce(address,uint256)",
        "InvalidShortString()",
        "StringTooLong(string)",
        "FailedCall()",
        "InsufficientBalance(uint256,uint256)",
        "SafeERC20FailedOperation(address)",
        "AddressEmptyCode(address)",
        "AlreadyMinted()",
        "AlreadyMinted(bytes32)",
        "AlreadyMinted(address,bytes32)",
        "MaxSupplyExceeded()",
        "MaxSupplyReached()",
        "SupplyCapExceeded()",
        "CapExceeded()",
        "CapReached()",
        "LengthMismatch()",
        "ArrayLengthMismatch()",
        "InvalidSignature()",
        "InvalidSigner()",
        "SignatureExpired()",
        "AuthorizationExpired()",
        "AuthorizationNotYetValid()",
        "AuthorizationUsedOrCanceled()",
        "AuthorizationAlreadyUsed()",
        "AccountBlocked(address)",
        "Unauthorized()",
        "NotMinter()",
        "NotOwner()",
        "Paused()",
        "ZeroAddress()",
    )
}

_EXECUTION = re.compile(
    r"revert|vm exception|vm execution error|invalid opcode|bad instruction|bad jump"
    r"|invalid jump|stack (under|over)flow|out of gas"
    # anvil names every one of them so: "EVM error OutOfGas"
    r"|evm error [a-z]+"
)
# Some nodes put a word before the hex ("Reverted 0x08c379a0...").
_HEX = re.compile(r"0x((?:[0-9a-fA-F]{2})*)$")

_ERROR = selector("Error(string)")
_PANIC = selector("Panic(uint256)")


def revert_reason(data: bytes) -> str:
    """The reason in `data`, in one line of at most 300 characters.

    The text of `Error(string)`; "Panic 0x11 (...)"; the bare name of a well-known custom error, or
    else its selector as "0x........"; "" when the contract gave no reason. Never raises.
    """
    if len(data) < 4:
        return "0x" + data.hex() if data else ""
    kind, arguments = data[:4], data[4:]
    try:
        if kind == _ERROR:
            return _readable(decode_string(arguments))
        if kind == _PANIC:
            code = decode_uint(arguments)
            return f"Panic 0x{code:02x} ({_PANICS.get(code, 'unknown')})"
    except ValueError:
        return "0x" + kind.hex()
    return _KNOWN.get(kind, "0x" + kind.hex())


def is_revert(error: RpcError) -> bool:
    """Whether `eth_call` or `eth_estimateGas` answered that the call itself fails on the chain.

    Any other error (a missing state, an overloaded node) says nothing about the call.
    """
    return error.code == 3 or _EXECUTION.search(error.message.lower()) is not None


def revert_data(error: RpcError) -> bytes:
    """What the contract returned when it reverted; empty when the node does not say."""
    data = error.data
    for _ in range(3):
        if isinstance(data, dict):
            data = data.get("data", data.get("output"))
    found = _HEX.search(data) if isinstance(data, str) else None
    return bytes.fromhex(found[1]) if found else b""


def _readable(text: str) -> str:
    # The text is somebody's: control characters could forge log lines, and PostgreSQL takes no NUL.
    return "".join(c if c.isprintable() else " " for c in text[:_LONGEST]).strip()
