"""Back to the older server, and forward again: its statements still work, nothing is lost."""

from uuid import UUID

import asyncpg
import pytest

from onsettle.store.migrate import migrate
from tests.harness.older import OlderServer
from tests.harness.rows import insert_payment
from tests.harness.stack import PAYEE, PRICE, Stack, eventually, ids_of


async def _payments(stack: Stack, older: OlderServer) -> dict[str, UUID]:
    """Our engine's last minutes: one pending, one that a node has and no block holds yet."""
    payers = await stack.payers(3)
    async with stack.engine() as engine:
        done = ids_of(await engine.intake.submit_many([stack.body(engine, payers[0])]))
        await stack.all_are(engine, done, "completed")
        await stack.all_minted(engine, 1)
        await stack.hold_blocks()
        sent = ids_of(await engine.intake.submit_many([stack.body(engine, payers[1])]))
        await stack.all_are(engine, sent, "sent")
        body = stack.body(engine, payers[2])
        await stack.set(engine, payments_paused=True)
    waiting = await older.insert(body["authorization"])
    return {"done": done[0], "sent": sent[0], "waiting": waiting}


async def test_the_older_server_goes_on_and_we_go_on_after_it(stack: Stack) -> None:
    """What each left open the other settles: one charge and one delivery for every payment."""
    await migrate(stack.dsn)
    async with OlderServer.on(stack) as older:
        ours = await _payments(stack, older)
        # The guide's rollback, and then the older server works on our rows and on its own.
        await older.hand.execute(
            "UPDATE payment_queue SET status = 'failed', error = 'Rollback to sync processing'"
            " WHERE status = 'sent'"
        )
        await stack.rpc.call("evm_setAutomine", True)
        await stack.mine()
        theirs = await _older_days(stack, older, ours)
        every = [*ours.values(), *theirs.values()]
        async with stack.engine() as engine:
            await stack.set(engine, payments_paused=False)
            await stack.all_are(engine, every, "completed")
            await _one_mint_each(older, every)
            assert await stack.token_balance(PAYEE) == len(every) * PRICE
            await stack.verified(engine)


async def _older_days(stack: Stack, older: OlderServer, ours: dict[str, UUID]) -> dict[str, UUID]:
    payers = await stack.payers(4)
    signed = [older.authorization(payer) for payer in payers]
    delivered, queued, timed_out, crashed = [await older.insert(each) for each in signed]
    for payment in (ours["waiting"], delivered, queued, timed_out, crashed):
        await older.claim(payment)
    tx_hash = await older.settle(signed[0])
    await older.completed(delivered, tx_hash)
    key = await older.queue_mint(payers[0].address, tx_hash)
    await older.mint(payers[0].address, key)
    await older.hand.execute(
        "update mint_queue set status = 'completed' where tx_hash_bytes32 = $1", key
    )
    tx_hash = await older.settle(signed[1])
    await older.completed(queued, tx_hash)
    await older.queue_mint(payers[1].address, tx_hash)
    tx_hash = await older.settle(signed[2])
    await older.failed(timed_out, "Transaction timeout", tx_hash)
    return {"delivered": delivered, "queued": queued, "timed out": timed_out, "crashed": crashed}


async def _one_mint_each(older: OlderServer, payments: list[UUID]) -> None:
    async def delivered() -> bool:
        rows = await older.hand.fetch(
            "select payment_id, count(*) from mint_queue where status = 'completed' group by 1"
        )
        return {row[0]: row[1] for row in rows} == dict.fromkeys(payments, 1)

    await eventually(delivered)


async def test_every_statement_of_the_older_server_still_works(stack: Stack) -> None:
    """Its INSERT, each change of status that it makes, and its settings: none needs our columns."""
    await migrate(stack.dsn)
    async with OlderServer.on(stack) as older:
        [payer] = await stack.payers(1)
        payment = await older.insert(older.authorization(payer))
        for status in ("processing", "pending", "processing", "failed", "pending", "completed"):
            await older.hand.execute(
                "update payment_queue set status = $2, processed_at = now() where id = $1",
                payment,
                status,
            )
        key = await older.queue_mint(payer.address, "0x" + "12" * 32)
        for status in ("processing", "failed", "pending", "processing", "completed"):
            await older.hand.execute(
                "update mint_queue set status = $2, retry_count = retry_count + 1,"
                " updated_at = now() where tx_hash_bytes32 = $1",
                key,
                status,
            )
        await older.remember_mint(payer.address, "0x" + "12" * 32, key, "0x" + "34" * 32)
        await older.hand.execute(
            "insert into system_settings (key, value, description) values ('payment_batch_size',"
            " '10', 'x') on conflict (key) do update set value = excluded.value"
        )
        nulls = await older.hand.fetch(
            "select table_name, column_name from information_schema.columns"
            " where table_name in ('payment_queue', 'mint_queue', 'mint_history') and"
            " is_nullable = 'NO' and column_default is null order by 1, 2"
        )
        assert {row["column_name"] for row in nulls} == {
            "authorization", "payer", "amount", "payment_token_address", "payment_type",
            "payer_address", "tx_hash_bytes32",
        }  # fmt: skip


async def test_what_is_final_stays_closed_to_the_older_server_too(stack: Stack) -> None:
    """A payment that can never be charged again is not opened by its retry."""
    await migrate(stack.dsn)
    async with OlderServer.on(stack) as older:
        payment = await insert_payment(older.hand)
        await older.hand.execute(
            "update payment_queue set status = 'failed', final = true where id = $1", payment
        )
        with pytest.raises(asyncpg.CheckViolationError, match="final"):
            await older.hand.execute(
                "update payment_queue set status = 'pending' where id = $1", payment
            )


async def test_what_the_older_server_completed_without_minting_is_delivered(stack: Stack) -> None:
    """It took the payment in and charged it in our absence: what is missing of its mints is minted,
    what it minted or queued counts, and what never landed is not believed."""
    await migrate(stack.dsn)
    async with OlderServer.on(stack) as older:
        payers = await stack.payers(3)
        signed = [older.authorization(payer) for payer in payers]
        bare = await older.insert(signed[0], quantity=2)
        half = await older.insert(signed[1], quantity=2)
        claimed = await older.insert(signed[2])
        await older.completed(bare, await older.settle(signed[0]))
        tx_hash = await older.settle(signed[1])
        await older.completed(half, tx_hash)
        key = await older.queue_mint(payers[1].address, tx_hash, "completed")
        await older.mint(payers[1].address, key)
        await older.completed(claimed, "0x" + "77" * 32)
        async with stack.engine() as engine:
            await stack.all_minted(engine, 4)
            rows = await older.hand.fetch("select payment_id, tx_hash_bytes32 from mint_queue")
            assert sorted(row["payment_id"] for row in rows) == sorted([bare, bare, half, half])
            assert key in {row["tx_hash_bytes32"] for row in rows}
            row = await older.hand.fetchrow(
                "select status, final from payment_queue where id = $1", claimed
            )
            assert row is not None
            # Unused and not expired: it may still land, and is judged when it can't any more.
            assert tuple(row) == ("completed", False)
            assert await stack.token_balance(PAYEE) == 2 * PRICE
