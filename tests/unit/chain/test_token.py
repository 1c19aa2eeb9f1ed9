"""A token is used only when it says consistently what payers sign."""

import pytest
from eth_abi.abi import encode

from onsettle.chain import abi
from onsettle.chain.crypto import domain_separator
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import RpcUnavailable
from onsettle.chain.token import TokenError, check_mint_token, read_domain
from onsettle.domain.network import TokenDomain
from tests.unit.chain.fake_node import FakeNode, NodeError, drop

TOKEN = "0x" + "70" * 20
CHAIN = 8453


def string(text: str) -> bytes:
    return encode(["string"], [text])


def separator(name: str, version: str, *, chain_id: int = CHAIN, address: str = TOKEN) -> bytes:
    return domain_separator(name=name, version=version, chain_id=chain_id, address=address)


def described(name: str, version: str, *, chain_id: int = CHAIN) -> bytes:
    types = ["bytes1", "string", "string", "uint256", "address", "bytes32", "uint256[]"]
    return encode(types, [b"\x0f", name, version, chain_id, TOKEN, bytes(32), []])


class Token:
    """A contract that answers these calls and reverts on any other."""

    def __init__(self, node: FakeNode) -> None:
        self.code = "0x60016001"
        self.answers: dict[bytes, bytes] = {
            abi.NAME: string("USD Coin"),
            abi.VERSION: string("2"),
            abi.DECIMALS: bytes(31) + b"\x06",
            abi.DOMAIN_SEPARATOR: separator("USD Coin", "2"),
        }
        node.methods["eth_getCode"] = lambda address, block: self.code
        node.methods["eth_call"] = self._call

    def _call(self, call: dict[str, str], _block: str) -> object:
        assert call["to"] == TOKEN
        data = bytes.fromhex(call["data"][2:])
        if data[:4] not in self.answers:
            raise NodeError(3, "execution reverted", "0x")
        return "0x" + self.answers[data[:4]].hex()


@pytest.fixture
def token(node: FakeNode) -> Token:
    return Token(node)


async def refused(endpoint: Endpoint) -> str:
    with pytest.raises(TokenError) as caught:
        await read_domain(endpoint, CHAIN, TOKEN)
    assert TOKEN in str(caught.value)
    return caught.value.code


@pytest.mark.usefixtures("token")
class TestDomain:
    async def test_a_token_that_says_everything(self, node: FakeNode, endpoint: Endpoint) -> None:
        assert await read_domain(endpoint, CHAIN, TOKEN) == TokenDomain(
            chain_id=CHAIN,
            address=TOKEN,
            name="USD Coin",
            version="2",
            decimals=6,
            separator=separator("USD Coin", "2"),
        )
        assert len(node.bodies) == 1, "one request"

    async def test_a_token_without_its_separator_is_believed(
        self, token: Token, endpoint: Endpoint
    ) -> None:
        del token.answers[abi.DOMAIN_SEPARATOR]
        domain = await read_domain(endpoint, CHAIN, TOKEN)
        assert domain.separator == separator("USD Coin", "2")

    async def test_a_fallback_function_that_answers_nothing_is_no_separator(
        self, token: Token, endpoint: Endpoint
    ) -> None:
        token.answers[abi.DOMAIN_SEPARATOR] = b""
        assert (await read_domain(endpoint, CHAIN, TOKEN)).version == "2"

    @pytest.mark.parametrize("version", ["1", "2"])
    async def test_a_token_without_version_is_proved_by_its_separator(
        self, token: Token, endpoint: Endpoint, version: str
    ) -> None:
        del token.answers[abi.VERSION]
        token.answers[abi.DOMAIN_SEPARATOR] = separator("USD Coin", version)
        assert (await read_domain(endpoint, CHAIN, TOKEN)).version == version

    async def test_eip712_domain_speaks_where_version_does_not(
        self, token: Token, endpoint: Endpoint
    ) -> None:
        del token.answers[abi.VERSION]
        token.answers[abi.EIP712_DOMAIN] = described("Signing name", "7")
        token.answers[abi.DOMAIN_SEPARATOR] = separator("Signing name", "7")
        domain = await read_domain(endpoint, CHAIN, TOKEN)
        assert (domain.name, domain.version) == ("Signing name", "7")

    async def test_a_signing_name_that_is_not_the_display_name(
        self, token: Token, endpoint: Endpoint
    ) -> None:
        """Bridged tokens were renamed without a new separator."""
        token.answers[abi.EIP712_DOMAIN] = described("Signing name", "1")
        token.answers[abi.DOMAIN_SEPARATOR] = separator("Signing name", "1")
        assert (await read_domain(endpoint, CHAIN, TOKEN)).name == "Signing name"

    async def test_without_a_separator_eip712_domain_goes_before_version(
        self, token: Token, endpoint: Endpoint
    ) -> None:
        """`version()` is that of the code in many tokens, not what payers sign."""
        del token.answers[abi.DOMAIN_SEPARATOR]
        token.answers[abi.VERSION] = string("4.2.0")
        token.answers[abi.EIP712_DOMAIN] = described("USD Coin", "1")
        assert (await read_domain(endpoint, CHAIN, TOKEN)).version == "1"

    async def test_a_name_in_one_word(self, token: Token, endpoint: Endpoint) -> None:
        token.answers[abi.NAME] = b"Maker".ljust(32, b"\0")
        token.answers[abi.DOMAIN_SEPARATOR] = separator("Maker", "2")
        assert (await read_domain(endpoint, CHAIN, TOKEN)).name == "Maker"


