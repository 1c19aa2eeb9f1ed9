"""What payers, strangers and the token's owner can do to an authorization that we hold."""

from uuid import UUID

import asyncpg
import pytest

from onsettle.api.app import create_app
from onsettle.engine.intake import Accepted
from onsettle.local.payers import Payer, fund
from onsettle.runtime import Engine
from tests.harness.books import (
    LogLines,
    accepted,
    alarms,
    becomes,
    by_hand,
    journal,
    loud,
    mints,
    payment,
    running,
    swept,
    transactions,
)
from tests.harness.commands import onsettle
from tests.harness.contracts import deploy
from tests.harness.http import serving
from tests.harness.moves import (
    STRANGER,
    ahead,
    block_payer,
    clock,
    mining,
    pause_token,
    transfer_of,
)
from tests.harness.stack import PAYEE, PRICE, Stack, domain_of, eventually, ids_of

ADMIN = "admin-token-of-the-tests"


async def test_a_strangers_landing_completes_the_payment_and_ours_reverts(held: Stack) -> None:
    """Whoever submits an authorization first: the payment completes under that transaction, and
    mints once."""
    async with running(held) as engine:
        [payer] = await held.payers(1)
        body = held.body(engine, payer)
        [one] = await accepted(engine, [body])
        await becomes(engine, one, "sent")
        theirs = await ahead(held, STRANGER, held.asset, transfer_of(body))
        async with mining(held):
            row = await becomes(engine, one, "completed")
            await held.all_minted(engine, 1)
            assert row["tx_hash"] == theirs

            async def reverted() -> bool:
                [ours] = await transactions(engine)
                return bool(ours["state"] == "reverted")

            await eventually(reverted)
        assert len(await mints(engine)) == 1
        assert await held.token_balance(PAYEE) == PRICE
        await held.verified(engine)


async def test_a_cancelled_authorization_is_final_and_mints_nothing(held: Stack) -> None:
    """The payer cancels before we land: confirmation_failed, final, nothing minted, and a retry is
    refused, by command, by route and by hand."""
    async with running(held, environment={"admin_token": ADMIN}) as engine:
        [payer] = await held.payers(1)
        body = held.body(engine, payer)
        [one] = await accepted(engine, [body])
        await becomes(engine, one, "sent")
        cancel = payer.cancel(domain_of(engine, held.asset), body["authorization"]["nonce"])
        await ahead(held, STRANGER, held.asset, cancel)
        async with mining(held):
            await becomes(engine, one, "confirmation_failed", "cancelled", final=True)
            await _retry_is_refused(held, engine, one)
        with pytest.raises(asyncpg.CheckViolationError):
            await by_hand(held, "update payment_queue set status = 'pending' where id = $1", one)
        assert await mints(engine) == []
        assert await held.token_balance(PAYEE) == 0
        await held.verified(engine)


async def _retry_is_refused(stack: Stack, engine: Engine, one: UUID) -> None:
    """By the command and by the admin route; the row stays as it is."""
    told = await onsettle(stack.process_environment(), "retry", str(one), "--yes", "--json")
    assert told.code == 1, told
    async with serving(create_app(engine)) as http:
        headers = {"Authorization": f"Bearer {ADMIN}"}
        asked = {"ids": [str(one)]}
        answer = await http.post("/v1/admin/retry", json=asked, headers=headers)
    for [case] in (told.json["payments"], answer.json()["payments"]):
        assert (case["verdict"], case["done"]) == ("over", None), case
    row = await payment(engine, one)
    assert (row["status"], row["reason"], row["final"]) == (
        "confirmation_failed",
        "cancelled",
        True,
    )


