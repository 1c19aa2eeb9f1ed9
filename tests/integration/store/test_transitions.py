"""The life of a payment: the table in the code and the trigger in the database are one."""

import itertools

import asyncpg
import pytest

from onsettle.domain.payment import TRANSITIONS, PaymentStatus, allowed
from tests.harness.rows import STATUSES, Connection, force, insert_payment, status_of

_REFUSED = "payment_queue_transition"


async def _moves(connection: Connection, payment: object, status: str) -> bool:
    try:
        await connection.execute(
            "update payment_queue set status = $2 where id = $1", payment, status
        )
    except asyncpg.CheckViolationError as error:
        if error.constraint_name != _REFUSED:
            raise
        return False
    return True


async def test_code_and_trigger_allow_the_same_moves(connection: Connection) -> None:
    """For every pair of statuses the database does what the code's table says."""
    assert set(STATUSES) == set(PaymentStatus)
    payment = await insert_payment(connection)
    for old, new in itertools.permutations(PaymentStatus, 2):
        await force(connection, payment, status=old.value)
        assert await _moves(connection, payment, new) == allowed(old, new), (old, new)
    rows = await connection.fetch("select from_status, to_status from payment_transitions")
    assert {tuple(row) for row in rows} == {(old.value, new.value) for old, new in TRANSITIONS}


@pytest.mark.parametrize("status", STATUSES)
async def test_a_payment_starts_as_pending(connection: Connection, status: str) -> None:
    """An insert in any other status is refused, whoever writes it."""
    insert = """
        insert into payment_queue (payment_type, "authorization", payer, amount,
            payment_token_address, status) values ('deploy', '{}', '0x', 1, '0x', $1)"""
    if status == "pending":
        await connection.execute(insert, status)
        return
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await connection.execute(insert, status)
    assert refused.value.constraint_name == _REFUSED


async def test_a_word_that_is_no_status_is_refused(connection: Connection) -> None:
    """The guide's check holds beside the trigger."""
    payment = await insert_payment(connection)
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await connection.execute("update payment_queue set status = 'paid' where id = $1", payment)
    assert refused.value.constraint_name == "payment_queue_status_check"


async def test_a_final_payment_moves_no_more(connection: Connection) -> None:
    """Whatever the table would allow, `final` closes it."""
    payment = await insert_payment(connection)
    for old, new in TRANSITIONS:
        await force(connection, payment, status=old.value, final=True)
        assert not await _moves(connection, payment, new)


async def test_nothing_goes_back_to_pending_under_a_live_transaction(
    connection: Connection,
) -> None:
    """While signed bytes can still land, a second transaction would race them."""
    payment = await insert_payment(connection)
    carrier = await connection.fetchval(
        "insert into transactions (chain_id, wallet, nonce, kind, payment_ids)"
        " values (1, '0xaa', 0, 'payment', array[$1::uuid]) returning id",
        payment,
    )
    await force(connection, payment, status="failed", transaction_id=carrier)
    assert not await _moves(connection, payment, "pending")
    await connection.execute("update transactions set state = 'replaced' where id = $1", carrier)
    assert await _moves(connection, payment, "pending")


async def test_the_journal_replays_to_the_status_after_hand_edits(connection: Connection) -> None:
    """Every change is an event, from where the last one led; those of a hand say so."""
    payment = await insert_payment(connection)
    path = ["processing", "sent", "failed", "pending", "failed", "completed"]
    for status in path:
        assert await _moves(connection, payment, status)
    await connection.execute("update payment_queue set error = 'a note' where id = $1", payment)
    events = await connection.fetch(
        "select from_status, to_status, reason from payment_events where payment_id = $1"
        " order by id",
        payment,
    )
    assert [event["to_status"] for event in events] == ["pending", *path]
    assert [event["from_status"] for event in events] == [None, "pending", *path[:-1]]
    assert {event["reason"] for event in events[1:]} == {"manual"}
    assert events[-1]["to_status"] == await status_of(connection, payment)


async def test_one_statement_writes_an_event_for_each_of_its_rows(connection: Connection) -> None:
    """The guide's UPDATE over many rows leaves one event each, and none where nothing moved."""
    payments = [await insert_payment(connection) for _ in range(5)]
    await connection.execute("update payment_queue set status = 'failed'")
    await connection.execute("update payment_queue set status = 'failed'")
    moved = await connection.fetch(
        "select payment_id from payment_events where from_status = 'pending'"
    )
    assert sorted(row["payment_id"] for row in moved) == sorted(payments)
