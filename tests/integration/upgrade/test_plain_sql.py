"""Rows INSERTed by plain SQL, as the older server does: checked when picked, settled like any."""

import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from onsettle.store.migrate import migrate
from tests.harness.commands import onsettle
from tests.harness.older import OlderServer, spelled, split
from tests.harness.stack import PAYEE, PRICE, Stack


@pytest.fixture
async def writer(stack: Stack) -> AsyncIterator[OlderServer]:
    """Another program on a database that is new."""
    await migrate(stack.dsn)
    async with OlderServer.on(stack) as server:
        yield server


async def _reason(writer: OlderServer, payment: UUID) -> tuple[str, str, str]:
    row = await writer.hand.fetchrow(
        "select status, reason, error from payment_queue where id = $1", payment
    )
    assert row is not None
    return tuple(row)


async def test_a_good_row_settles_and_is_delivered(stack: Stack, writer: OlderServer) -> None:
    """Text amounts, any spelling, no chain, a signature in one part or three: all the same."""
    payers = await stack.payers(3)
    first, second, third = [writer.authorization(payer) for payer in payers]
    ids = [
        await writer.insert(first, quantity=3),
        await writer.insert(split(second)),
        await writer.insert(first_letters(third), payment_type="deploy"),
    ]
    async with stack.engine() as engine:
        await stack.all_are(engine, ids, "completed")
        await stack.all_minted(engine, 4)
        assert await stack.token_balance(PAYEE) == 3 * PRICE
        await stack.verified(engine)


def first_letters(authorization: dict[str, str]) -> dict[str, str]:
    """Addresses and nonce in upper case, v as 0 or 1."""
    signature = authorization["signature"]
    v = int(signature[-2:], 16) - 27
    return authorization | {
        "from": spelled(authorization["from"]),
        "to": spelled(authorization["to"]),
        "nonce": "0x" + authorization["nonce"][2:].upper(),
        "signature": f"{signature[:-2]}{v:02x}",
    }


async def test_a_bad_row_fails_with_its_reason(stack: Stack, writer: OlderServer) -> None:
    """The same checks as intake's, and nothing of it reaches the chain."""
    [payer, other] = await stack.payers(2)
    good = writer.authorization(payer)
    now = int(time.time())
    rows: dict[str, Any] = {
        "signature_invalid": (good | {"signature": writer.authorization(other)["signature"]}, {}),
        "quantity_out_of_range": (writer.authorization(payer), {"quantity": 101}),
        "zero_amount": (writer.authorization(payer, value=0), {}),
        "validity_too_long": (writer.authorization(payer, valid_before=now + 10**8), {}),
        "validity_too_short": (writer.authorization(payer, valid_before=now + 3), {}),
        "payee_not_allowed": (writer.authorization(payer, pay_to="0x" + "22" * 20), {}),
        "unreadable": (good | {"validBefore": "tomorrow"}, {}),
        "amount_mismatch": (writer.authorization(payer), {"amount": "9999"}),
        "asset_not_allowed": (writer.authorization(payer), {"asset": "0x" + "77" * 20}),
    }
    ids = {reason: await writer.insert(row, **more) for reason, (row, more) in rows.items()}
    await _mint_token_of_nobody(writer, ids, writer.authorization(payer))
    async with stack.engine(pay_to=PAYEE) as engine:
        await stack.all_are(engine, list(ids.values()), "failed")
        for expected, payment in ids.items():
            _, reason, error = await _reason(writer, payment)
            assert reason == expected
            assert error
        await stack.verified(engine)
    assert await stack.nonce(stack.wallets[0]) == 0


async def _mint_token_of_nobody(
    writer: OlderServer, ids: dict[str, UUID], authorization: dict[str, str]
) -> None:
    payment = await writer.insert(authorization)
    await writer.hand.execute(
        "update payment_queue set token_address = $2 where id = $1", payment, "0x" + "66" * 20
    )
    ids["unknown_mint_token"] = payment


async def test_an_expired_row_is_looked_up_first(stack: Stack, writer: OlderServer) -> None:
    """One that was used in time has paid: it completes. One that was not fails as expired."""
    payers = await stack.payers(2)
    soon = int(time.time()) + 30
    used, unused = [writer.authorization(payer, valid_before=soon) for payer in payers]
    await writer.settle(used)
    await stack.rpc.call("evm_setNextBlockTimestamp", soon + 5)
    await stack.mine()
    landed, late = await writer.insert(used), await writer.insert(unused)
    async with stack.engine() as engine:
        await stack.all_are(engine, [landed], "completed")
        await stack.all_are(engine, [late], "failed")
        assert (await _reason(writer, late))[1] == "expired"
        await stack.all_minted(engine, 1)
        await stack.verified(engine)


async def test_a_row_of_a_payment_that_is_known_is_its_copy(
    stack: Stack, writer: OlderServer
) -> None:
    """The same authorization by SQL and over the API is charged and delivered once."""
    [payer, other] = await stack.payers(2)
    async with stack.engine() as engine:
        body = stack.body(engine, payer)
        known = (await engine.intake.submit(body)).id
        copy = await writer.insert(body["authorization"])
        await stack.all_are(engine, [copy], "failed")
        assert (await _reason(writer, copy))[1] == "duplicate"
        second = stack.body(engine, other)
        written = await writer.insert(second["authorization"])
        await stack.all_are(engine, [known, written], "completed")
        second["metadata"] = {"quantity": 1, "mode": "x402"}
        answer = await engine.intake.submit(second)
        assert (answer.id, answer.known) == (written, True)
        await stack.all_minted(engine, 2)
        assert await stack.token_balance(PAYEE) == 2 * PRICE
        await stack.verified(engine)


async def test_a_row_that_was_refused_is_taken_when_it_is_mended(
    stack: Stack, writer: OlderServer
) -> None:
    """A retry says why it was refused and what mends it; an operator corrects it and sets it to
    pending, as the guide retries: it is checked anew."""
    [payer] = await stack.payers(1)
    signed = writer.authorization(payer)
    payment = await writer.insert(signed, amount="1")
    async with stack.engine() as engine:
        await stack.all_are(engine, [payment], "failed")
        retry = ("retry", str(payment), "--yes")
        refused = await onsettle(stack.process_environment(), *retry)
        assert refused.code == 1
        assert (
            "failed -> refused: it was not taken over (amount_mismatch): the amount of the row is"
            " not the signed value; mend `amount` and set the row to pending"
        ) in refused.out
        assert await stack.statuses(engine, [payment]) == ["failed"]
        await writer.hand.execute(
            "update payment_queue set status = 'pending', amount = $2 where id = $1",
            payment,
            PRICE,
        )
        await stack.all_are(engine, [payment], "completed")
        await stack.all_minted(engine, 1)
        await stack.verified(engine)
