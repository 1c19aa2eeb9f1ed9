"""The guide's statements, typed by hand on a live database."""

import asyncpg
import pytest

from tests.harness.books import (
    accepted,
    becomes,
    by_hand,
    journal,
    mints,
    payment,
    running,
    transactions,
)
from tests.harness.moves import mining
from tests.harness.stack import PAYEE, PRICE, Stack

_STUCK = """
UPDATE payment_queue
SET status = 'confirmation_failed',
    error = 'Manual reset - stuck in sent'
WHERE status = 'sent'
AND processed_at < NOW() - INTERVAL '10 minutes';
"""
_ROLLBACK = """
UPDATE payment_queue
SET status = 'failed',
    error = 'Rollback to sync processing'
WHERE status = 'sent';
"""


@pytest.mark.parametrize(
    ("statement", "status"), [(_STUCK, "confirmation_failed"), (_ROLLBACK, "failed")]
)
async def test_what_was_given_up_by_hand_and_lands_is_delivered_once(
    held: Stack, statement: str, status: str
) -> None:
    """The guide's manual UPDATEs run on rows whose transaction then lands: completed late,
    delivered once, and the journal knows whose hand it was."""
    async with running(held) as engine:
        payers = await held.payers(3)
        ids = await accepted(engine, [held.body(engine, payer) for payer in payers])
        await held.all_are(engine, ids, "sent")
        old = "update payment_queue set processed_at = now() - interval '11 minutes'"
        await by_hand(held, old + " where status = 'sent'")
        assert await by_hand(held, statement) == "UPDATE 3"
        for each in ids:
            await becomes(engine, each, status, "manual", final=False)
        async with mining(held):
            await held.all_are(engine, ids, "completed")
            await held.all_minted(engine, 3)
        assert (status, "manual") in await journal(engine, ids[0])
        assert len(await transactions(engine)) == 3
        assert len(await mints(engine)) == 3
        assert await held.token_balance(PAYEE) == 3 * PRICE
        await held.verified(engine)


async def test_a_retry_by_hand_is_refused_while_bytes_may_land(held: Stack) -> None:
    """pending by hand is refused while a live transaction carries the payment, so that it can't be
    sent twice."""
    async with running(held) as engine:
        [payer] = await held.payers(1)
        [one] = await accepted(engine, [held.body(engine, payer)])
        await becomes(engine, one, "sent")
        await by_hand(held, _ROLLBACK)
        with pytest.raises(asyncpg.CheckViolationError):
            await by_hand(held, "update payment_queue set status = 'pending' where id = $1", one)
        assert (await payment(engine, one))["status"] == "failed"
        async with mining(held):
            await becomes(engine, one, "completed")
        assert len(await transactions(engine)) == 1
        await held.verified(engine)
