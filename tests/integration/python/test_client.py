"""Onsettle in a Python program."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from onsettle import Onsettle, Payment, PaymentFailed, PaymentStatus, Refused
from onsettle.domain.delivery import HANDLER_SCHEDULE
from onsettle.engine import courier, handlers
from onsettle.local.payers import Payer
from onsettle.store.database import Record
from tests.harness.moves import mining
from tests.harness.stack import PRICE, Stack, eventually


def _program(stack: Stack, **options: Any) -> Onsettle:
    return Onsettle.from_env(stack.environment(), folder=stack.folder, **options)


def _authorization(stack: Stack, onsettle: Onsettle, payer: Payer) -> dict[str, Any]:
    body = stack.body(onsettle._open, payer)
    authorization: dict[str, Any] = body["authorization"]
    return authorization


async def _message(
    onsettle: Onsettle, payment: Payment, wanted: Callable[[Record], bool]
) -> Record:
    """The handlers' message of a payment, once it is as wanted."""

    async def there() -> Record | None:
        rows = await onsettle._open.db.fetch("outbox_list", None, payment.id, 10)
        return rows[0] if rows and wanted(rows[0]) else None

    found = await eventually(there)
    assert found is not None
    return found


async def test_a_payment_is_submitted_waited_for_and_handled(stack: Stack) -> None:
    """Ten lines settle a payment and mint for it; handlers, plain and async, are called."""
    onsettle = _program(stack)
    handled: list[Payment] = []
    told = asyncio.Event()

    @onsettle.on_completed
    async def deliver(payment: Payment) -> None:
        await asyncio.sleep(0)
        handled.append(payment)

    @onsettle.on_completed
    def note(_: Payment) -> None:
        told.set()

    async with onsettle:
        [payer] = await stack.payers(1)
        authorization = _authorization(stack, onsettle, payer)
        payment = await onsettle.submit(
            authorization, token_address=stack.mint_token, quantity=2, metadata={"order": "7"}
        )
        assert payment.status in tuple(PaymentStatus)
        assert (payment.payer, payment.amount) == (payer.address, PRICE)
        assert payment.metadata == {"quantity": 2, "order": "7"}
        done = await payment.completed(timeout_s=30)
        assert done.status is PaymentStatus.COMPLETED
        assert done.tx_hash
        assert done.completed_at
        await asyncio.wait_for(told.wait(), 30)
        assert [each.id for each in handled] == [payment.id]
        again = await onsettle.submit(
            authorization, token_address=stack.mint_token, quantity=2, metadata={"order": "7"}
        )
        assert again.id == payment.id
        assert again.status is PaymentStatus.COMPLETED
        await stack.all_minted(onsettle._open, 2)


async def test_a_handler_that_raises_is_called_again(stack: Stack) -> None:
    """What a handler stumbles over is tried again, alone, until it goes through."""
    onsettle = _program(stack)
    tries: dict[object, int] = {}

    @onsettle.on_completed
    def sometimes(payment: Payment) -> None:
        tries[payment.id] = tries.get(payment.id, 0) + 1
        if payment.metadata.get("hard") and tries[payment.id] < 3:
            raise RuntimeError("not yet")

    async with onsettle:
        payers = await stack.payers(2)
        ids = []
        for payer, hard in zip(payers, (True, False), strict=True):
            authorization = _authorization(stack, onsettle, payer)
            payment = await onsettle.submit(authorization, metadata={"hard": hard})
            ids.append(payment.id)

        async def all_done() -> bool:
            rows = await onsettle._open.db.fetch("outbox_list", "delivered", None, 10)
            return len(rows) == 2

        await eventually(all_done)
    assert [tries[each] for each in ids] == [3, 1]


async def test_each_handler_is_called_whatever_the_others_do(stack: Stack) -> None:
    """Two raise: the third has its turn all the same, and what is told of the failure names
    everything that was raised."""
    onsettle = _program(stack)
    called: list[object] = []

    @onsettle.on_completed
    def broken(_: Payment) -> None:
        raise RuntimeError("no luck")

    @onsettle.on_completed
    async def broken_too(_: Payment) -> None:
        raise KeyError("nor here")

    onsettle.on_completed(lambda payment: called.append(payment.id))
    async with onsettle:
        [payer] = await stack.payers(1)
        payment = await onsettle.submit(_authorization(stack, onsettle, payer))
        failed = await _message(onsettle, payment, lambda row: row["last_error"] is not None)
        assert "RuntimeError: no luck; KeyError: 'nor here'" in failed["last_error"]
        assert payment.id in called


