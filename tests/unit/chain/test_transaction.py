"""Signed bytes are those of eth-account, and can be read back."""

import pytest
import rlp
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from onsettle.chain.signer import LocalSigner
from onsettle.chain.transaction import UnsignedTransaction, decode_transaction
from tests.unit.chain.samples import ORDER, addresses

TO = "0x" + "22" * 20


def transactions() -> st.SearchStrategy[UnsignedTransaction]:
    wei = st.one_of(st.integers(0, 2**96), st.integers(0, 300))
    fees = st.tuples(wei, wei).map(sorted)
    legacy = st.booleans()
    return st.builds(
        _build, st.integers(1, 2**53), wei, addresses(), st.binary(max_size=600), fees, legacy
    )


def _build(
    chain_id: int, number: int, to: str, data: bytes, fees: list[int], legacy: bool
) -> UnsignedTransaction:
    return UnsignedTransaction(
        chain_id=chain_id,
        nonce=number % 2**64,
        to=to,
        value=number,
        data=data,
        gas_limit=21000 + number % 2**40,
        max_fee=fees[1],
        priority_fee=fees[1] if legacy else fees[0],
        legacy=legacy,
    )


def by_eth_account(key: int, tx: UnsignedTransaction) -> tuple[bytes, str]:
    fees = (
        {"gasPrice": tx.max_fee}
        if tx.legacy
        else {"type": 2, "maxFeePerGas": tx.max_fee, "maxPriorityFeePerGas": tx.priority_fee}
    )
    signed = Account.from_key(f"0x{key:064x}").sign_transaction(
        {
            "chainId": tx.chain_id,
            "nonce": tx.nonce,
            "to": bytes.fromhex(tx.to[2:]),
            "value": tx.value,
            "data": tx.data,
            "gas": tx.gas_limit,
            **fees,
        }
    )
    return bytes(signed.raw_transaction), "0x" + signed.hash.hex()


class TestSigning:
    @settings(max_examples=200)
    @given(transactions(), st.integers(1, ORDER - 1))
    def test_bytes_and_hash_are_those_of_eth_account(
        self, tx: UnsignedTransaction, key: int
    ) -> None:
        signed = LocalSigner.from_key(f"{key:064x}").sign(tx)
        assert (signed.raw, signed.hash) == by_eth_account(key, tx)

    @settings(max_examples=200)
    @given(transactions())
    def test_bytes_read_back_are_the_transaction(self, tx: UnsignedTransaction) -> None:
        assert decode_transaction(LocalSigner.from_key("11" * 32).sign(tx).raw) == tx

    @given(transactions())
    def test_a_resend_is_the_same_bytes(self, tx: UnsignedTransaction) -> None:
        signer = LocalSigner.from_key("11" * 32)
        assert signer.sign(tx) == signer.sign(tx)

    @pytest.mark.parametrize("size", [0, 1, 55, 56, 255, 256, 65535, 65536])
    def test_every_size_class_of_rlp(self, size: int) -> None:
        tx = _build(1, 1, TO, b"\x7f" * size, [1, 2], legacy=False)
        signed = LocalSigner.from_key("11" * 32).sign(tx)
        assert (signed.raw, signed.hash) == by_eth_account(int("11" * 32, 16), tx)

    @pytest.mark.parametrize("to", ["0x", "0x" + "22" * 19, "0x" + "22" * 21])
    def test_a_transaction_to_no_address_is_not_signed(self, to: str) -> None:
        with pytest.raises(ValueError):
            _build(1, 1, to, b"", [1, 2], legacy=False).signing_payload()

    def test_a_negative_number_is_not_signed(self) -> None:
        tx = UnsignedTransaction(
            chain_id=1, nonce=-1, to=TO, gas_limit=1, max_fee=1, priority_fee=1
        )
        with pytest.raises((ValueError, OverflowError)):
            tx.signing_payload()


class TestDecoding:
    @given(st.binary(max_size=200))
    def test_noise_is_a_value_error(self, noise: bytes) -> None:
        with pytest.raises(ValueError):
            decode_transaction(noise)

    @given(st.data())
    def test_a_cut_or_longer_transaction_is_a_value_error(self, data: st.DataObject) -> None:
        raw = LocalSigner.from_key("11" * 32).sign(_build(1, 1, TO, b"x" * 99, [1, 2], False)).raw
        cut = data.draw(st.integers(0, len(raw) - 1))
        for wrong in (raw[:cut], raw + b"\0"):
            with pytest.raises(ValueError):
                decode_transaction(wrong)

    def test_other_kinds_are_not_ours(self) -> None:
        creation = [b"\1", b"", b"\1", b"\1", b"\1", b"", b"", b"", [], b"", b"\1", b"\1"]
        with_access_list = [
            b"\1",
            b"",
            b"\1",
            b"\1",
            b"\1",
            b"x" * 20,
            b"",
            b"",
            [b"a"],
            b"",
            b"",
            b"",
        ]
        for fields in (creation, with_access_list):
            with pytest.raises(ValueError, match="not ours"):
                decode_transaction(b"\x02" + rlp.encode(fields))
        for kind in (1, 3, 4):
            with pytest.raises(ValueError):
                decode_transaction(bytes([kind]) + rlp.encode(creation))
