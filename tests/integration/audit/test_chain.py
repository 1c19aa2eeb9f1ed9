"""What our wallets did on the chain without the books, and what a node tells of it."""

from typing import Any

import asyncpg
import pytest

from onsettle.chain import abi
from onsettle.chain.codec import selector
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcError
from onsettle.chain.signer import LocalSigner
from onsettle.chain.transaction import UnsignedTransaction
from tests.harness.audit import Books, lying
from tests.harness.moves import owner_says
from tests.harness.stack import ids_of, only_network

STRANGER = "0x" + "57" * 20


async def test_a_transfer_in_ours_that_no_payment_asked_for_is_reported(books: Books) -> None:
    """A token transfer in one of our transactions belongs to a payment, or verify names it."""
    stack = books.stack
    [key], [wallet] = stack.keys, stack.wallets
    await stack.send_as(STRANGER, stack.asset, _mint_asset(wallet, 5))
    nonce = await stack.nonce(wallet)
    data = selector("transfer(address,uint256)") + bytes.fromhex(STRANGER[2:]).rjust(32, b"\0")
    hash_ = await books.wallet_sends(key, stack.asset, data + (5).to_bytes(32, "big"))
    await books.book(hash_, "payment", nonce, wallet)
    report = await books.report()
    assert any(hash_ in d and "belongs to no payment" in d for d in report.differences), report


@pytest.mark.parametrize("booked", [True, False])
async def test_an_authorization_that_nobody_submitted_is_reported(
    books: Books, booked: bool
) -> None:
    """A charge by one of our wallets that has no payment row is named, whether or not its
    transaction stands in the books."""
    stack = books.stack
    [key], [wallet] = stack.keys, stack.wallets
    [payer] = await stack.payers(1)
    terms = stack.body(books.engine, payer)["authorization"]
    nonce = await stack.nonce(wallet)
    hash_ = await books.wallet_sends(key, stack.asset, _transfer(terms))
    words = "neither is in any row"
    if booked:
        await books.book(hash_, "payment", nonce, wallet)
        words = "use of an authorization"
    # Its block is found among others, with other foreign nonces before and after it.
    await books.wallet_sends(key, STRANGER)
    report = await books.report()
    assert any(hash_ in d and words in d for d in report.differences), report


@pytest.mark.parametrize("booked", [True, False])
async def test_a_mint_that_nobody_paid_for_is_reported(books: Books, booked: bool) -> None:
    """Every unit that our mint wallet mints was paid for, or verify names its key, whether or not
    the transaction stands in the books."""
    stack = books.stack
    [key] = stack.chain.mint_keys
    wallet = LocalSigner.from_key(key).address
    nonce = await stack.nonce(wallet)
    unpaid = "0x" + "77" * 32
    hash_ = await books.wallet_sends(key, stack.mint_token, abi.mint(STRANGER, unpaid))
    if booked:
        await books.book(hash_, "mint", nonce, wallet)
    report = await books.report()
    assert any(unpaid in d and "nobody paid for it" in d for d in report.differences), report


async def test_money_that_leaves_a_wallet_beside_gas_is_reported_to_the_wei(books: Books) -> None:
    """What a wallet loses in a block of ours beyond the gas of its transactions is a difference."""
    rpc = books.stack.rpc
    [wallet] = only_network(books.engine).mint_signers
    newest = await rpc.call("eth_getBlockByNumber", "latest", True)
    assert isinstance(newest, dict)
    assert [tx["from"] for tx in newest["transactions"]] == [wallet]
    held = int(str(await rpc.call("eth_getBalance", wallet, "latest")), 16)
    # anvil keeps the state of its newest block when the next one is made: with one wei less.
    await rpc.call("anvil_setBalance", wallet, hex(held - 1))
    await books.stack.mine()
    report = await books.report()
    assert any(wallet in d and "its balance fell by" in d for d in report.differences), report


