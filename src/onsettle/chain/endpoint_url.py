"""The address of a node: half of it is usually a secret."""

import base64
from urllib.parse import quote

from yarl import URL

from onsettle.chain.jsonrpc import RpcError

_HIDDEN = "***"
_LONGEST = 300


class EndpointUrl:
    """Where requests go (`url`, `headers`) and what may be shown (`name`, `redact`)."""

    __slots__ = ("_secrets", "headers", "name", "url")

    def __init__(self, text: str) -> None:
        """Raises ValueError, which never shows `text`, when it is not an http(s) URL."""
        url = _parse(text)
        self.url = url.with_user(None)
        self.name = f"{url.scheme}://{_host(url)}:{url.port}"
        self.headers = {"Content-Type": "application/json"}
        if url.user is not None:
            pair = f"{url.user}:{url.password or ''}".encode()
            self.headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        self._secrets = _secrets(url)

    def __repr__(self) -> str:
        return f"EndpointUrl({self.name})"

    def redact(self, text: str) -> str:
        """`text` in one printable line of at most 300 characters, without our secrets.

        Nodes and proxies like to quote the key, or the URL, that they complain about.
        """
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return "".join(c if c.isprintable() else " " for c in text[:_LONGEST])

    def redact_error(self, error: RpcError) -> RpcError:
        """`error` without our secrets, also in its data."""
        return RpcError(error.code, self.redact(error.message), self._redact_data(error.data))

    def _redact_data(self, data: object) -> object:
        if isinstance(data, str):
            # Revert data is hex and long: it is kept whole.
            for secret in self._secrets:
                data = data.replace(secret, _HIDDEN)
            return data
        if isinstance(data, dict):
            return {key: self._redact_data(value) for key, value in data.items()}
        if isinstance(data, list):
            return [self._redact_data(item) for item in data]
        return data


def _parse(text: str) -> URL:
    try:
        url: URL | None = URL(text)
    except ValueError:
        url = None  # raised below, so that no traceback holds the original message
    if url is None or url.scheme not in ("http", "https") or not url.host:
        raise ValueError("an RPC endpoint is an http:// or https:// URL")
    return url


def _host(url: URL) -> str:
    host = url.host or ""
    return f"[{host}]" if ":" in host else host


def _secrets(url: URL) -> tuple[str, ...]:
    """What must never be shown, longest first.

    A path has words too ("v2", "rpc"): only segments that are long enough to be a key count.
    """
    found = {part for part in url.parts if len(part) >= 6}
    found.update(part for part in url.raw_parts if len(part) >= 6)
    found.update(value for value in url.query.values() if len(value) >= 3)
    found.update(value for value in (url.user, url.password) if value and len(value) >= 3)
    found.update({quote(value, safe="") for value in found})
    return tuple(sorted(found, key=len, reverse=True))
