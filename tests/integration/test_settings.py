"""Runtime settings: rows that anybody may change with SQL, in force without a restart."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import pytest
import structlog

from onsettle.domain.settings import DEFAULTS, SPECS, render
from onsettle.engine.request import Refused
from onsettle.engine.sender import PaymentFeed
from onsettle.engine.settings import SettingsReader
from onsettle.runtime import Engine
from onsettle.store.database import Database
from onsettle.store.migrate import migrate
from tests.harness.books import accepted, attempts, becomes, by_hand, in_force, quick, transactions
from tests.harness.commands import onsettle
from tests.harness.loops import ticked, wallet_of
from tests.harness.proxy import FaultProxy
from tests.harness.stack import Stack, eventually, only_network

#: For each setting a value that is not its default, and one that is not allowed.
_SAMPLES: dict[str, tuple[str, str]] = {
    "payment_batch_interval_ms": ("2000", "9"),
    "payment_batch_size": ("100", "0"),
    "payment_pack_size": ("20", "501"),
    "payment_mode": ("sync", "later"),
    "payments_paused": ("true", "yes"),
    "payment_confirmation_interval_ms": ("500", "-1"),
    "payment_confirmation_timeout_ms": ("60000", "999"),
    "payment_confirmations": ("3", "1.5"),
    "finality_blocks": ("12", "-1"),
    "payment_max_validity_s": ("3600", "59"),
    "payment_max_pending_per_payer": ("5", "0"),
    "payment_queue_limit": ("1000", "0"),
    "priority_fee_gwei": ("0.05", "-0.01"),
    "max_fee_gwei": ("30.5", "NaN"),
    "fee_bump_after_ms": ("5000", "soon"),
    "wallet_max_in_flight": ("16", "0"),
    "rpc_requests_per_second": ("25", "-1"),
    "mint_batch_interval_ms": ("1000", ""),
    "mint_batch_size": ("10", "501"),
}


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Database]:
    await migrate(dsn)
    async with await Database.connect(dsn, size=2) as database:
        yield database


def test_each_setting_has_a_sample() -> None:
    """A setting that is added is tested here too."""
    assert set(_SAMPLES) == set(SPECS)


async def test_each_setting_is_read_anew_and_a_bad_value_keeps_the_last_good_one(
    db: Database,
) -> None:
    """The running reader takes each new value; what is not allowed is named once, with its range,
    and changes nothing."""
    reader = SettingsReader(db)
    for key, (good, _) in _SAMPLES.items():
        await db.execute("setting_write", key, good)

        async def taken(key: str = key, good: str = good) -> bool:
            return bool(render(getattr(await reader.get(), key)) == good)

        await eventually(taken, within_s=10)
        assert getattr(DEFAULTS, key) != getattr(await reader.get(), key)
    with structlog.testing.capture_logs() as logs:
        for key, (_, bad) in _SAMPLES.items():
            await db.execute("setting_write", key, bad)

        async def told() -> bool:
            await reader.get()
            return len([line for line in logs if line["event"] == "setting_refused"]) >= len(SPECS)

        await eventually(told, within_s=10)
        await db.execute("setting_write", "payment_batch_size", "77")

        async def later() -> bool:
            return (await reader.get()).payment_batch_size == 77

        await eventually(later, within_s=10)
    said = [line["detail"] for line in logs if line["event"] == "setting_refused"]
    assert len(said) == len(SPECS)
    for key, (good, _) in _SAMPLES.items():
        [sentence] = [each for each in said if each.startswith(f"{key} = ")]
        assert SPECS[key].allowed() in sentence
        if key != "payment_batch_size":
            assert render(getattr(await reader.get(), key)) == good


async def test_a_bad_value_is_shown_by_status(stack: Stack) -> None:
    """Whoever looks at `status` sees which setting is not in force, and what is allowed."""
    async with stack.engine(start=False):
        await by_hand(
            stack, "update system_settings set value = 'x' where key = 'payment_batch_size'"
        )
        answer = (await onsettle(stack.process_environment(), "status", "--json")).ok()
        [hint] = answer.json["hints"]
        assert "payment_batch_size = 'x' is not valid: allowed is 1 to 5000" in hint


async def test_sync_and_async_switch_while_payments_wait(stack: Stack) -> None:
    """In sync mode one batch is out at a time; back in async the others follow within two seconds,
    by the database's clock, with no block in between and no restart. In sync again, what comes
    waits for those that are out."""
    async with stack.engine() as engine:
        await quick(stack, engine, payment_mode="sync", payment_batch_size=2)
        *payers, last = await stack.payers(7)
        await stack.hold_blocks()
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])

        async def are(sent: int, completed: int) -> bool:
            found = await stack.statuses(engine, ids)
            assert found.count("sent") <= 2, found
            return (found.count("sent"), found.count("completed")) == (sent, completed)

        await eventually(lambda: are(2, 0))
        await stack.mine()
        await eventually(lambda: are(2, 2))
        switched = await engine.db.pool.fetchval("select clock_timestamp()")
        switch = "UPDATE system_settings SET value = $1 WHERE key = 'payment_mode'"
        await by_hand(stack, switch, "async")
        await stack.all_are(engine, ids, "sent", "completed")
        assert (await stack.statuses(engine, ids)).count("sent") == 4
        signed = [row["created_at"] for row in await transactions(engine)]
        assert switched < signed[4] <= switched + timedelta(seconds=2)
        await by_hand(stack, switch, "sync")

        async def one_at_a_time() -> bool:
            return (await engine.settings.get()).payment_mode == "sync"

        await eventually(one_at_a_time, within_s=2)
        ids += await accepted(engine, [stack.body(engine, last)])
        await ticked(wallet_of(engine, PaymentFeed.kind))
        assert (await stack.statuses(engine, ids[-1:])) == ["pending"]
        await stack.mine()
        await stack.all_are(engine, ids, "completed", "sent")
        await stack.mine()
        await stack.all_are(engine, ids, "completed")


async def test_limits_of_intake_follow_the_settings(stack: Stack) -> None:
    """Validity, payments per payer and the queue's limit hold for the next request."""
    async with stack.engine(start=False) as engine:
        [payer] = await stack.payers(1)
        await in_force(
            stack, engine, payment_max_validity_s=600, payment_max_pending_per_payer=1,
        )  # fmt: skip

        async def refusal(lifetime_s: int) -> str:
            [answer] = await engine.intake.submit_many(
                [stack.body(engine, payer, lifetime_s=lifetime_s)]
            )
            return answer.code if isinstance(answer, Refused) else "accepted"

        assert await refusal(3600) != "accepted"
        assert await refusal(300) == "accepted"
        assert await refusal(300) != "accepted"
        await stack.set(engine, payment_max_pending_per_payer=5, payment_queue_limit=1)

        async def full() -> bool:
            return "full" in await refusal(300)

        await eventually(full)
        await stack.set(engine, payment_queue_limit=100, payments_paused=True)

        async def paused() -> bool:
            return "paused" in await refusal(300)

        await eventually(paused)