async def test_a_rollups_fee_for_data_is_part_of_the_books(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a receipt names as l1Fee leaves the wallet beside its gas; what none names is a loss."""
    [wallet] = books.stack.wallets

    rows = await books.engine.db.pool.fetch(
        "select block_number from transactions where wallet = $1", wallet
    )
    mined = [row["block_number"] for row in rows]

    def paid(call: Call, answer: Any) -> Any:
        """The balance falls by a fee with each of the wallet's transactions."""
        if call.method == "eth_getBalance" and call.params[0] == wallet:
            height = int(str(call.params[1]), 16)
            return hex(int(answer, 16) - 777 * sum(block <= height for block in mined))
        return answer

    def named_and_paid(call: Call, answer: Any) -> Any:
        if call.method == "eth_getTransactionReceipt" and answer and answer["from"] == wallet:
            answer["l1Fee"] = hex(777)
        return paid(call, answer)

    with monkeypatch.context() as patched:
        lying(patched, named_and_paid)
        assert (await books.report()).ok
    lying(monkeypatch, paid)
    found = (await books.report()).differences
    for block in mined:
        assert any(wallet in d and f"in block {block} its balance fell by" in d for d in found)


async def test_what_happened_twice_on_the_chain_is_reported(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An authorization that was used twice, or a key that was minted twice, is named, whatever the
    token promises."""
    again = {abi.TOPIC_AUTHORIZATION_USED, abi.TOPIC_TRANSFER, abi.TOPIC_TOKENS_MINTED}

    def doubled(call: Call, answer: Any) -> Any:
        if call.method == "eth_getTransactionReceipt" and answer:
            more = [dict(entry) for entry in answer["logs"] if entry["topics"][0] in again]
            for entry in more:
                entry["logIndex"] = hex(int(entry["logIndex"], 16) + 1000)
            answer["logs"] += more
        return answer

    lying(monkeypatch, doubled)
    found = (await books.report()).differences
    for each in books.ids:
        assert any(str(each) in d and "its authorization was used 2 times" in d for d in found)
        assert any(str(each) in d and "minted 2 times" in d for d in found), found


async def test_a_second_transfer_of_a_payer_belongs_to_no_payment(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A use pays for one transfer, the first; any other one of the same payer is named."""

    def more(call: Call, answer: Any) -> Any:
        if call.method == "eth_getTransactionReceipt" and answer:
            for entry in [e for e in answer["logs"] if e["topics"][0] == abi.TOPIC_TRANSFER]:
                answer["logs"].append(entry | {"logIndex": hex(int(entry["logIndex"], 16) + 1000)})
        return answer

    lying(monkeypatch, more)
    found = (await books.report()).differences
    rows = await books.engine.db.pool.fetch("select tx_hash from payment_queue")
    for row in rows:
        assert any(row["tx_hash"] in d and "its transfer at log" in d for d in found), found


async def test_other_users_of_a_wallet_are_no_difference_and_no_secret(books: Books) -> None:
    """Income and foreign transactions in a block of ours are told apart from a loss, and noted."""
    stack = books.stack
    [key], [wallet] = stack.keys, stack.wallets
    [payer] = await stack.payers(1)
    await stack.hold_blocks()
    async with stack.engine() as engine:
        ids = ids_of(await engine.intake.submit_many([stack.body(engine, payer)]))
        await stack.all_are(engine, ids, "sent")
    signer = LocalSigner.from_key(key)
    foreign = signer.sign(
        UnsignedTransaction(
            chain_id=only_network(books.engine).chain_id,
            nonce=await stack.nonce(wallet) + 1,
            to=STRANGER,
            value=12345,
            gas_limit=21_000,
            max_fee=10**10,
            priority_fee=10**9,
        )
    )
    await stack.rpc.call("eth_sendRawTransaction", "0x" + foreign.raw.hex())
    await stack.rpc.call("anvil_impersonateAccount", STRANGER)
    await stack.rpc.call("anvil_setBalance", STRANGER, hex(10**18))
    income = {"from": STRANGER, "to": wallet, "value": hex(777)}
    await stack.rpc.call("eth_sendTransaction", income)
    await stack.mine()
    async with stack.engine() as engine:
        await stack.all_are(engine, ids, "completed")
    report = await stack.verified(books.engine)
    assert any(wallet in note and "used elsewhere" in note for note in report.notes), report


async def test_what_the_node_does_not_keep_is_not_called_fine(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without archive state the gas books are "not checked", by wallet and range of blocks."""
    honest = Endpoint.batch

    async def pruned(self: Endpoint, calls: list, **more: float) -> list[object]:  # type: ignore[type-arg]
        answers = await honest(self, calls, **more)  # type: ignore[arg-type]
        return [
            RpcError(-32000, "missing trie node") if c.method == "eth_getBalance" else a
            for c, a in zip(calls, answers, strict=True)
        ]

    monkeypatch.setattr(Endpoint, "batch", pruned)
    report = await books.report()
    assert not report.differences
    [mint_wallet] = only_network(books.engine).mint_signers
    for wallet in (*books.stack.wallets, mint_wallet):
        assert any(wallet in line and "no state that old" in line for line in report.not_checked)
    assert not report.ok


async def test_mints_are_read_by_ranges_that_halve(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that refuses wide ranges of logs is asked for narrower ones; mints of which it tells
    nothing are "not checked"."""
    stack = books.stack
    unpaid = "0x" + "78" * 32
    await books.wallet_sends(stack.chain.mint_keys[0], stack.mint_token, abi.mint(STRANGER, unpaid))
    honest, widest, asked = Endpoint.call, 2, []

    async def narrow(self: Endpoint, method: str, *params: Any, **more: float) -> object:
        if method == "eth_getLogs" and "fromBlock" in params[0]:
            span = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
            asked.append(span)
            if span > widest:
                raise RpcError(-32005, f"query exceeds max block range {widest}")
        return await honest(self, method, *params, **more)

    monkeypatch.setattr(Endpoint, "call", narrow)
    report = await books.report()
    assert any(unpaid in d for d in report.differences), report
    assert not report.not_checked
    assert max(asked) > 2 >= min(asked)
    widest = 0
    report = await books.report()
    assert any("mints in blocks" in line for line in report.not_checked), report


async def test_a_node_that_counts_logs_from_zero_in_each_receipt_doubles_nothing(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One mint has one index in its receipt and another among the logs of its block: it is one."""
    counted = []

    def otherwise(call: Call, answer: Any) -> Any:
        if call.method == "eth_getTransactionReceipt" and answer:
            for entry in answer["logs"]:
                entry["logIndex"] = hex(int(entry["logIndex"], 16) + 1000)
                counted.append(entry)
        return answer

    lying(monkeypatch, otherwise)
    report = await books.report()
    assert report.ok, report.differences
    assert counted


async def test_a_node_that_takes_no_hashes_tells_what_was_minted(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no log of a mint is found, the token is asked, by the number of the block if it must
    be."""
    hidden: list[Any] = []

    def without(logs: list[Any]) -> list[Any]:
        kept = [entry for entry in logs if entry["topics"][0] != abi.TOPIC_TOKENS_MINTED]
        hidden.extend(entry for entry in logs if entry not in kept)
        return kept

    def answered(call: Call, answer: Any) -> Any:
        if any(isinstance(each, dict) and "blockHash" in each for each in call.params):
            return RpcError(-32700, 'Cannot wrap a "object" as a json-rpc type')
        if call.method == "eth_getTransactionReceipt" and answer:
            answer["logs"] = without(answer["logs"])
        return answer

    honest = Endpoint.call

    async def call(self: Endpoint, method: str, *params: Any, **more: float) -> object:
        answer = await honest(self, method, *params, **more)
        return without(answer) if method == "eth_getLogs" and isinstance(answer, list) else answer

    lying(monkeypatch, answered)
    monkeypatch.setattr(Endpoint, "call", call)
    report = await books.report()
    assert report.ok, report.differences + report.not_checked
    assert hidden


async def test_what_another_program_minted_is_not_ours_to_judge(books: Books) -> None:
    """A mint under a key that another program queued is no difference; nor is a mint by somebody
    else's wallet."""
    stack = books.stack
    queued, theirs = "0x" + "79" * 32, "0x" + "7a" * 32
    connection = await asyncpg.connect(stack.dsn)
    await connection.execute(
        "insert into mint_queue (payer_address, tx_hash_bytes32, status) values ($1, $2, 'failed')",
        STRANGER,
        queued,
    )
    await connection.close()
    await books.wallet_sends(stack.chain.mint_keys[0], stack.mint_token, abi.mint(STRANGER, queued))
    await owner_says(stack, stack.mint_token, "grantMinter(address)", STRANGER)
    await stack.send_as(STRANGER, stack.mint_token, abi.mint(STRANGER, theirs))
    report = await books.report()
    assert report.ok, report.differences + report.not_checked


async def test_a_reorg_that_the_books_do_not_know_yet_is_not_judged(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Books that stand on a dropped block are not compared with the chain that dropped it."""
    monkeypatch.setattr("onsettle.engine.verify._PAUSE_S", 0.0)
    await books.stack.rpc.call("anvil_reorg", 1, [])
    report = await books.report()
    assert not report.differences
    assert any("was replaced" in line for line in report.not_checked)


def _mint_asset(to: str, amount: int) -> bytes:
    argument = bytes.fromhex(to[2:]).rjust(32, b"\0")
    return selector("mint(address,uint256)") + argument + amount.to_bytes(32, "big")


def _transfer(terms: dict[str, str]) -> bytes:
    from onsettle.domain.authorization import Authorization

    return abi.transfer_with_authorization(
        Authorization(
            payer=terms["from"],
            pay_to=terms["to"],
            value=int(terms["value"]),
            valid_after=int(terms["validAfter"]),
            valid_before=int(terms["validBefore"]),
            nonce=terms["nonce"],
            signature=bytes.fromhex(terms["signature"][2:]),
        )
    )
