"""A revert becomes one readable line, whatever a contract returns."""

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from onsettle.chain.abi import revert_reason
from onsettle.chain.jsonrpc import RpcError
from onsettle.chain.reverts import is_revert, revert_data


def error(text: str) -> bytes:
    return keccak(text="Error(string)")[:4] + encode(["string"], [text])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", ""),
        (error("FiatTokenV2: authorization is expired"), "FiatTokenV2: authorization is expired"),
        (error("two\nlines\0"), "two lines"),
        (error("x" * 1000), "x" * 300),
        (keccak(text="Panic(uint256)")[:4] + bytes(31) + b"\x11", "Panic 0x11 (arithmetic "),
        (keccak(text="Panic(uint256)")[:4] + bytes(31) + b"\x99", "Panic 0x99 (unknown)"),
        (keccak(text="EnforcedPause()")[:4], "EnforcedPause"),
        (
            keccak(text="ERC20InsufficientBalance(address,uint256,uint256)")[:4] + bytes(96),
            "ERC20I",
        ),
        (keccak(text="AlreadyMinted(bytes32)")[:4] + bytes(32), "AlreadyMinted"),
        (bytes.fromhex("deadbeef") + bytes(32), "0xdeadbeef"),
        (bytes.fromhex("dead"), "0xdead"),
        (keccak(text="Error(string)")[:4] + b"\xff" * 64, "0x08c379a0"),
    ],
)
def test_reason(data: bytes, reason: str) -> None:
    found = revert_reason(data)
    assert found.startswith(reason)
    assert bool(found) is bool(reason)


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(lambda b: error("") + b)))
def test_never_raises_and_is_always_one_printable_line(data: bytes) -> None:
    reason = revert_reason(data)
    assert reason.isprintable()
    assert len(reason) <= 300


@pytest.mark.parametrize(
    "answer",
    [
        RpcError(3, "execution reverted: paused", "0x08c379a0"),
        RpcError(-32000, "execution reverted"),
        RpcError(-32015, "VM execution error.", "Reverted 0x08c379a0"),
        RpcError(-32603, "VM Exception while processing transaction: revert"),
        RpcError(-32000, "invalid opcode: INVALID"),
        RpcError(-32003, "Out of gas: gas required exceeds allowance: 100"),
        RpcError(-32603, "EVM error InvalidFEOpcode"),
        RpcError(-32603, "EVM error OutOfGas"),
    ],
)
def test_a_failed_call_is_a_revert(answer: RpcError) -> None:
    assert is_revert(answer)


@pytest.mark.parametrize(
    "answer",
    [
        RpcError(-32603, "internal error"),
        RpcError(-32000, "header not found"),
        RpcError(-32000, "missing trie node"),
        RpcError(-32601, "the method eth_call does not exist"),
    ],
)
def test_a_node_that_can_not_answer_is_no_revert(answer: RpcError) -> None:
    assert not is_revert(answer)


@pytest.mark.parametrize(
    ("data", "returned"),
    [
        ("0x08c379a0", "08c379a0"),
        ("Reverted 0x08c379a0", "08c379a0"),
        ({"data": "0x08c379a0"}, "08c379a0"),
        ({"originalError": 1, "data": {"data": "0x08c379a0"}}, "08c379a0"),
        (None, ""),
        ("0x", ""),
        ("execution reverted", ""),
        (7, ""),
        ({}, ""),
    ],
)
def test_returned_data_is_found_where_nodes_put_it(data: object, returned: str) -> None:
    assert revert_data(RpcError(3, "execution reverted", data)).hex() == returned
