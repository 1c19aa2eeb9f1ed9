"""A node's address keeps its secrets."""

import base64

import pytest

from onsettle.chain.endpoint import Endpoint
from onsettle.chain.endpoint_url import EndpointUrl
from onsettle.chain.jsonrpc import RpcError
from onsettle.chain.rpc import Pool

KEY = "s3cr3t-k3y-0123456789"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (f"https://rpc.example/v2/{KEY}", "https://rpc.example:443"),
        (f"http://rpc.example:8545/?apikey={KEY}", "http://rpc.example:8545"),
        (f"http://alice:{KEY}@rpc.example/", "http://rpc.example:80"),
        (f"http://{KEY}@127.0.0.1:8545", "http://127.0.0.1:8545"),
        (f"http://[::1]:8545/{KEY}#{KEY}", "http://[::1]:8545"),
    ],
)
def test_only_scheme_host_and_port_are_shown(url: str, name: str) -> None:
    where = EndpointUrl(url)
    assert where.name == name
    for shown in (repr(where), repr(Endpoint(url)), str(Endpoint(url))):
        assert name in shown
        assert KEY not in shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        KEY,
        f"ws://rpc.example/{KEY}",
        f"rpc.example/{KEY}",
        f"http:///{KEY}",
        f"http://[::1/{KEY}",
        f"http://rpc.example:99999/{KEY}",
        f"http://rpc.example:port/{KEY}",
        f"file:///{KEY}",
    ],
)
def test_what_can_not_be_used_is_named_by_position(url: str) -> None:
    with pytest.raises(
        ValueError, match=r"^RPC endpoint 2 of 2: an RPC endpoint is an http"
    ) as caught:
        Pool(["http://localhost:8545", url])
    assert KEY not in str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY not in repr(error)
        error = error.__context__ if not error.__suppress_context__ else None


def test_user_and_password_become_basic_authorization() -> None:
    where = EndpointUrl("http://alice:p%40ss@rpc.example/path?a=b")
    expected = "Basic " + base64.b64encode(b"alice:p@ss").decode()
    assert where.headers["Authorization"] == expected
    assert str(where.url) == "http://rpc.example/path?a=b"


@pytest.mark.parametrize(
    "url",
    [
        f"https://rpc.example/v2/{KEY}",
        f"https://rpc.example/?apikey={KEY}",
        f"https://alice:{KEY}@rpc.example",
    ],
)
def test_a_quoted_secret_is_redacted(url: str) -> None:
    where = EndpointUrl(url)
    quoted = RpcError(-32000, f"key {KEY} is blocked", {"url": [url, 1, None], "key": KEY})
    error = where.redact_error(quoted)
    assert error.message == "key *** is blocked"
    assert KEY not in repr(error)
    assert KEY not in str(error)


def test_short_words_of_a_path_stay_readable() -> None:
    assert EndpointUrl("https://rpc.example/v2/eth").redact("eth v2 failed") == "eth v2 failed"


def test_revert_data_is_kept_whole() -> None:
    data = "0x" + "ab" * 500
    assert EndpointUrl("http://rpc.example").redact_error(RpcError(3, "x", data)).data == data


def test_text_of_a_node_is_one_bounded_line() -> None:
    text = EndpointUrl("http://rpc.example").redact("a\nb\0" + "x" * 1000)
    assert text.startswith("a b xxx")
    assert len(text) == 300
