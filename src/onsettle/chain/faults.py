"""What an HTTP exchange or a node says when it does not answer."""

import email.utils
import time
from collections.abc import Mapping

import aiohttp

from onsettle.chain.jsonrpc import RpcError


def reason_of(error: Exception) -> str:
    """What went wrong, in our own words: the texts of these exceptions quote the URL."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "the host name can't be resolved"
        case aiohttp.ClientSSLError() | aiohttp.ClientConnectorCertificateError():
            return "TLS failed"
        case aiohttp.ClientConnectorError() | ConnectionRefusedError():
            return "no connection"
        case aiohttp.ClientPayloadError():
            return "the answer was cut off"
        case aiohttp.ServerDisconnectedError() | OSError():
            return "the connection broke"
        case ValueError() if not isinstance(error, aiohttp.ClientError):
            return "the answer is larger than 64 MiB"
        case _:
            return f"the answer is not HTTP ({type(error).__name__})"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header (RFC 9110: a number or a date)."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None


def backoff(error: RpcError) -> float | None:
    """How long a rate limit error asks us to wait, in Infura's words."""
    rate = error.data.get("rate", error.data) if isinstance(error.data, dict) else None
    seconds = rate.get("backoff_seconds") if isinstance(rate, dict) else None
    return float(seconds) if isinstance(seconds, int | float) else None
