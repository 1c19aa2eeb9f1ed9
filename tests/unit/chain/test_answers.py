"""What nodes answer to eth_sendRawTransaction, and what each answer proves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onsettle.chain.answers import SendKind, classify
from onsettle.chain.jsonrpc import RateLimited, RpcError, RpcUnavailable

HASH = "0x" + "ab" * 32
OTHER = "0x" + "cd" * 32

# (node, code, message, what it proves)
TABLE = [
    # the very same bytes
    ("geth", -32000, "already known", "already_known"),
    ("geth, old", -32000, f"known transaction: {HASH[2:]}", "already_known"),
    ("reth", -32000, "already known", "already_known"),
    ("nethermind", -32010, "AlreadyKnown", "already_known"),
    ("erigon", -32000, "ALREADY_EXISTS: already known", "already_known"),
    ("erigon", -32000, "INTERNAL_ERROR: existing tx with same hash", "already_known"),
    ("besu", -32000, "Known transaction", "already_known"),
    ("anvil", -32003, "transaction already imported", "already_known"),
    ("parity", -32010, "Transaction with the same hash was already imported.", "already_known"),
    ("cosmos", -32000, "tx already in mempool", "already_known"),
    ("hosted", -32000, "ALREADY_EXISTS", "already_known"),
    ("hosted", -32000, "transaction already exists", "already_known"),
    ("zksync", 3, "known transaction. transaction is already in the system", "already_known"),
    ("hosted", -32603, "Internal error: already known", "already_known"),
    # this nonce is used on the chain
    ("geth", -32000, "nonce too low: next nonce 5, tx nonce 4", "nonce_too_low"),
    ("geth", -32000, "nonce too low", "nonce_too_low"),
    ("reth", -32000, "nonce too low: next nonce 5, tx nonce 4", "nonce_too_low"),
    ("nethermind", -32010, "OldNonce", "nonce_too_low"),
    ("nethermind", -32010, "OldNonce, Current nonce: 5, nonce of rejected tx: 4.", "nonce_too_low"),
    ("erigon", -32000, "INTERNAL_ERROR: nonce too low", "nonce_too_low"),
    ("besu", -32001, "Nonce too low", "nonce_too_low"),
    ("besu", -32001, "Transaction nonce below sender account nonce", "nonce_too_low"),
    ("anvil", -32003, "nonce too low", "nonce_too_low"),
    ("parity", -32010, "Transaction nonce is too low. Try incrementing it.", "nonce_too_low"),
    ("arbitrum", -32000, "nonce too low: address 0x1, tx: 4 state: 5", "nonce_too_low"),
    ("hosted", -32603, "nonce has already been used", "nonce_too_low"),
    (
        "hosted",
        -32000,
        "Nonce provided is lower than the current nonce of the account",
        "nonce_too_low",
    ),
    # earlier nonces first
    ("geth", -32000, "nonce too high: next nonce 5, tx nonce 9", "nonce_too_high"),
    ("geth", -32000, "gapped-nonce tx from delegated accounts", "nonce_too_high"),
    ("geth", -32000, "future transaction tries to replace pending", "nonce_too_high"),
    ("nethermind", -32010, "NonceTooFarInFuture", "nonce_too_high"),
    ("nethermind", -32010, "NonceGap, Future nonce. Expected nonce: 5", "nonce_too_high"),
    ("besu", -32006, "Nonce too high", "nonce_too_high"),
    (
        "besu",
        -32000,
        "Transaction nonce is too distant from current sender nonce",
        "nonce_too_high",
    ),
    ("besu", -32000, "An invalid transaction with a lower nonce exists", "nonce_too_high"),
    ("cosmos", -32000, "tx nonce is higher than account nonce", "nonce_too_high"),
    # other bytes hold this nonce
    ("geth", -32000, "replacement transaction underpriced", "replacement_underpriced"),
    (
        "geth",
        -32000,
        "replacement transaction underpriced: new tx gas fee cap 1 < 2 queued",
        "replacement_underpriced",
    ),
    ("reth", -32000, "replacement transaction underpriced", "replacement_underpriced"),
    (
        "reth",
        -32000,
        "insufficient gas price to replace existing transaction",
        "replacement_underpriced",
    ),
    ("nethermind", -32010, "ReplacementNotAllowed", "replacement_underpriced"),
    ("erigon", -32000, "could not replace existing tx", "replacement_underpriced"),
    ("ankr", -32000, "INTERNAL_ERROR: could not replace existing tx", "replacement_underpriced"),
    ("besu", -32000, "TRANSACTION_REPLACEMENT_UNDERPRICED", "replacement_underpriced"),
    ("besu", -32000, "Replacement transaction underpriced", "replacement_underpriced"),
    ("anvil", -32003, "replacement transaction underpriced", "replacement_underpriced"),
    (
        "parity",
        -32010,
        "Transaction gas price 1wei is too low. There is another transaction with same nonce",
        "replacement_underpriced",
    ),
    ("hosted", -32000, "replacement fee too low", "replacement_underpriced"),
    (
        "conflux",
        -32602,
        "Tx with same nonce already inserted. to replace it, you need to specify a gas price > 1",
        "replacement_underpriced",
    ),
    (
        "polkadot",
        -32603,
        "submit transaction to pool failed: Priority is too low: (1 vs 2)",
        "replacement_underpriced",
    ),
    # fees below what is asked
    (
        "geth",
        -32000,
        "transaction underpriced: gas tip cap 1, minimum needed 1000000",
        "underpriced",
    ),
    ("geth", -32000, "transaction underpriced", "underpriced"),
    (
        "geth",
        -32000,
        "max fee per gas less than block base fee: address 0x1, maxFeePerGas: 1, baseFee: 2",
        "underpriced",
    ),
    ("reth", -32000, "max fee per gas less than block base fee", "underpriced"),
    ("reth", -32000, "transaction feeCap 1 below chain minimum", "underpriced"),
    ("nethermind", -32010, "FeeTooLow", "underpriced"),
    ("nethermind", -32010, "FeeTooLow, MaxFeePerGas too low. MaxFeePerGas: 1", "underpriced"),
    ("nethermind", -32010, "FeeTooLowToCompete", "underpriced"),
    ("erigon", -32000, "fee too low", "underpriced"),
    ("erigon", -32000, "FEE_TOO_LOW", "underpriced"),
    ("besu", -32009, "Gas price below configured minimum gas price", "underpriced"),
    ("besu", -32009, "gasPrice is less than the current BaseFee", "underpriced"),
    ("anvil", -32003, "max fee per gas less than block base fee", "underpriced"),
    # the wallet is empty
    (
        "geth",
        -32000,
        "insufficient funds for gas * price + value: balance 1, tx cost 3, overshot 2",
        "insufficient_funds",
    ),
    ("nethermind", -32010, "InsufficientFunds, Account balance: 1", "insufficient_funds"),
    ("erigon", -32000, "INSUFFICIENT_FUNDS: insufficient funds", "insufficient_funds"),
    ("besu", -32004, "Upfront cost exceeds account balance", "insufficient_funds"),
    (
        "anvil",
        -32003,
        "Insufficient funds for gas * price + value",
        "insufficient_funds",
    ),
    (
        "hardhat",
        -32000,
        "Sender doesn't have enough funds to send tx",
        "insufficient_funds",
    ),
    ("zksync", -32000, "not enough balance to cover the fee. max fee: 1", "insufficient_funds"),
    # no room now
    ("geth", -32000, "txpool is full", "pool_full"),
    (
        "geth",
        -32000,
        "in-flight transaction limit reached for delegated accounts",
        "pool_full",
    ),
    ("geth", -32000, "address already reserved", "pool_full"),
    ("reth", -32003, "txpool is full", "pool_full"),
    ("reth", -32000, "transaction discarded outright due to pool size constraints", "pool_full"),
    ("reth", -32000, f"rejected due to {OTHER[:42]} being identified as a spammer", "pool_full"),
    ("besu", -32000, "TX_POOL_FULL", "pool_full"),
    ("parity", -32010, "There are too many transactions in the queue.", "pool_full"),
    ("hosted", -32000, "Transaction Pool is full", "pool_full"),
    # never
    ("geth", -32000, "intrinsic gas too low: gas 100, minimum needed 21000", "rejected"),
    ("geth", -32000, "insufficient gas for floor data gas cost: gas 1, minimum 2", "rejected"),
    ("geth", -32000, "exceeds block gas limit", "rejected"),
    ("geth", -32000, "transaction gas limit too high (cap: 16777216, tx: 17000000)", "rejected"),
    ("geth", -32000, "invalid sender", "rejected"),
    ("geth", -32000, "invalid chain id for signer: have 1 want 2", "rejected"),
    ("geth", -32000, "transaction type not supported", "rejected"),
    ("geth", -32000, "max priority fee per gas higher than max fee per gas", "rejected"),
    ("geth", -32000, "only replay-protected (EIP-155) transactions allowed over RPC", "rejected"),
    ("geth", -32000, "oversized data: transaction size 131073, limit 131072", "rejected"),
    ("reth", -32000, "Transaction's gas limit 40 exceeds block's gas limit 30", "rejected"),
    (
        "nethermind",
        -32010,
        "GasLimitExceeded, Gas limit: 1, gas limit of rejected tx: 2",
        "rejected",
    ),
    ("nethermind", -32010, "FailedToResolveSender", "rejected"),
    ("besu", -32005, "Transaction gas limit exceeds block gas limit", "rejected"),
    ("besu", -32003, "Intrinsic gas exceeds gas limit", "rejected"),
    ("besu", -32000, "Wrong chainId", "rejected"),
    ("anvil", -32003, "intrinsic gas too high", "rejected"),
    # we ask too often
    ("alchemy", 429, "Your app has exceeded its compute units per second capacity", "rate_limited"),
    ("infura", -32005, "daily request count exceeded, request rate limited", "rate_limited"),
    ("infura", -32005, "project ID request rate exceeded", "rate_limited"),
    ("quicknode", -32007, "50/second request limit reached", "rate_limited"),
    ("ankr", -32029, "Too many requests", "rate_limited"),
    ("hosted", -32005, "limit exceeded", "rate_limited"),
    ("hosted", -32000, "over rate limit", "rate_limited"),
    # nothing is proved
    ("hosted", -32603, "Internal error", "unknown"),
    ("hosted", -32000, "", "unknown"),
    ("op-geth", -32000, "sequencer timed out", "unknown"),
    ("op-geth", -32000, "failed to forward tx to sequencer, please try again", "unknown"),
    ("geth", -32000, "context deadline exceeded", "unknown"),
    ("geth", -32000, "tx fee (2.10 ether) exceeds the configured cap (1.00 ether)", "unknown"),
    ("geth", -32700, "parse error", "unknown"),
    ("hosted", -32601, "the method eth_sendRawTransaction does not exist", "unknown"),
    ("hosted", -32000, "unknown transaction", "unknown"),
    # somebody's words inside a revert prove nothing
    ("simulating", 3, "execution reverted: nonce too low", "unknown"),
    ("simulating", -32000, "execution reverted: already known", "unknown"),
    ("simulating", -32603, "VM Exception while processing transaction: invalid sender", "unknown"),
]


@pytest.mark.parametrize(("node", "code", "message", "kind"), TABLE)
def test_every_node_is_understood(node: str, code: int, message: str, kind: str) -> None:
    answer = classify(RpcError(code, message), HASH, "http://node:1")
    assert answer.kind == SendKind(kind), node
    assert answer.endpoint == "http://node:1"
    assert message[:40] in answer.text


@pytest.mark.parametrize(
    "data",
    [
        "nonce too low",
        {"message": "nonce too low"},
        {"originalError": {"code": -32000, "message": "nonce too low"}},
        {"error": {"data": {"message": "nonce too low"}}},
    ],
)
def test_a_proxy_hides_the_words_of_the_node_in_data(data: object) -> None:
    error = RpcError(-32603, "Internal JSON-RPC error.", data)
    assert classify(error, HASH).kind is SendKind.NONCE_TOO_LOW


def test_hex_in_data_is_not_read() -> None:
    text = b"nonce too low".hex()
    assert classify(RpcError(-32000, "failed", "0x" + text), HASH).kind is SendKind.UNKNOWN


@pytest.mark.parametrize("answer", [HASH, HASH.upper().replace("0X", "0x")])
def test_our_hash_is_accepted(answer: str) -> None:
    assert classify(answer, HASH).kind is SendKind.ACCEPTED


@pytest.mark.parametrize("answer", [OTHER, "", "0x", None, True, 7, {}, [HASH]])
def test_any_other_result_proves_nothing(answer: object) -> None:
    assert classify(answer, HASH).kind is SendKind.UNKNOWN


def test_no_answer_proves_nothing() -> None:
    answer = classify(RpcUnavailable("node", "no answer within 10 s"), HASH)
    assert (answer.kind, answer.text) == (SendKind.UNKNOWN, "no answer within 10 s")


def test_a_refused_request_had_no_effect() -> None:
    assert classify(RateLimited("node", "HTTP 429"), HASH).kind is SendKind.RATE_LIMITED


def test_only_two_kinds_mean_that_a_node_has_the_bytes() -> None:
    assert {kind for kind in SendKind if kind.has_bytes} == {
        SendKind.ACCEPTED,
        SendKind.ALREADY_KNOWN,
    }


@given(
    st.text(),
    st.none() | st.integers(),
    st.recursive(
        st.none() | st.text(),
        lambda s: st.lists(s) | st.dictionaries(st.sampled_from(["message", "data"]), s),
    ),
)
def test_any_error_is_classified_in_one_printable_line(
    message: str, code: int | None, data: object
) -> None:
    answer = classify(RpcError(code, message, data), HASH)
    assert answer.text.isprintable()
    assert len(answer.text) <= 300
