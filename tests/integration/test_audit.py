"""Each kind of difference is planted, and `verify` reports it with its ids."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from onsettle.chain import abi
from onsettle.chain.codec import selector
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import RpcError
from onsettle.chain.signer import LocalSigner
from onsettle.chain.transaction import UnsignedTransaction
from onsettle.engine.verify import Report, verify
from onsettle.runtime import Engine
from tests.harness.moves import owner_says
from tests.harness.stack import Stack, eventually, ids_of, only_network

STRANGER = "0x" + "57" * 20


class Books:
    """A settled, audited stack whose workers are stopped, and what a test does to its books."""

    def __init__(self, stack: Stack, engine: Engine, ids: list[UUID]) -> None:
        self.stack = stack
        self.engine = engine
        self.ids = ids

    async def report(self) -> Report:
        return await verify(self.engine.db, self.engine.networks)

    @asynccontextmanager
    async def edited(self, statement: str, *args: object) -> AsyncIterator[Report]:
        """The report after an edit by hand with every trigger off; undone afterwards."""
        tables = ("payment_queue", "mint_queue", "transactions", "attempts", "payment_events")
        connection = await asyncpg.connect(self.stack.dsn)
        try:
            kept = {t: await connection.fetch(f"select * from {t}") for t in tables}
            await connection.execute("set session_replication_role = replica")
            await connection.execute(statement, *args)
            yield await self.report()
            for table in reversed(tables):
                await connection.execute(f"delete from {table}")
            for table in tables:
                columns = len(kept[table][0])
                rows = [tuple(row.values()) for row in kept[table]]
                marks = ", ".join(f"${n}" for n in range(1, columns + 1))
                await connection.executemany(
                    f"insert into {table} overriding system value values ({marks})", rows
                )
        finally:
            await connection.close()

    async def wait(self) -> None:
        """Until the chain has mined whatever a test has sent."""

        async def empty() -> bool:
            pool = await self.stack.rpc.call("txpool_status")
            return isinstance(pool, dict) and int(pool["pending"], 16) == 0

        await eventually(empty)

    async def wallet_sends(self, key: str, to: str, data: bytes = b"", value: int = 0) -> str:
        """A transaction of one of our wallets that is in no row."""
        signer = LocalSigner.from_key(key)
        signed = signer.sign(
            UnsignedTransaction(
                chain_id=only_network(self.engine).chain_id,
                nonce=await self.stack.nonce(signer.address),
                to=to,
                value=value,
                data=data,
                gas_limit=500_000,
                max_fee=10**10,
                priority_fee=10**9,
            )
        )
        await self.stack.rpc.call("eth_sendRawTransaction", "0x" + signed.raw.hex())
        await self.wait()
        return signed.hash

    async def book(self, hash_: str, kind: str, nonce: int, wallet: str) -> None:
        """Claim a transaction as ours, in the books."""
        raw = await self.stack.rpc.call("eth_getRawTransactionByHash", hash_)
        connection = await asyncpg.connect(self.stack.dsn)
        try:
            await connection.execute(
                """
                with t as (
                    insert into transactions (chain_id, wallet, nonce, kind, state, mined_hash)
                    values ($1, $2, $3, $4, 'mined', $5) returning id)
                insert into attempts (hash, transaction_id, raw, max_fee, priority_fee, gas_limit)
                select $5, id, $6, 1, 1, 1 from t
                """,
                only_network(self.engine).chain_id,
                wallet,
                nonce,
                kind,
                hash_,
                bytes.fromhex(str(raw)[2:]),
            )
        finally:
            await connection.close()


@pytest.fixture
async def books(dsn: str, tmp_path: Path) -> AsyncIterator[Books]:
    async with Stack(dsn, tmp_path) as stack, stack.engine() as engine:
        payers = await stack.payers(3)
        ids = ids_of(
            await engine.intake.submit_many([stack.body(engine, p, quantity=2) for p in payers])
        )
        await stack.all_are(engine, ids, "completed")
        await stack.all_minted(engine, 6)
        await engine.stop()
        await stack.verified(engine)
        yield Books(stack, engine, ids)


#: (what is planted, the statement, what the report must say besides the payment's id)
EDITS = [
    (
        "a completion that never happened",
        "update payment_queue set authorization_nonce = '0x' || repeat('ab', 32) where id = $1",
        "it is completed, and the chain has no transfer that pays it",
    ),
    (
        "another amount than was charged",
        "update payment_queue set amount = amount + 1 where id = $1",
        "it is completed, and the chain has no transfer that pays it",
    ),
    (
        "another recipient than was paid",
        "update payment_queue set pay_to = '0x' || repeat('22', 20) where id = $1",
        "it is completed, and the chain has no transfer that pays it",
    ),
    (
        "a charge that was forgotten",
        "update payment_queue set status = 'failed', final = false where id = $1",
        "on the chain pays it",
    ),
    (
        "evidence of another transaction",
        "update payment_queue set tx_hash = '0x' || repeat('cd', 32) where id = $1",
        "the books name 0xcdcd",
    ),
    (
        "evidence of another block",
        "update payment_queue set block_number = block_number + 1 where id = $1",
        "the books name",
    ),
    (
        "a failure for good that can still be charged",
        (
            "update payment_queue set status = 'failed', final = true, tx_hash = null,"
            " authorization_nonce = '0x' || repeat('ab', 32) where id = $1"
        ),
        "it is failed for good, and it can still be charged",
    ),
    (
        "a journal with a step left out",
        "delete from payment_events where payment_id = $1 and to_status = 'processing'",
        "its events do not replay to its status",
    ),
    (
        "a journal that ends elsewhere",
        "delete from payment_events where payment_id = $1 and to_status = 'completed'",
        "its events do not replay to its status",
    ),
    (
        "a step that does not exist",
        (
            "update payment_events set from_status = 'completed' where payment_id = $1"
            " and to_status = 'processing'"
        ),
        "its events do not replay to its status",
    ),
    (
        "a mint that was forgotten",
        "delete from mint_queue where payment_id = $1 and unit = 2",
        "2 mints were paid for, 1 are queued",
    ),
    (
        "a mint too many",
        (
            "insert into mint_queue (payer_address, tx_hash_bytes32, token_address, chain_id,"
            " payment_id, unit) select payer_address, '0x' || repeat('ef', 32), token_address,"
            " chain_id, payment_id, 3 from mint_queue where payment_id = $1 and unit = 1"
        ),
        "2 mints were paid for, 3 are queued",
    ),
    (
        "a mint that never happened",
        (
            "update mint_queue set tx_hash_bytes32 = '0x' || repeat('ef', 32)"
            " where payment_id = $1 and unit = 1"
        ),
        "it is completed, and the chain has no such mint",
    ),
    (
        "a mint for somebody else",
        (
            "update mint_queue set payer_address = '0x' || repeat('33', 20)"
            " where payment_id = $1 and unit = 1"
        ),
        "minted to",
    ),
    (
        "a mint that was given up",
        (
            "update mint_queue set tx_hash_bytes32 = '0x' || repeat('ef', 32), status = 'failed'"
            " where payment_id = $1 and unit = 1"
        ),
        "paid for, and given up",
    ),
    (
        "goods for a payment that did not complete",
        "update payment_queue set status = 'failed', final = false where id = $1",
        "minted, and the payment is not completed",
    ),
]


async def test_every_difference_in_the_books_is_reported_with_its_payment(books: Books) -> None:
    """Whatever the books say wrongly about a payment, verify names the payment and what differs."""
    for planted, statement, words in EDITS:
        async with books.edited(statement, books.ids[1]) as report:
            named = [d for d in report.differences if str(books.ids[1]) in d and words in d]
            assert named, (planted, report.differences, report.not_checked)
            assert not any(str(books.ids[0]) in d for d in report.differences), planted
    await books.stack.verified(books.engine)


#: The same for transactions: the report names the wallet's address or the transaction.
TRANSACTION_EDITS = [
    (
        "a nonce without a row",
        "delete from transactions where nonce = 1 and wallet = $1",
        "1 to 1 were used by transactions that are not in these books",
    ),
    (
        "the first nonces without rows",
        "delete from transactions where nonce < 2 and wallet = $1",
        "0 to 1 were used by transactions that are not in these books",
    ),
    (
        "first nonces that nobody used",
        "update transactions set nonce = nonce + 9, state = 'live' where wallet = $1",
        "nonces 3 to 8 are in no row: a gap",
    ),
    (
        "a nonce that leaves a gap",
        (
            "update transactions set nonce = nonce + 7, state = 'live', mined_hash = null"
            " where nonce = 2 and wallet = $1"
        ),
        "nonces 3 to 8 are in no row: a gap",
    ),
    (
        "a transaction that the chain does not have",
        (
            "update transactions set nonce = nonce + 1, mined_hash = '0x' || repeat('ab', 32)"
            " where nonce = 2 and wallet = $1"
        ),
        "has another chain, nonce or value",
    ),
    (
        "a reverted transaction that succeeded",
        "update transactions set state = 'reverted' where nonce = 2 and wallet = $1",
        "it is reverted, and",
    ),
    (
        "a replaced transaction that was mined",
        "update transactions set state = 'replaced' where nonce = 2 and wallet = $1",
        "it is replaced, and",
    ),
    (
        "bytes that are not those of the hash",
        (
            "update attempts set raw = raw || '\\x00' where hash = (select mined_hash"
            " from transactions where nonce = 2 and wallet = $1)"
        ),
        "does not have the hash of its bytes",
    ),
    (
        "a payment that its transaction does not carry",
        (
            "update transactions t set payment_ids = (select payment_ids from transactions o"
            " where o.nonce = 1 and o.wallet = t.wallet) where nonce = 2 and wallet = $1"
        ),
        "does not carry what its row says",
    ),
    (
        "a no-op that is none",
        (
            "update attempts set noop = true where hash = (select mined_hash"
            " from transactions where nonce = 2 and wallet = $1)"
        ),
        "is no no-op",
    ),
    (
        "two attempts of one nonce that do different things",
        (
            "update attempts set transaction_id = (select id from transactions where nonce = 1"
            " and wallet = $1) where hash = (select mined_hash from transactions where nonce = 2"
            " and wallet = $1)"
        ),
        "its attempts do different things",
    ),
]


async def test_every_difference_in_the_transactions_is_reported(books: Books) -> None:
    """A gap, a doubled purpose or a wrong outcome of a nonce of ours does not pass the audit."""
    [wallet] = books.stack.wallets
    for planted, statement, words in TRANSACTION_EDITS:
        async with books.edited(statement, wallet) as report:
            said = report.differences + report.notes
            assert any(words in line for line in said), (planted, said)
    await books.stack.verified(books.engine)


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
    await stack.verified(books.engine)


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
