"""How `DATABASE_URL` is read: so strictly that no password can be taken for a host or a port.

What the driver can't read it quotes in its error, so nothing of that kind may reach it.
"""

import re
from urllib.parse import parse_qsl

_SCHEME = re.compile(r"postgres(?:ql)?://")
_PORT = re.compile(r"[0-9]{1,5}")
# A name, a number, a socket's folder as %2F...; or an IPv6 address in brackets.
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[\w.%-]*)(?::([0-9]{1,5}))?")
_ENCODE = (
    "can't be read: percent-encode special characters of the password and the user"
    " (% as %25, @ as %40, : as %3A, / as %2F, ? as %3F, # as %23)"
)


def database_url(text: str) -> str:
    """The text as it is, if libpq and asyncpg read the same in it. Raises ValueError."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise ValueError("must start with postgresql://")
    rest = text[scheme.end() :]
    authority, path, query = _parts(rest)
    user, at, hosts = authority.rpartition("@")
    if (
        re.search(r"[^!-~]|#|%(?![0-9A-Fa-f]{2})", rest)
        or re.search(r"[][@]", user)
        or "@" in path
        or user.count(":") > 1
        or not _are_hosts(hosts)
        # Without a user before the hosts, this is the rest of a password with a question mark.
        or ("@" in query and not at)
        or not _is_query(query)
    ):
        raise ValueError(_ENCODE)
    return text


def _parts(rest: str) -> tuple[str, str, str]:
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    return authority, path, query


def _are_hosts(text: str) -> bool:
    hosts = text.split(",")
    found = [_HOST.fullmatch(host) for host in hosts]
    return all(
        each is not None and (each[1] is None or 0 < int(each[1]) < 65536) for each in found
    ) and (len(hosts) == 1 or all(hosts))


def _is_query(text: str) -> bool:
    try:
        pairs = dict(parse_qsl(text, strict_parsing=True, keep_blank_values=True)) if text else {}
    except ValueError:
        return False
    return all(_PORT.fullmatch(port) for port in pairs.get("port", "1").split(","))
