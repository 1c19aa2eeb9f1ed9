"""A network as its operator configures it, and a payment token as it describes itself."""

from dataclasses import dataclass

MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11"


@dataclass(frozen=True, slots=True, kw_only=True)
class MintToken:
    """A token that completed payments may mint; price is in atomic units of the asset, per unit."""

    address: str
    price: int | None = None
    payee: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """One chain. Addresses are lower-case; an empty `pay_to` accepts any recipient."""

    name: str
    rpc_urls: tuple[str, ...]
    assets: tuple[str, ...]
    mint_tokens: tuple[MintToken, ...] = ()
    pay_to: tuple[str, ...] = ()
    multicall: str = MULTICALL3


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDomain:
    """The EIP-712 domain of a payment token, read from the token once and kept."""

    chain_id: int
    address: str
    name: str
    version: str
    decimals: int
    separator: bytes