async def test_fees_and_flight_follow_the_settings(stack: Stack) -> None:
    """The next signature pays the new tip under the new cap; a wallet has no more in flight than
    it may."""
    async with stack.engine() as engine:
        await quick(
            stack, engine, priority_fee_gwei="1.5", max_fee_gwei="7", wallet_max_in_flight=2
        )
        payers = await stack.payers(3)
        await stack.hold_blocks()
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])

        async def two() -> bool:
            return (await stack.statuses(engine, ids)).count("sent") == 2

        await eventually(two)
        for row in await transactions(engine):
            [attempt] = await attempts(engine, row["id"])
            assert attempt["priority_fee"] == Decimal(1_500_000_000)
            assert attempt["max_fee"] <= Decimal(7_000_000_000)
        await stack.set(engine, wallet_max_in_flight=3)
        await stack.all_are(engine, ids, "sent")
        assert len(await transactions(engine)) == 3


async def test_confirmations_and_timeout_follow_the_settings(stack: Stack) -> None:
    """A payment waits for its depth; one that nobody mines times out, stays watched, and completes
    when it lands after all."""
    async with stack.engine() as engine:
        await quick(stack, engine, payment_confirmations=3)
        payers = await stack.payers(2)
        await stack.hold_blocks()
        [first] = await accepted(engine, [stack.body(engine, payers[0])])
        await stack.all_are(engine, [first], "sent")
        await stack.mine()

        async def seen() -> bool:
            row = await engine.db.fetchrow("payment_get", first)
            return row is not None and row["block_number"] is not None

        await eventually(seen)
        assert await stack.statuses(engine, [first]) == ["sent"]
        await stack.mine(2)
        await stack.all_are(engine, [first], "completed")
        await stack.set(engine, payment_confirmation_timeout_ms=1000)
        [second] = await accepted(engine, [stack.body(engine, payers[1])])
        row = await becomes(engine, second, "confirmation_failed", "timeout")
        assert row["final"] is False
        await in_force(stack, engine, payment_confirmations=1)
        await stack.mine()
        await stack.all_are(engine, [second], "completed")


async def test_the_rpc_limit_holds_in_every_process(stack: Stack) -> None:
    """The one that follows the chain and the one that does not: within two seconds of the change
    neither asks its endpoint for more."""
    async with FaultProxy(stack.rpc_url) as proxy, stack.engine() as first:
        await quick(stack, first)

        async def follows() -> bool:
            [row] = await first.db.fetch("networks_all")
            return bool(row["following_since"])

        await eventually(follows)
        async with stack.engine(rpc_urls=proxy.url) as second:
            for engine in (first, second):
                assert await _calls_in_a_second(engine) > 20
            await stack.set(first, rpc_requests_per_second=4)
            limits = [only_network(engine).pool.endpoints[0]._limiter for engine in (first, second)]

            async def limited() -> bool:
                return [limit.rate for limit in limits] == [4, 4]

            await eventually(limited, within_s=2)
            for engine in (first, second):
                assert await _calls_in_a_second(engine) <= 8


async def _calls_in_a_second(engine: Engine) -> int:
    """How often a hurried caller is answered beside the engine's own loops."""
    count, pool = 0, only_network(engine).pool
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            while True:
                await pool.call("eth_chainId")
                count += 1
    return count
