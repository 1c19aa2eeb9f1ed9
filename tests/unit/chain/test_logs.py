"""Logs become evidence only when they are whole, known and canonical."""

from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from onsettle.chain import abi
from onsettle.chain.logs import _Place, decode_log, decode_logs
from onsettle.domain.evidence import AuthorizationCanceled, AuthorizationUsed, Minted, Transfer

ASSET, ALICE, BOB = ("0x" + pair * 20 for pair in ("0a", "a1", "b0"))
NONCE, TX, BLOCK = ("0x" + pair * 32 for pair in ("0c", "7e", "b1"))
PLACE: _Place = {
    "address": ASSET,
    "tx_hash": TX,
    "block_number": 0x1234,
    "block_hash": BLOCK,
    "log_index": 10,
}


def padded(address: str) -> str:
    return "0x" + "00" * 12 + address[2:]


def log(topics: list[str], data: str = "0x", **changes: object) -> dict[str, Any]:
    return {
        "address": ASSET,
        "topics": topics,
        "data": data,
        "blockNumber": "0x1234",
        "blockHash": BLOCK,
        "transactionHash": TX,
        "transactionIndex": "0x0",
        "logIndex": "0xa",
        "removed": False,
    } | changes


def uint(value: int) -> str:
    return f"0x{value:064x}"


USED = log([abi.TOPIC_AUTHORIZATION_USED, padded(ALICE), NONCE])
TRANSFER = log([abi.TOPIC_TRANSFER, padded(ALICE), padded(BOB)], uint(10**6))


class TestKnown:
    def test_authorization_used(self) -> None:
        assert decode_log(USED) == AuthorizationUsed(**PLACE, payer=ALICE, nonce=NONCE)

    def test_authorization_canceled(self) -> None:
        canceled = log([abi.TOPIC_AUTHORIZATION_CANCELED, padded(ALICE), NONCE])
        assert decode_log(canceled) == AuthorizationCanceled(**PLACE, payer=ALICE, nonce=NONCE)

    def test_transfer(self) -> None:
        expected = Transfer(**PLACE, sender=ALICE, recipient=BOB, value=10**6)
        assert decode_log(TRANSFER) == expected

    @pytest.mark.parametrize("indexed", [0, 1, 2])
    def test_minted_however_the_token_indexes_it(self, indexed: int) -> None:
        topics = [abi.TOPIC_TOKENS_MINTED, *[padded(BOB), NONCE][:indexed]]
        all_data = [("address", BOB), ("uint256", 5), ("bytes32", bytes.fromhex(NONCE[2:]))]
        rest = {0: all_data, 1: all_data[1:], 2: all_data[1:2]}[indexed]
        data = encode([kind for kind, _ in rest], [value for _, value in rest])
        entry = log(topics, "0x" + data.hex())
        assert decode_log(entry) == Minted(**PLACE, to=BOB, amount=5, key=NONCE)

    @pytest.mark.parametrize("indexed", [(), (0,), (2,), (0, 1), (0, 2), (0, 1, 2)])
    def test_the_key_of_a_mint_is_found_wherever_it_stands(self, indexed: tuple[int, ...]) -> None:
        """Topics come first, each part in the order of the arguments."""
        arguments = [padded(BOB), f"0x{10**18:064x}", NONCE]
        topics = [arguments[at] for at in indexed]
        data = "".join(word[2:] for at, word in enumerate(arguments) if at not in indexed)
        entry = log([abi.TOPIC_TOKENS_MINTED, *topics], "0x" + data)
        assert decode_log(entry) == Minted(**PLACE, to=BOB, amount=10**18, key=NONCE)

    def test_a_key_that_is_no_hash_stands_where_most_tokens_have_it(self) -> None:
        key = f"0x{7:064x}"
        entry = log([abi.TOPIC_TOKENS_MINTED, padded(BOB), key], f"0x{5:064x}")
        assert decode_log(entry) == Minted(**PLACE, to=BOB, amount=5, key=key)

    def test_upper_case_answers_become_lower_case(self) -> None:
        shouting = {
            key: value.upper().replace("0X", "0x") if isinstance(value, str) else value
            for key, value in USED.items()
        }
        assert decode_log(shouting) == decode_log(USED)

    def test_a_node_that_does_not_say_removed(self) -> None:
        entry = dict(USED)
        del entry["removed"]
        assert decode_log(entry) is not None


class TestNoEvidence:
    def test_a_removed_log(self) -> None:
        assert decode_log(USED | {"removed": True}) is None

    @pytest.mark.parametrize(
        "entry",
        [
            log([]),
            log(["0x" + "99" * 32, padded(ALICE), NONCE]),
            log([abi.TOPIC_AUTHORIZATION_USED, padded(ALICE)], NONCE),
            log([abi.TOPIC_AUTHORIZATION_USED, NONCE, NONCE]),
            # an ERC-721 transfer: the third argument is indexed too
            log([abi.TOPIC_TRANSFER, padded(ALICE), padded(BOB), uint(1)]),
            log([abi.TOPIC_TRANSFER, padded(ALICE), padded(BOB)]),
            log([abi.TOPIC_TRANSFER, padded(ALICE), padded(BOB)], uint(1) + "00" * 32),
            log([abi.TOPIC_TRANSFER, padded(ALICE), padded(BOB)], "0x01"),
            log([abi.TOPIC_TOKENS_MINTED, padded(ALICE)], uint(1)),
        ],
    )
    def test_another_layout(self, entry: dict[str, Any]) -> None:
        assert decode_log(entry) is None

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("address", "0x"),
            ("address", None),
            ("blockNumber", None),
            ("blockNumber", "12"),
            ("blockNumber", "0x1_2"),
            ("blockHash", None),
            ("blockHash", "0x12"),
            ("transactionHash", NONCE + "00"),
            ("logIndex", "0x"),
            ("logIndex", 10),
            ("data", None),
            ("data", "0xzz"),
            ("topics", None),
            ("topics", [None]),
            ("removed", "yes"),
        ],
    )
    def test_a_malformed_field(self, field: str, value: object) -> None:
        assert decode_log(TRANSFER | {field: value}) is None

    @pytest.mark.parametrize("field", ["address", "topics", "data", "blockHash", "logIndex"])
    def test_a_missing_field(self, field: str) -> None:
        assert decode_log({k: v for k, v in TRANSFER.items() if k != field}) is None

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(list(USED)), inner),
            max_leaves=10,
        )
    )
    def test_noise(self, noise: object) -> None:
        assert decode_log(noise) is None


class TestMany:
    def test_in_the_order_of_the_chain(self) -> None:
        late = USED | {"blockNumber": "0x2000", "logIndex": "0x0"}
        first = USED | {"logIndex": "0x9"}
        events = decode_logs([late, TRANSFER, log([]), first])
        assert [(e.block_number, e.log_index) for e in events] == [
            (0x1234, 9),
            (0x1234, 10),
            (0x2000, 0),
        ]

    @pytest.mark.parametrize("answer", [None, {}, "0x", 7])
    def test_an_answer_that_is_no_list_is_not_an_empty_one(self, answer: object) -> None:
        with pytest.raises(ValueError):
            decode_logs(answer)
