"""Hashes, digests and recovered payers are those of the reference libraries."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.messages import _hash_eip191_message, encode_typed_data
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak as reference_keccak
from hypothesis import given
from hypothesis import strategies as st

from onsettle.chain import keccak as keccak_module
from onsettle.chain.crypto import (
    authorization_digest,
    checksum_address,
    domain_separator,
    keccak,
    parse_address,
    recover,
)
from onsettle.domain.authorization import Authorization
from tests.unit.chain.samples import ORDER, addresses, authorizations

KEY = "0x" + "11" * 32
PAYER = Account.from_key(KEY).address.lower()
TOKEN = "0x036cbd53842c5426634e7929541ec2318f3dcf7e"
AUTH = Authorization(
    payer=PAYER,
    pay_to=TOKEN,
    value=1,
    valid_after=0,
    valid_before=1,
    nonce="0x" + "00" * 32,
    signature=b"",
)


def signed(digest: bytes, key: str = KEY) -> bytes:
    return bytes(Account.from_key(key).unsafe_sign_hash(digest).signature)


class TestKeccak:
    @given(st.binary(max_size=700))
    def test_is_that_of_eth_utils(self, data: bytes) -> None:
        assert keccak(data) == reference_keccak(data)

    def test_hashes_of_threads_do_not_mix(self) -> None:
        blobs = [bytes([n]) * 500 for n in range(64)]
        with ThreadPoolExecutor(8) as threads:
            for _ in range(20):
                assert list(threads.map(keccak, blobs)) == [reference_keccak(b) for b in blobs]

    def test_the_public_interface_is_used_when_the_library_is_not_as_expected(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails() -> None:
            raise AttributeError("keccak_reset")

        monkeypatch.setattr(keccak_module, "_direct", fails)
        assert keccak_module._choose() is keccak_module._public
        assert keccak_module._public(b"abc") == keccak(b"abc")

    def test_a_fast_path_with_wrong_answers_is_not_used(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keccak_module, "_direct", lambda: lambda data: bytes(32))
        assert keccak_module._choose() is keccak_module._public


class TestDigest:
    def test_typehash_and_separator_of_circle(self) -> None:
        """The separator that USDC on Base Sepolia answers."""
        separator = domain_separator(name="USDC", version="2", chain_id=84532, address=TOKEN)
        assert separator.hex() == (
            "71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818"
        )

    @given(authorizations(), st.integers(1, 2**63), st.text(max_size=40), st.text(max_size=8))
    def test_is_that_of_eth_account(
        self, auth: Authorization, chain_id: int, name: str, version: str
    ) -> None:
        message = encode_typed_data(full_message=typed_data(auth, chain_id, name, version))
        separator = domain_separator(name=name, version=version, chain_id=chain_id, address=TOKEN)
        assert authorization_digest(separator, auth) == _hash_eip191_message(message)

    @pytest.mark.parametrize(
        "wrong",
        [
            replace(AUTH, value=2**256),
            replace(AUTH, value=-1),
            replace(AUTH, valid_before=2**256),
            replace(AUTH, nonce="0x" + "00" * 31),
            replace(AUTH, payer="0x" + "00" * 21),
        ],
    )
    def test_a_field_that_does_not_fit_is_refused(self, wrong: Authorization) -> None:
        with pytest.raises(ValueError):
            authorization_digest(bytes(32), wrong)


class TestRecover:
    @given(st.binary(min_size=32, max_size=32))
    def test_finds_who_signed(self, digest: bytes) -> None:
        assert recover(digest, signed(digest)) == PAYER

    def test_a_high_s_is_refused(self) -> None:
        """The mirror of a valid signature is valid on the curve, and not in the token."""
        digest = keccak(b"x")
        low = signed(digest)
        high_s = ORDER - int.from_bytes(low[32:64], "big")
        high = low[:32] + high_s.to_bytes(32, "big") + bytes([27 + 28 - low[64]])
        assert Account._recover_hash(digest, signature=high).lower() == PAYER
        assert recover(digest, high) is None

    @pytest.mark.parametrize("v", [0, 1, 2, 26, 29, 30, 31, 35, 255])
    def test_only_27_and_28_end_a_signature(self, v: int) -> None:
        digest = keccak(b"x")
        assert recover(digest, signed(digest)[:64] + bytes([v])) is None

    @pytest.mark.parametrize("r", [0, ORDER, 2**256 - 1])
    def test_an_impossible_r_is_refused(self, r: int) -> None:
        digest = keccak(b"x")
        assert recover(digest, r.to_bytes(32, "big") + signed(digest)[32:]) is None

    def test_a_zero_s_is_refused(self) -> None:
        assert recover(keccak(b"x"), bytes(31) + b"\x01" + bytes(32) + b"\x1b") is None

    @given(st.binary(max_size=40), st.binary(max_size=80))
    def test_never_raises(self, digest: bytes, signature: bytes) -> None:
        assert recover(digest, signature) is None or len(digest) == 32

    @given(st.binary(min_size=64, max_size=64), st.sampled_from([27, 28]))
    def test_noise_of_the_right_form_never_raises(self, noise: bytes, v: int) -> None:
        found = recover(keccak(noise), noise + bytes([v]))
        assert found is None or parse_address(found) == found


class TestAddress:
    @given(addresses())
    def test_checksum_is_that_of_eth_utils(self, address: str) -> None:
        assert checksum_address(address) == to_checksum_address(address)

    @given(addresses())
    def test_any_case_with_a_valid_checksum_or_none(self, address: str) -> None:
        for form in (
            address,
            "0x" + address[2:].upper(),
            address.upper(),
            checksum_address(address),
        ):
            assert parse_address(form) == address

    def test_a_wrong_checksum_is_refused(self) -> None:
        with pytest.raises(ValueError, match="checksum"):
            parse_address("0xcA11bde05977b3631167028862be2a173976CA11")

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "0x",
            "0x1",
            TOKEN[2:],
            TOKEN + "0",
            TOKEN[:-1],
            TOKEN + "\n",
            " " + TOKEN,
            "0xg" * 14,
        ],
    )
    def test_what_is_no_address_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="40 hex"):
            parse_address(text)


def typed_data(auth: Authorization, chain_id: int, name: str, version: str) -> dict[str, object]:
    def fields(**types: str) -> list[dict[str, str]]:
        return [{"name": field.rstrip("_"), "type": kind} for field, kind in types.items()]

    return {
        "types": {
            "EIP712Domain": fields(
                name="string", version="string", chainId="uint256", verifyingContract="address"
            ),
            "TransferWithAuthorization": fields(
                from_="address",
                to="address",
                value="uint256",
                validAfter="uint256",
                validBefore="uint256",
                nonce="bytes32",
            ),
        },
        "primaryType": "TransferWithAuthorization",
        "domain": {
            "name": name,
            "version": version,
            "chainId": chain_id,
            "verifyingContract": TOKEN,
        },
        "message": {
            "from": auth.payer,
            "to": auth.pay_to,
            "value": auth.value,
            "validAfter": auth.valid_after,
            "validBefore": auth.valid_before,
            "nonce": bytes.fromhex(auth.nonce[2:]),
        },
    }
