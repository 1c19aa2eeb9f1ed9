"""How the text of each variable is read. No message repeats the value: it may be a secret."""

import base64
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from Crypto.Hash import keccak
from pydantic import AfterValidator, BeforeValidator, InstanceOf, SecretStr, ValidationInfo

from onsettle.config.database_url import database_url
from onsettle.domain.network import MintToken

_LONGEST_PATH = 1024


def _items(value: object) -> list[object]:
    if isinstance(value, str):
        items: list[object] = [item for part in value.split(",") if (item := part.strip())]
        if not items:
            # Who sets it wants something of it: for some of them nothing would mean everything.
            raise ValueError("is set and names nothing: name something, or leave it out")
        return items
    if isinstance(value, list | tuple):
        return list(value)
    raise ValueError("must be text with commas, or a list")


def _address(text: str) -> str:
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise ValueError("is not an address: 0x and 40 hexadecimal digits")
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper(), _checksummed(digits)):
        raise ValueError("is an address with a wrong checksum: one of its characters is mistyped")
    return text.lower()


def _checksummed(digits: str) -> str:
    """Upper case where the hash's digit is 8 or more (EIP-55)."""
    lower = digits.lower()
    marks = keccak.new(digest_bits=256, data=lower.encode()).hexdigest()
    return "".join(
        digit.upper() if mark >= "8" else digit
        for digit, mark in zip(lower, marks[:40], strict=True)
    )


def _mint_token(value: object) -> MintToken:
    if not isinstance(value, str):
        raise ValueError("must be text")
    match value.split(":"):
        case [token]:
            return MintToken(address=_address(token))
        case [token, price, payee]:
            if not re.fullmatch(r"[0-9]{1,78}", price) or not 0 < int(price) < 2**256:
                raise ValueError("has a price that is not a positive whole number of atomic units")
            return MintToken(address=_address(token), price=int(price), payee=_address(payee))
    raise ValueError("must be token, or token:price:payee")


def _http_url(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text) or not _names_http_host(text):
        raise ValueError("must be an http:// or https:// address")
    return text


def _names_http_host(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # its text repeats the value
        return False


def _key(value: object, info: ValidationInfo) -> str:
    """A private key as 0x and 64 lower-case digits, or the absolute path of a keystore."""
    if not isinstance(value, str):
        raise ValueError("must be text")
    digits = value.removeprefix("0x")
    if re.fullmatch(r"[0-9a-fA-F]{64}", digits):
        return f"0x{digits.lower()}"
    path = _file(value, info)
    if path is None:
        raise ValueError(
            "is neither a private key (64 hexadecimal digits) nor a keystore file;"
            " separate keys by commas"
        )
    if not _context(info)["has_password"]:
        raise ValueError("is a keystore, which ONSETTLE_KEYSTORE_PASSWORD has to open")
    return str(path)


def _file(text: str, info: ValidationInfo) -> Path | None:
    """The file of this name. What the system says about a name repeats it: it is not passed on."""
    if len(text) > _LONGEST_PATH:
        return None
    try:
        path = _path(Path(text), info)
        return path if path.is_file() else None
    except OSError:
        return None


def _context(info: ValidationInfo) -> Mapping[str, Any]:
    return info.context or {"directory": Path.cwd(), "has_password": False}


def _path(path: Path, info: ValidationInfo) -> Path:
    """Relative paths start at the working directory; by now, since it may change later."""
    try:
        path = path.expanduser()
    except RuntimeError:
        raise ValueError("begins with a home folder (~) that this machine does not have") from None
    return Path(_context(info)["directory"], path).absolute()


def _bearer_token(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[!-~]+", value):
        raise ValueError("must be a token without spaces, in ASCII")
    return value


def _webhook_secret(value: object) -> object:
    if isinstance(value, str):
        try:
            secret = base64.b64decode(value.removeprefix("whsec_"), validate=True)
        except ValueError:
            secret = b""
        if not value.startswith("whsec_") or not 24 <= len(secret) <= 64:
            raise ValueError("must be whsec_ and the base64 of 24 to 64 bytes")
    return value


def _port(value: object) -> object:
    if not re.fullmatch(r"[0-9]{1,5}", str(value)) or int(str(value)) > 65535:
        raise ValueError("must be a whole number from 0 to 65535")
    return value


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


Items = BeforeValidator(_items)
Address = Annotated[str, AfterValidator(_address)]
AbsolutePath = Annotated[Path, AfterValidator(_path)]
BearerToken = Annotated[SecretStr, BeforeValidator(_bearer_token)]
DatabaseUrl = Annotated[str, AfterValidator(database_url)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Key = Annotated[SecretStr, BeforeValidator(_key)]
MintableToken = Annotated[InstanceOf[MintToken], BeforeValidator(_mint_token)]
Port = Annotated[int, BeforeValidator(_port)]
WebhookSecret = Annotated[SecretStr, BeforeValidator(_webhook_secret)]
