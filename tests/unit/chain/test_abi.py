"""Calls and answers are, byte for byte, those of eth-abi."""

from collections.abc import Callable

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from onsettle.chain import abi
from onsettle.domain.authorization import Authorization
from tests.unit.chain.samples import addresses, authorizations, words


def encoded(signature: str, *arguments: object) -> bytes:
    """The call by eth-abi."""
    _, _, types = signature.partition("(")
    return keccak(text=signature)[:4] + encode(_split(types[:-1]), arguments)


def _split(types: str) -> list[str]:
    parts, depth = [""], 0
    for letter in types:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def raw(word: str) -> bytes:
    return bytes.fromhex(word[2:])


class TestNames:
    def test_topics_that_are_on_every_chain(self) -> None:
        assert abi.TOPIC_TRANSFER == (
            "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
        )
        assert abi.TOPIC_AUTHORIZATION_USED == (
            "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5"
        )
        assert abi.TOPIC_AUTHORIZATION_CANCELED == (
            "0x1cdd46ff242716cdaa72d159d339a485b3438398348d68f09d7c8c0a59353d81"
        )

    def test_selectors_that_are_on_every_chain(self) -> None:
        assert abi.aggregate3([])[:4].hex() == "82ad56cb"
        assert abi.balance_of("0x" + "00" * 20)[:4].hex() == "70a08231"
        assert abi.is_valid_signature(bytes(32), b"")[:4].hex() == "1626ba7e"
        assert abi.DOMAIN_SEPARATOR.hex() == "3644e515"
        assert abi.EIP712_DOMAIN.hex() == "84b0196e"


class TestCalls:
    @given(authorizations())
    def test_transfer_with_authorization(self, auth: Authorization) -> None:
        head = (
            auth.payer,
            auth.pay_to,
            auth.value,
            auth.valid_after,
            auth.valid_before,
            raw(auth.nonce),
        )
        types = "address,address,uint256,uint256,uint256,bytes32"
        signature = auth.signature
        if len(signature) == 65 and signature[64] in (27, 28):
            v, r, s = signature[64], signature[:32], signature[32:64]
            expected = encoded(
                f"transferWithAuthorization({types},uint8,bytes32,bytes32)", *head, v, r, s
            )
            assert expected[:4].hex() == "e3ee160e"
        else:
            expected = encoded(f"transferWithAuthorization({types},bytes)", *head, signature)
            assert expected[:4].hex() == "cf092995"
        assert abi.transfer_with_authorization(auth) == expected

    @given(addresses(), words())
    def test_calls_of_one_pair(self, address: str, key: str) -> None:
        assert abi.authorization_state(address, key) == encoded(
            "authorizationState(address,bytes32)", address, raw(key)
        )
        assert abi.mint(address, key) == encoded("mint(address,bytes32)", address, raw(key))
        assert abi.balance_of(address) == encoded("balanceOf(address)", address)
        assert abi.has_minted(key) == encoded("hasMinted(bytes32)", raw(key))

    @given(st.lists(st.tuples(addresses(), words()), max_size=5))
    def test_batch_mint(self, pairs: list[tuple[str, str]]) -> None:
        tos, keys = [to for to, _ in pairs], [key for _, key in pairs]
        assert abi.batch_mint(tos, keys) == encoded(
            "batchMint(address[],bytes32[])", tos, [raw(key) for key in keys]
        )

    def test_batch_mint_needs_a_key_for_each(self) -> None:
        with pytest.raises(ValueError, match="one key"):
            abi.batch_mint(["0x" + "00" * 20], [])

    @given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
    def test_is_valid_signature(self, digest: bytes, signature: bytes) -> None:
        assert abi.is_valid_signature(digest, signature) == encoded(
            "isValidSignature(bytes32,bytes)", digest, signature
        )

    @given(st.lists(st.tuples(addresses(), st.booleans(), st.binary(max_size=80)), max_size=5))
    def test_aggregate3(self, calls: list[tuple[str, bool, bytes]]) -> None:
        assert abi.aggregate3(calls) == encoded("aggregate3((address,bool,bytes)[])", calls)

    @pytest.mark.parametrize("address", ["0x", "0x" + "00" * 19, "0x" + "00" * 21])
    def test_what_is_no_address_is_not_encoded(self, address: str) -> None:
        with pytest.raises(ValueError):
            abi.balance_of(address)
        with pytest.raises(ValueError):
            abi.aggregate3([(address, True, b"")])


class TestAnswers:
    @given(st.lists(st.tuples(st.booleans(), st.binary(max_size=80)), max_size=5))
    def test_aggregate3(self, results: list[tuple[bool, bytes]]) -> None:
        assert abi.decode_aggregate3(encode(["(bool,bytes)[]"], [results])) == results

    @given(st.integers(0, 2**256 - 1))
    def test_uint(self, value: int) -> None:
        assert abi.decode_uint(encode(["uint256"], [value])) == value

    @given(addresses())
    def test_address(self, address: str) -> None:
        assert abi.decode_address(encode(["address"], [address])) == address

    @given(st.text(max_size=60))
    def test_string(self, text: str) -> None:
        assert abi.decode_string(encode(["string"], [text])) == text

    def test_a_name_in_one_word(self) -> None:
        """Old tokens (MKR, SAI) answer bytes32 where others answer a string."""
        assert abi.decode_string(b"Maker".ljust(32, b"\0")) == "Maker"

    @pytest.mark.parametrize("value", [True, False])
    def test_bool(self, value: bool) -> None:
        assert abi.decode_bool(encode(["bool"], [value])) is value

    def test_a_bool_is_nothing_but_0_or_1(self) -> None:
        with pytest.raises(ValueError):
            abi.decode_bool(encode(["uint256"], [2]))

    def test_an_address_has_no_high_bytes(self) -> None:
        with pytest.raises(ValueError):
            abi.decode_address(b"\x01" * 32)

    def test_eip712_domain(self) -> None:
        types = ["bytes1", "string", "string", "uint256", "address", "bytes32", "uint256[]"]
        token = "0x" + "ab" * 20
        answer = encode(types, [b"\x0f", "USD Coin", "2", 8453, token, bytes(32), []])
        assert abi.decode_eip712_domain(answer) == ("USD Coin", "2", 8453, token)

    @pytest.mark.parametrize(
        "decode",
        [
            abi.decode_aggregate3,
            abi.decode_address,
            abi.decode_bool,
            abi.decode_eip712_domain,
            abi.decode_string,
            abi.decode_uint,
        ],
    )
    @given(data=st.binary(max_size=300))
    def test_garbage_is_a_value_error_and_nothing_else(
        self, decode: Callable[[bytes], object], data: bytes
    ) -> None:
        try:
            decode(data)
        except ValueError:
            return

    @pytest.mark.parametrize("length", [0, 1, 31, 63, 64, 96, 127])
    def test_a_cut_off_answer_is_refused(self, length: int) -> None:
        whole = encode(["(bool,bytes)[]"], [[(True, b"x" * 40)]])
        with pytest.raises(ValueError):
            abi.decode_aggregate3(whole[:length])

    def test_an_endless_count_is_refused(self) -> None:
        with pytest.raises(ValueError):
            abi.decode_aggregate3(encode(["uint256", "uint256"], [32, 2**255]))