@pytest.mark.usefixtures("token")
class TestRefused:
    async def test_no_contract(self, token: Token, endpoint: Endpoint) -> None:
        token.code = "0x"
        assert await refused(endpoint) == "asset_not_a_contract"

    @pytest.mark.parametrize(
        "wrong",
        [
            separator("USD Coin", "1"),
            separator("USDC", "2"),
            separator("USD Coin", "2", chain_id=1),
            separator("USD Coin", "2", address="0x" + "71" * 20),
            bytes(32),
        ],
    )
    async def test_another_separator(self, token: Token, endpoint: Endpoint, wrong: bytes) -> None:
        token.answers[abi.DOMAIN_SEPARATOR] = wrong
        assert await refused(endpoint) == "asset_domain_mismatch"

    @pytest.mark.parametrize("missing", [abi.NAME, abi.DECIMALS])
    async def test_no_name_or_no_decimals(
        self, token: Token, endpoint: Endpoint, missing: bytes
    ) -> None:
        del token.answers[missing]
        assert await refused(endpoint) == "asset_unreadable"

    async def test_a_version_is_not_guessed_without_a_separator(
        self, token: Token, endpoint: Endpoint
    ) -> None:
        del token.answers[abi.VERSION], token.answers[abi.DOMAIN_SEPARATOR]
        assert await refused(endpoint) == "asset_unreadable"

    async def test_a_domain_of_another_chain_is_not_believed(
        self, token: Token, endpoint: Endpoint
    ) -> None:
        del token.answers[abi.VERSION], token.answers[abi.DOMAIN_SEPARATOR]
        token.answers[abi.EIP712_DOMAIN] = described("USD Coin", "2", chain_id=1)
        assert await refused(endpoint) == "asset_unreadable"

    @pytest.mark.parametrize(
        "name", [b"", b"\xff" * 64, string("x" * 101), string("evil\nname"), string("nul\0")]
    )
    async def test_a_name_nobody_can_read(
        self, token: Token, endpoint: Endpoint, name: bytes
    ) -> None:
        token.answers[abi.NAME] = name
        assert await refused(endpoint) == "asset_unreadable"

    @pytest.mark.parametrize("name", ["", "nul\0", "evil\nname", "x" * 101])
    async def test_a_described_name_nobody_can_read(
        self, token: Token, endpoint: Endpoint, name: str
    ) -> None:
        """Nor can the database keep U+0000: it is this token's trouble alone."""
        del token.answers[abi.VERSION], token.answers[abi.DOMAIN_SEPARATOR]
        token.answers[abi.EIP712_DOMAIN] = described(name, "1")
        assert await refused(endpoint) == "asset_unreadable"

    @pytest.mark.parametrize("fields", [0x0D, 0x1F])
    async def test_a_domain_of_other_fields_is_not_what_we_check(
        self, token: Token, endpoint: Endpoint, fields: int
    ) -> None:
        """Without a version, or with a salt: no signature of a payer would ever be found good."""
        del token.answers[abi.DOMAIN_SEPARATOR]
        token.answers[abi.EIP712_DOMAIN] = bytes([fields]) + described("USD Coin", "2")[1:]
        assert await refused(endpoint) == "asset_unreadable"

    async def test_impossible_decimals(self, token: Token, endpoint: Endpoint) -> None:
        token.answers[abi.DECIMALS] = b"\xff" * 32
        assert await refused(endpoint) == "asset_unreadable"


@pytest.mark.usefixtures("token")
class TestNodeAtFault:
    async def test_no_answer_is_no_verdict(self, node: FakeNode, endpoint: Endpoint) -> None:
        node.fault = drop
        with pytest.raises(RpcUnavailable):
            await read_domain(endpoint, CHAIN, TOKEN)

    @pytest.mark.parametrize("method", ["eth_getCode", "eth_call"])
    async def test_an_error_that_is_no_revert_is_no_verdict(
        self, node: FakeNode, endpoint: Endpoint, method: str
    ) -> None:
        def fail(*_: object) -> object:
            raise NodeError(-32000, "header not found")

        node.methods[method] = fail
        with pytest.raises(RpcUnavailable, match="header not found"):
            await read_domain(endpoint, CHAIN, TOKEN)
        with pytest.raises(RpcUnavailable, match="header not found"):
            await check_mint_token(endpoint, TOKEN)


class TestMintToken:
    @pytest.mark.parametrize("answer", [bytes(32), bytes(31) + b"\x01"])
    async def test_one_that_answers(self, token: Token, endpoint: Endpoint, answer: bytes) -> None:
        token.answers[abi.has_minted("0x" + "00" * 32)[:4]] = answer
        await check_mint_token(endpoint, TOKEN)

    @pytest.mark.parametrize("answer", [None, b"", bytes(31), bytes(31) + b"\x02", b"\xff" * 32])
    async def test_one_that_does_not(
        self, token: Token, endpoint: Endpoint, answer: bytes | None
    ) -> None:
        if answer is not None:
            token.answers[abi.has_minted("0x" + "00" * 32)[:4]] = answer
        with pytest.raises(TokenError) as caught:
            await check_mint_token(endpoint, TOKEN)
        assert caught.value.code == "mint_token_without_has_minted"

    async def test_one_that_is_no_contract(self, token: Token, endpoint: Endpoint) -> None:
        """An address without code answers every call with nothing."""
        token.code = "0x"
        token.answers[abi.has_minted("0x" + "00" * 32)[:4]] = bytes(32)
        with pytest.raises(TokenError):
            await check_mint_token(endpoint, TOKEN)
