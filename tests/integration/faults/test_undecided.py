"""What can't be told now is no verdict: the payment waits with a reason, and the others go on."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from onsettle.chain.crypto import authorization_digest
from onsettle.domain.authorization import Authorization
from onsettle.local.payers import Payer, fund
from onsettle.runtime import Engine
from tests.harness.books import (
    accepted,
    attempts,
    becomes,
    by_hand,
    journal,
    payment,
    running,
    transactions,
)
from tests.harness.contracts import calldata
from tests.harness.faults import Request, result
from tests.harness.moves import block, mining
from tests.harness.proxy import FaultProxy
from tests.harness.stack import PAYEE, PRICE, Stack, domain_of, eventually

_STRANGER = "0x" + "77" * 20


@pytest.fixture
async def proxy(stack: Stack) -> AsyncIterator[FaultProxy]:
    """The node of `stack`, which answers as a test says."""
    async with FaultProxy(stack.chain.rpc_url) as made:
        stack.rpc_url = made.url
        yield made


def _contract_body(
    stack: Stack, engine: Engine, owner: Payer, wallet: str, **more: Any
) -> dict[str, Any]:
    """A payment from a contract, in the words of its owner."""
    authorization = Authorization(
        payer=wallet,
        pay_to=PAYEE,
        value=PRICE,
        valid_after=0,
        valid_before=int(time.time()) + 3600,
        nonce="0x" + secrets.token_hex(32),
        signature=b"",
    )
    digest = authorization_digest(domain_of(engine, stack.asset).separator, authorization)
    body = stack.body(engine, owner, **more)
    body["authorization"] |= {
        "from": wallet,
        "validBefore": str(authorization.valid_before),
        "nonce": authorization.nonce,
        "signature": "0x" + owner.sign(digest).hex(),
    }
    return body


def _asks(call: Request, contract: str) -> bool:
    return bool(call["method"] == "eth_call" and call["params"][0].get("to") == contract)


async def _waits(engine: Engine, payment_id: UUID, said: str) -> None:
    """Wait until a payment is held, with these words in its error."""

    async def held() -> bool:
        row = await payment(engine, payment_id)
        assert row["status"] == "pending", (row["status"], row["error"])
        return bool(row["hold_until"] and said in (row["error"] or ""))

    await eventually(held)


async def test_a_balance_of_an_older_block_fails_nobody(dsn: str, tmp_path: Path) -> None:
    """One URL is two nodes, and the one that is asked for balances is far behind the one that shows
    the newest block: who was given money meanwhile waits, and completes."""
    async with (
        Stack(dsn, tmp_path) as stack,
        FaultProxy(stack.chain.rpc_url) as proxy,
        mining(stack, 0.5),
    ):
        stack.rpc_url = proxy.url
        async with running(stack) as engine:
            await stack.mine(25)
            [payer] = await stack.payers(1)
            proxy.script("behind", "eth_call", amount=20)
            [one] = await accepted(engine, [stack.body(engine, payer, payment_type="plain")])
            taken = (await payment(engine, one))["created_at"].timestamp()

            async def judged_by_a_later_block() -> bool:
                await _waits(engine, one, "does not read at block")
                return bool(int((await block(stack))["timestamp"], 16) > taken + 3)

            await eventually(judged_by_a_later_block)
            proxy.clear()
            await becomes(engine, one, "completed")
            assert ("failed", "insufficient_balance") not in await journal(engine, one)
            await stack.verified(engine)


async def test_a_node_that_can_not_ask_a_contract_has_not_said_no(
    stack: Stack, proxy: FaultProxy
) -> None:
    """The token refuses a contract's signature, and the node fails when the contract itself is
    asked: the payment waits, and completes when the contract says yes."""
    async with running(stack) as engine:
        owner = Payer()
        wallet = await stack.deploy("ContractWallet", owner.address)
        await fund(stack.chain.rpc_url, stack.asset, [wallet], PRICE)
        body = _contract_body(stack, engine, owner, wallet, payment_type="plain")
        await engine.db.execute("wallet_pause", stack.wallets[0], True)
        [one] = await accepted(engine, [body])
        await stack.send_as(_STRANGER, wallet, calldata("setOwner(address)", _STRANGER))
        proxy.refuse(lambda call: _asks(call, wallet))
        await engine.db.execute("wallet_pause", stack.wallets[0], False)
        await _waits(engine, one, "it can't be told why")
        await stack.send_as(_STRANGER, wallet, calldata("setOwner(address)", owner.address))
        await becomes(engine, one, "completed")
        await stack.verified(engine)


async def test_payments_whose_gas_can_not_be_estimated_let_the_others_pass(
    stack: Stack, proxy: FaultProxy
) -> None:
    """A node tells nothing about the gas of some payers' transfers: theirs are the oldest and fill
    every batch, they wait with a reason, and what comes after them is settled."""
    async with running(stack, start=False, payment_batch_size=2) as engine:
        odd, plain = [await stack.payers(12), await stack.payers(1)]
        addresses = [payer.address[2:] for payer in odd]

        def theirs(call: Request) -> bool:
            data = str(call["params"][0].get("data")) if call["method"] == "eth_estimateGas" else ""
            return any(address in data for address in addresses)

        seen = asyncio.Event()

        async def after_that(call: Request) -> None:
            # What the other one needs is what they need: once it is known, they wait no more.
            if not theirs(call):
                await asyncio.wait_for(seen.wait(), 20)

        proxy.refuse(theirs)
        proxy.watch["eth_estimateGas"] = after_that
        bodies = [stack.body(engine, payer, payment_type="plain") for payer in [*odd, *plain]]
        *waiting, last = [(await accepted(engine, [body]))[0] for body in bodies]
        await engine.start()
        await _waits(engine, waiting[0], "its gas can't be estimated")
        seen.set()
        await becomes(engine, last, "completed")
        proxy.clear()
        await by_hand(stack, "update payment_queue set hold_until = null where status = 'pending'")
        await stack.all_are(engine, waiting, "completed")
        await stack.verified(engine)


async def test_nothing_is_signed_with_less_gas_than_it_needs(stack: Stack) -> None:
    """A payer's contract takes more gas to check its signature than we spend for it: nothing is
    signed, and the payment says why it waits."""
    # 80,000 rounds of a loop, about 2 million gas, and then yes.
    loop = "62013880" + "5b" + "600190038060045750"
    says_yes = "7f1626ba7e" + "00" * 28 + "60005260206000f3"
    wallet = "0x" + secrets.token_hex(20)
    async with running(stack) as engine:
        await stack.rpc.call("anvil_setCode", wallet, "0x" + loop + says_yes)
        [owner] = await stack.payers(1)
        await fund(stack.chain.rpc_url, stack.asset, [wallet], PRICE)
        body = _contract_body(stack, engine, owner, wallet, payment_type="plain")
        [one] = await accepted(engine, [body])
        await _waits(engine, one, "its gas can't be estimated within 1500000")
        assert await transactions(engine) == []
        [other] = await accepted(engine, [stack.body(engine, owner, payment_type="plain")])
        await becomes(engine, other, "completed")


async def test_a_chain_with_large_units_of_gas_gets_what_it_asks_for(
    stack: Stack, proxy: FaultProxy
) -> None:
    """Where a transfer takes millions of units of gas, it is given them and their room."""
    needs = 4_000_000
    proxy.lie(
        lambda call: call["method"] == "eth_estimateGas",
        lambda call, _honest: result(call, hex(needs)),
    )
    async with running(stack) as engine:
        [payer] = await stack.payers(1)
        [one] = await accepted(engine, [stack.body(engine, payer, payment_type="plain")])
        await becomes(engine, one, "completed")
        [row] = await transactions(engine)
        [attempt] = await attempts(engine, row["id"])
        assert attempt["gas_limit"] > needs


async def test_a_window_that_opened_since_the_last_block_is_open(stack: Stack) -> None:
    """A chain that makes blocks on demand has stood still: a payment whose `validAfter` lies
    between its last block and now makes the next one."""
    async with running(stack) as engine:
        [payer] = await stack.payers(1)

        async def idle() -> bool:
            return time.time() - int((await block(stack))["timestamp"], 16) > 16

        await eventually(idle)
        now = int(time.time())
        body = stack.body(engine, payer, payment_type="plain")
        body["authorization"] = payer.authorize(
            domain_of(engine, stack.asset),
            PAYEE,
            PRICE,
            valid_after=now - 6,
            valid_before=now + 600,
        )
        [one] = await accepted(engine, [body])
        await becomes(engine, one, "completed")
        await stack.verified(engine)
