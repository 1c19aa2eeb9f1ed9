"""What was read from the chain."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Where a log stands: the contract that wrote it, its transaction and its block."""

    address: str
    tx_hash: str
    block_number: int
    block_hash: str
    log_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationUsed(Event):
    """EIP-3009: the authorization with this nonce moved money (not necessarily to us)."""

    payer: str
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationCanceled(Event):
    """EIP-3009: the payer took the authorization back."""

    payer: str
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Event):
    """ERC-20; `value` in atomic token units."""

    sender: str
    recipient: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted(Event):
    """A mintable token's `TokensMinted`; `key` is the bytes32 that makes a mint unique."""

    to: str
    amount: int
    key: str


ChainEvent = AuthorizationUsed | AuthorizationCanceled | Transfer | Minted
