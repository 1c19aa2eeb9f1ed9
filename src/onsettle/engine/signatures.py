"""Whether the payer signed: by the payer's key, or by what the payer's contract says (ERC-1271)."""

from collections.abc import Sequence
from dataclasses import replace

from onsettle.chain import abi
from onsettle.chain.crypto import authorization_digest, recover
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.chain.reverts import is_revert
from onsettle.engine.network import Network, unhex
from onsettle.engine.request import Refused, Request

_HALF = 1 << 255


def by_key(request: Request, separator: bytes) -> Request | None:
    """The request with its signature as the token takes it; None: not made by the payer's key."""
    auth = request.authorization
    signature = _for_token(auth.signature)
    if signature is None:
        return None
    if recover(authorization_digest(separator, auth), signature) != auth.payer:
        return None
    if signature == auth.signature:
        return request
    return replace(request, authorization=replace(auth, signature=signature))


def _for_token(signature: bytes) -> bytes | None:
    """r || s || v with v 27 or 28; payers also send v as 0 or 1, and the 64 bytes of EIP-2098."""
    if len(signature) == 65:
        if signature[64] in (0, 1):
            return signature[:64] + bytes([signature[64] + 27])
        return signature
    if len(signature) == 64:
        folded = int.from_bytes(signature[32:], "big")
        v = 28 if folded & _HALF else 27
        return signature[:32] + (folded & ~_HALF).to_bytes(32, "big") + bytes([v])
    return None


async def by_contract(network: Network, requests: Sequence[Request]) -> list[Refused | None]:
    """Ask each payer's contract; None: it says yes."""
    calls = []
    for request in requests:
        auth = request.authorization
        digest = authorization_digest(network.domains[request.asset].separator, auth)
        data = "0x" + abi.is_valid_signature(digest, auth.signature).hex()
        calls.append(Call("eth_call", ({"to": auth.payer, "data": data}, "latest")))
    try:
        answers = await network.pool.batch(calls)
    except RpcUnavailable as error:
        answers = [error] * len(calls)
    return [_verdict(answer) for answer in answers]


def _verdict(answer: object) -> Refused | None:
    if isinstance(answer, RpcUnavailable) or (
        isinstance(answer, RpcError) and not is_revert(answer)
    ):
        return Refused(
            "chain_unavailable", "the signature may be a contract's: no node answers", 503
        )
    try:
        said = unhex(answer)
    except RpcError:
        said = b""
    # A whole word: a fallback that answers anything must not pass for a yes.
    if len(said) >= 32 and said[:32] == abi.MAGIC_VALID_SIGNATURE:
        return None
    return Refused("signature_invalid", "the signature is not the payer's for this token and chain")