async def test_another_authorization_under_the_same_nonce_delivers_nothing(
    held: Stack, log_lines: LogLines
) -> None:
    """The payer signs two authorizations with one nonce and lands the other one, zero to
    themselves: used_elsewhere, final, nothing minted, and an alarm, which the log has too."""
    async with running(held) as engine:
        [payer] = await held.payers(1)
        body = held.body(engine, payer)
        [one] = await accepted(engine, [body])
        await becomes(engine, one, "sent")
        nonce = body["authorization"]["nonce"]
        other = held.body(engine, payer, value=0, pay_to=payer.address, nonce=nonce)
        await ahead(held, STRANGER, held.asset, transfer_of(other))
        async with mining(held):
            await becomes(engine, one, "confirmation_failed", "used_elsewhere", final=True)
        assert len(await alarms(engine, "used_elsewhere")) == 1
        assert loud(log_lines, "used_elsewhere") == [str(one)]
        assert await mints(engine) == []
        await held.verified(engine)


async def test_the_same_authorization_is_one_payment_for_ever(stack: Stack) -> None:
    """In other letter case, and again after a year and after the janitor: the same row, no second
    charge, no second mint."""
    async with running(stack) as engine:
        [payer] = await stack.payers(1)
        body = stack.body(engine, payer)
        [one] = await accepted(engine, [body])
        await becomes(engine, one, "completed")
        await stack.all_minted(engine, 1)
        loud = dict(body["authorization"])
        for name in ("from", "to", "nonce", "signature"):
            loud[name] = "0x" + loud[name][2:].upper()
        shouted = body | {"authorization": loud, "asset": "0x" + stack.asset[2:].upper()}
        assert ids_of(await engine.intake.submit_many([shouted])) == [one]

        await stack.set(engine, finality_blocks=1)
        await clock(stack, int(body["authorization"]["validBefore"]) + 365 * 86_400)
        await stack.mine(3)
        await becomes(engine, one, "completed", final=True)
        lived = len(await journal(engine, one))
        await by_hand(stack, "update payment_events set at = at - interval '400 days'")
        await by_hand(
            stack, "update transactions set created_at = created_at - interval '400 days'"
        )
        await swept(engine)
        assert 1 == len(await journal(engine, one)) < lived
        [again] = await engine.intake.submit_many([shouted])
        assert isinstance(again, Accepted)
        assert (again.id, again.known, again.final) == (one, True, True)
        assert ids_of(await engine.intake.submit_many([body])) == [one]
        assert len(await mints(engine)) == 1
        assert len(await transactions(engine)) == 1
        assert await stack.token_balance(PAYEE) == PRICE
        await stack.verified(engine)


