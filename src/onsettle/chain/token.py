"""What a token says about itself, read once and checked before any money moves."""

from collections.abc import Sequence

from onsettle.chain import abi
from onsettle.chain.crypto import domain_separator
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.chain.reverts import is_revert
from onsettle.domain.network import TokenDomain

# Tokens that answer no version(): "2" is that of Circle's USDC, "1" that of most others.
_VERSIONS = ("2", "1")
_LONGEST_NAME = 100
# An answer of ERC-5267 has seven words at least; a fallback function may answer fewer.
_DESCRIPTION = 7 * 32


class TokenError(Exception):
    """A token that can't be used, with a stable code.

    Codes: asset_not_a_contract, asset_domain_mismatch, asset_unreadable,
    mint_token_without_has_minted.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


async def read_domain(endpoint: Endpoint, chain_id: int, address: str) -> TokenDomain:
    """The EIP-712 domain of the payment token at `address`, checked against the token itself.

    Raises TokenError when the token is at fault, RpcUnavailable when the node is.
    """
    code, *answers = await _read(
        endpoint,
        address,
        (abi.NAME, abi.VERSION, abi.DECIMALS, abi.DOMAIN_SEPARATOR, abi.EIP712_DOMAIN),
    )
    if not code:
        raise TokenError("asset_not_a_contract", f"{address} has no code on chain {chain_id}")
    name, version, decimals, separator, described = answers
    # A fallback function may answer nothing where there is no such method.
    own = separator[:32] if separator and len(separator) >= 32 else None
    candidates = _described(described, chain_id, address)
    if own is not None or len(described or b"") < _DESCRIPTION:
        # What name() and version() say may be of the code: eip712Domain() is what payers sign.
        candidates += _candidates(_text(name), _text(version))
    if own is not None and not candidates:
        # A guess is safe where the token's own separator proves it.
        candidates = _guesses(_text(name))
    places = _decimals(decimals)
    if not candidates or places is None:
        raise TokenError(
            "asset_unreadable",
            f"{address} answers no decimals(), or does not name its EIP-712 domain: "
            "is it an EIP-3009 token?",
        )
    for candidate in candidates:
        domain = _domain(chain_id, address, candidate, places)
        if own in (None, domain.separator):
            return domain
    raise TokenError(
        "asset_domain_mismatch",
        f"the DOMAIN_SEPARATOR of {address} is not that of its name and version on chain "
        f"{chain_id}: signatures of payers can't be checked",
    )


async def check_mint_token(endpoint: Endpoint, address: str) -> None:
    """Raise TokenError('mint_token_without_has_minted') unless `hasMinted(bytes32)` answers."""
    code, answer = await _read(endpoint, address, (abi.has_minted("0x" + "00" * 32),))
    try:
        if not code or answer is None:
            raise ValueError("no answer")
        abi.decode_bool(answer)
    except ValueError:
        raise TokenError(
            "mint_token_without_has_minted",
            f"{address} does not answer hasMinted(bytes32): without it a mint could be doubled",
        ) from None


async def _read(endpoint: Endpoint, address: str, calls: Sequence[bytes]) -> list[bytes | None]:
    """The code at `address`, then what each call returns; None where the contract reverts."""
    requests = [Call("eth_getCode", (address, "latest"))]
    requests += [
        Call("eth_call", ({"to": address, "data": "0x" + data.hex()}, "latest")) for data in calls
    ]
    read: list[bytes | None] = []
    for answer in await endpoint.batch(requests):
        if isinstance(answer, RpcUnavailable):
            raise answer
        if isinstance(answer, RpcError):
            if not is_revert(answer):
                raise RpcUnavailable(endpoint.name, f"{address} can't be read: {answer}")
            read.append(None)
        else:
            read.append(_bytes(answer))
    return read


def _bytes(answer: object) -> bytes | None:
    if not isinstance(answer, str) or not answer.startswith("0x"):
        return None
    try:
        return bytes.fromhex(answer[2:])
    except ValueError:
        return None


def _domain(chain_id: int, address: str, candidate: tuple[str, str], decimals: int) -> TokenDomain:
    name, version = candidate
    return TokenDomain(
        chain_id=chain_id,
        address=address,
        name=name,
        version=version,
        decimals=decimals,
        separator=domain_separator(name=name, version=version, chain_id=chain_id, address=address),
    )


def _candidates(name: str | None, version: str | None) -> list[tuple[str, str]]:
    return [(name, version)] if name is not None and version is not None else []


def _described(data: bytes | None, chain_id: int, address: str) -> list[tuple[str, str]]:
    """Name and version by ERC-5267, for tokens without version()."""
    try:
        name, version, chain, contract = abi.decode_eip712_domain(data or b"")
    except ValueError:
        return []
    if (chain, contract) != (chain_id, address) or not (_readable(name) and _readable(version)):
        return []
    return [(name, version)]


def _guesses(name: str | None) -> list[tuple[str, str]]:
    return [(name, version) for version in _VERSIONS] if name is not None else []


def _text(data: bytes | None) -> str | None:
    try:
        text = abi.decode_string(data) if data else None
    except ValueError:
        return None
    return text if text is not None and _readable(text) else None


def _readable(text: str) -> bool:
    """Whether it can be stored and shown as it is."""
    return 0 < len(text) <= _LONGEST_NAME and text.isprintable()


def _decimals(data: bytes | None) -> int | None:
    try:
        places = abi.decode_uint(data) if data else None
    except ValueError:
        return None
    return places if places is not None and places < 256 else None