async def test_a_handler_that_hangs_gives_its_place_back(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time it is cancelled and counts as failed; those behind it are handled."""
    monkeypatch.setattr(courier, "_AT_ONCE", 1)
    monkeypatch.setattr(handlers, "_LIMIT_S", 0.3)
    onsettle = _program(stack)
    done: list[object] = []
    cancelled = asyncio.Event()

    @onsettle.on_completed
    async def hang(payment: Payment) -> None:
        if payment.metadata.get("hangs"):
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
        done.append(payment.id)

    async with onsettle:
        payers = await stack.payers(2)
        slow = await onsettle.submit(
            _authorization(stack, onsettle, payers[0]), metadata={"hangs": True}
        )
        failed = await _message(onsettle, slow, lambda row: row["last_error"] is not None)
        assert failed["last_error"] == "it took longer than 0.3 s"
        assert cancelled.is_set()
        quick = await onsettle.submit(_authorization(stack, onsettle, payers[1]))
        await _message(onsettle, quick, lambda row: row["status"] == "delivered")
    assert done == [quick.id]


async def test_a_handler_that_never_comes_back_is_given_up(stack: Stack) -> None:
    """A message that was taken as often as the schedule allows, by processes that ended in the
    middle, is dead at the next look and can be replayed; its handler is not called."""
    called: list[object] = []
    first = _program(stack)
    first.on_completed(lambda payment: called.append(payment.id))
    async with first:
        pass
    async with _program(stack) as settling:
        [payer] = await stack.payers(1)
        payment = await settling.submit(_authorization(stack, settling, payer))
        await payment.completed(timeout_s=30)
        tries = len(HANDLER_SCHEDULE) + 1
        await settling._open.db.pool.execute("update outbox set tries = $1", tries)
    second = _program(stack, settle=False)
    second.on_completed(lambda payment: called.append(payment.id))
    async with second:
        dead = await _message(second, payment, lambda row: row["status"] == "dead")
        assert dead["last_error"] == "no try of it came back: it hangs, or it ends its process"
        assert called == []
        await second._open.db.fetch("outbox_replay", [dead["id"]], False)
        await _message(second, payment, lambda row: row["status"] == "delivered")
    assert called == [payment.id]


async def test_what_completed_while_nobody_listened_is_handled_later(stack: Stack) -> None:
    """A program that was away finds what completed meanwhile, whoever settled it."""
    seen: list[object] = []
    first = _program(stack)
    first.on_completed(lambda payment: seen.append(payment.id))
    async with first:
        pass
    async with _program(stack) as settling:
        [payer] = await stack.payers(1)
        payment = await settling.submit(_authorization(stack, settling, payer))
        await payment.completed(timeout_s=30)
    assert seen == []
    second = _program(stack, settle=False)
    second.on_completed(lambda payment: seen.append(payment.id))
    async with second:

        async def handled() -> bool:
            return seen == [payment.id]

        await eventually(handled)


async def test_failures_are_exceptions_with_a_code(stack: Stack) -> None:
    """Refused at once or failed later: each says which payment, and why, in a stable word."""
    async with _program(stack) as onsettle:
        poor = Payer()
        authorization = _authorization(stack, onsettle, poor)
        payment = await onsettle.submit(authorization)
        async with mining(stack):
            with pytest.raises(PaymentFailed) as failure:
                await payment.completed(timeout_s=30)
        assert failure.value.payment.reason == "insufficient_balance"
        assert str(payment.id) in str(failure.value)
        with pytest.raises(Refused) as refused:
            await onsettle.submit({**authorization, "value": "1.5"})
        assert refused.value.code == "invalid_amount"
        await stack.hold_blocks()
        [payer] = await stack.payers(1)
        waiting = await onsettle.submit(_authorization(stack, onsettle, payer))
        with pytest.raises(TimeoutError):
            await waiting.completed(timeout_s=0.3)
        assert (await waiting.refresh()).status is not PaymentStatus.COMPLETED
    with pytest.raises(RuntimeError, match="async with"):
        await onsettle.submit(authorization)


async def test_waiting_for_a_payment_that_is_not_there_is_an_error(stack: Stack) -> None:
    """An id that nobody has submitted: LookupError at once, with or without a time limit."""
    async with _program(stack, settle=False) as onsettle:
        with pytest.raises(LookupError):
            await asyncio.wait_for(onsettle.wait(UUID(int=7)), 20)


async def test_a_payment_that_is_tried_again_is_waited_for(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It failed, and was sent again before it was read: whoever waits goes on until it completes,
    and through a database that is away for a moment."""
    async with _program(stack, settle=False) as onsettle:
        db, read = onsettle._open.db, onsettle.payment
        payment = await onsettle.submit(_authorization(stack, onsettle, Payer()))
        statements = [
            "update payment_queue set status = 'pending', reason = 'retry' where id = $1",
            None,
        ]
        # It must not fail between the two reads below.
        still = asyncio.Lock()

        async def late(payment_id: UUID) -> Payment:
            async with still:
                status = await db.pool.fetchval(
                    "select status from payment_queue where id = $1", payment_id
                )
                if status == "failed" and statements:
                    if (statement := statements.pop()) is None:
                        raise OSError("away for a moment")
                    await db.pool.execute(statement, payment_id)
                return await read(payment_id)

        monkeypatch.setattr(onsettle, "payment", late)
        waiting = asyncio.create_task(onsettle.wait(payment.id))
        async with still:
            await db.pool.execute(
                "update payment_queue set status = 'failed', reason = 'expired' where id = $1",
                payment.id,
            )

        async def again() -> bool:
            return not statements

        await eventually(again)
        await db.pool.execute(
            "update payment_queue set status = 'completed', reason = 'landed' where id = $1",
            payment.id,
        )
        done = await asyncio.wait_for(waiting, 30)
        assert done.status is PaymentStatus.COMPLETED
