"""Signing our transactions, and reading them back."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from coincurve import PrivateKey
from eth_keyfile.keyfile import decode_keyfile_json
from eth_keys.backends import get_backend_class
from eth_keys.backends.coincurve import CoinCurveECCBackend

from onsettle.chain.crypto import address_of, keccak
from onsettle.chain.transaction import SignedTransaction, UnsignedTransaction, decode_transaction

__all__ = [
    "LocalSigner",
    "SignedTransaction",
    "Signer",
    "SignerError",
    "UnsignedTransaction",
    "assert_native",
    "decode_transaction",
    "load_signers",
]

_LONGEST_PATH = 1024
_HEX_KEY = re.compile(r"(?:0[xX])?[0-9a-fA-F]{64}")


class SignerError(ValueError):
    """A key that can't be used. The message never shows any part of it."""


class Signer(Protocol):
    """Whatever can sign for one wallet."""

    @property
    def address(self) -> str:
        """The wallet, lower-case."""

    def sign(self, tx: UnsignedTransaction) -> SignedTransaction:
        """The bytes to broadcast, and their hash."""


class LocalSigner:
    """A key in this process's memory."""

    __slots__ = ("_address", "_key")

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self._address = address_of(key.public_key)

    @classmethod
    def from_key(cls, text: str) -> "LocalSigner":
        """From a private key in hex. Raises SignerError."""
        if not _HEX_KEY.fullmatch(text):
            raise SignerError("a private key is 64 hexadecimal digits")
        try:
            return cls(PrivateKey(bytes.fromhex(text[-64:])))
        except ValueError:
            pass
        raise SignerError("this number is not a private key of secp256k1")

    @classmethod
    def from_keystore(cls, path: Path, password: str) -> "LocalSigner":
        """From an encrypted JSON keystore (version 3). Raises SignerError."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SignerError(f"the keystore can't be read: {error.strerror}") from None
        except ValueError:
            raise SignerError("the keystore is not JSON") from None
        try:
            secret = decode_keyfile_json(content, password.encode())
            return cls(PrivateKey(secret))
        except ValueError as error:
            wrong_password = "MAC" in str(error)
        except (KeyError, TypeError, AttributeError, NotImplementedError):
            wrong_password = False
        raise SignerError(
            "the password does not open the keystore"
            if wrong_password
            else "the file is not a version 3 keystore"
        )

    @property
    def address(self) -> str:
        """The wallet, lower-case."""
        return self._address

    def sign(self, tx: UnsignedTransaction) -> SignedTransaction:
        """The bytes to broadcast, and their hash. The same transaction gives the same bytes."""
        signature = self._key.sign_recoverable(keccak(tx.signing_payload()), hasher=None)
        return tx.signed(
            r=int.from_bytes(signature[:32], "big"),
            s=int.from_bytes(signature[32:64], "big"),
            parity=signature[64],
        )

    def __repr__(self) -> str:
        return f"LocalSigner({self._address})"

    def __reduce__(self) -> str:
        raise TypeError("a signer holds a key and is never pickled")


def load_signers(specs: Sequence[str], password: str | None) -> list[LocalSigner]:
    """A signer for each private key or keystore path in `specs`.

    Raises SignerError naming the position of what is wrong (counted from 1), never its content.
    """
    signers: list[LocalSigner] = []
    for position, spec in enumerate(specs, start=1):
        try:
            signer = _load(spec.strip(), password)
        except SignerError as error:
            raise SignerError(f"key {position} of {len(specs)}: {error}") from None
        if any(other.address == signer.address for other in signers):
            raise SignerError(f"key {position} of {len(specs)}: the wallet is listed twice")
        signers.append(signer)
    return signers


def _load(spec: str, password: str | None) -> LocalSigner:
    if _HEX_KEY.fullmatch(spec):
        return LocalSigner.from_key(spec)
    path = _file(spec)
    if path is None:
        raise SignerError(
            "neither a private key (64 hexadecimal digits) nor a keystore file;"
            " separate keys by commas"
        )
    if password is None:
        raise SignerError("a keystore needs ONSETTLE_KEYSTORE_PASSWORD")
    return LocalSigner.from_keystore(path, password)


def _file(spec: str) -> Path | None:
    """The file of this name; a mistyped key must not come back as "no such file: <key>"."""
    if not spec or len(spec) > _LONGEST_PATH:
        return None
    try:
        path = Path(spec).expanduser()
        return path if path.is_file() else None
    except (OSError, RuntimeError):  # too long, not ours to look at, or no such home folder
        return None


def assert_native() -> None:
    """Raise RuntimeError unless signing really runs in libsecp256k1.

    Without coincurve, eth-account falls back silently to Python at a tenth of the speed; handlers
    and the facilitator's libraries use it beside us.
    """
    if not issubclass(get_backend_class(), CoinCurveECCBackend):
        raise RuntimeError("eth-keys does not use coincurve: install coincurve")