async def test_what_a_payer_can_not_cover_fails_before_any_gas_is_spent(stack: Stack) -> None:
    """Several authorizations of one payer that together overdraw: the covered ones complete, the
    rest fail unsent."""
    async with running(stack, start=False) as engine:
        [payer] = await stack.payers(1, PRICE * 5 // 2)
        ids = await accepted(engine, [stack.body(engine, payer) for _ in range(4)])
        await engine.start()
        await stack.all_are(engine, ids, "completed", "failed", within_s=20)
        rows = [await payment(engine, each) for each in ids]
        assert sorted(row["status"] for row in rows) == ["completed"] * 2 + ["failed"] * 2
        failed = [row for row in rows if row["status"] == "failed"]
        assert {row["reason"] for row in failed} == {"insufficient_balance"}
        assert len(await transactions(engine)) == 2
        assert await stack.nonce(stack.wallets[0]) == 2
        await stack.verified(engine)


async def test_a_payer_blocked_before_sending_fails_unsent(stack: Stack) -> None:
    """Blacklisted between acceptance and sending: failed without gas; unblocked, a retry
    completes it."""
    async with running(stack, start=False) as engine:
        [payer] = await stack.payers(1)
        [one] = await accepted(engine, [stack.body(engine, payer)])
        await block_payer(stack, payer.address)
        await engine.start()
        row = await becomes(engine, one, "failed", "blacklisted", final=False)
        assert row["error"]
        assert await transactions(engine) == []
        await block_payer(stack, payer.address, blocked=False)
        await by_hand(stack, "update payment_queue set status = 'pending' where id = $1", one)
        await becomes(engine, one, "completed")
        await stack.verified(engine)


async def test_a_payment_to_the_token_itself_is_never_sent(stack: Stack) -> None:
    """The token refuses to be paid: the payment waits with the token's own words, costs no gas, and
    holds up no other."""
    async with running(stack) as engine:
        odd, good = await stack.payers(2)
        bodies = [stack.body(engine, odd, pay_to=stack.asset), stack.body(engine, good)]
        [one, other] = await accepted(engine, bodies)
        await becomes(engine, other, "completed")
        words = "waits: Blacklistable: account is blacklisted"
        await becomes(engine, one, "pending", error=words)
        carried = [tx["payment_ids"] for tx in await transactions(engine) if tx["payment_ids"]]
        assert carried == [[other]]
        await stack.verified(engine)


async def test_a_payer_blocked_before_mining_is_not_charged(held: Stack) -> None:
    """Blacklisted between sending and mining: our transaction reverts, the failure is not final,
    and a retry completes it once."""
    async with running(held) as engine:
        [payer] = await held.payers(1)
        [one] = await accepted(engine, [held.body(engine, payer)])
        await becomes(engine, one, "sent")
        await block_payer(held, payer.address)
        async with mining(held):
            await becomes(engine, one, "confirmation_failed", "reverted", final=False)
            assert await held.token_balance(PAYEE) == 0
            await block_payer(held, payer.address, blocked=False)
            await by_hand(held, "update payment_queue set status = 'pending' where id = $1", one)
            await becomes(engine, one, "completed")
            await held.all_minted(engine, 1)
        assert await held.token_balance(PAYEE) == PRICE
        await held.verified(engine)


async def test_a_paused_token_holds_its_payments(stack: Stack) -> None:
    """Paused between acceptance and sending: they wait, no gas is spent, and they complete when it
    is open again."""
    async with running(stack, start=False) as engine:
        payers = await stack.payers(3)
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])
        await pause_token(stack)
        await engine.start()
        for each in ids:
            await becomes(engine, each, "pending")
        row = await becomes(engine, ids[0], "pending", error="waits: Pausable: paused")
        assert row["hold_until"] is not None
        assert await transactions(engine) == []
        await pause_token(stack, paused=False)
        await stack.all_are(engine, ids, "completed", within_s=20)
        await stack.verified(engine)


async def test_a_token_paused_before_mining_charges_nobody(held: Stack) -> None:
    """Paused between sending and mining: our transactions revert, the failures are not final, and
    retries complete them once."""
    async with running(held) as engine:
        payers = await held.payers(2)
        ids = await accepted(engine, [held.body(engine, payer) for payer in payers])
        await held.all_are(engine, ids, "sent")
        await pause_token(held)
        async with mining(held):
            for each in ids:
                await becomes(engine, each, "confirmation_failed", "reverted", final=False)
            await pause_token(held, paused=False)
            await by_hand(
                held, "update payment_queue set status = 'pending' where id = any($1)", ids
            )
            await held.all_are(engine, ids, "completed")
            await held.all_minted(engine, 2)
        assert [reason for _, reason in await journal(engine, ids[0])].count("landed") == 1
        await held.verified(engine)


async def test_a_fee_on_transfer_completes_nothing(stack: Stack) -> None:
    """A token that keeps a part of what is transferred: our transaction succeeds and pays less
    than was signed, so used_elsewhere, final, nothing minted; the audit names the part that the
    token kept."""
    token = await deploy(stack.rpc, "FeeToken")
    async with running(stack, environment={"assets": f"{stack.asset},{token}"}) as engine:
        payer = Payer()
        await fund(stack.rpc_url, token, [payer.address], 10 * PRICE)
        [one] = await accepted(engine, [stack.body(engine, payer, asset=token)])
        await becomes(engine, one, "confirmation_failed", "used_elsewhere", final=True)
        [ours] = await transactions(engine)
        assert ours["state"] == "mined"
        assert 0 < await stack.token_balance(PAYEE, token) < PRICE
        assert len(await alarms(engine, "used_elsewhere")) == 1
        assert await mints(engine) == []
        [fee] = (await stack.audited(engine)).differences
        assert ours["mined_hash"] in fee
        assert "transfer" in fee
        assert "belongs to no payment" in fee
