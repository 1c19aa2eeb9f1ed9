"""Statuses written by hand on a live database: each payment still ends as the chain says."""

from tests.harness.books import accepted, becomes, by_hand, payment, quick, transactions
from tests.harness.commands import onsettle
from tests.harness.moves import by_key, clock, drop, mining
from tests.harness.stack import PAYEE, PRICE, Stack, eventually, only_network

_STATUSES = ("failed", "confirmation_failed", "completed")


async def test_whatever_is_written_by_hand_each_payment_ends_as_the_chain_says(
    held: Stack,
) -> None:
    """Nine payments are out: three land, three lose their nonce, three expire, and of each three
    one is marked failed, one confirmation_failed and one completed by hand. Those that landed are
    completed; the others are not, until a retry sends what can still be sent. No payer is charged
    twice, and nothing is minted that was not paid."""
    async with held.engine() as engine:
        await quick(held, engine)
        payers = await held.payers(9)
        bodies = [
            held.body(engine, payer, lifetime_s=120 if at >= 6 else 3600)
            for at, payer in enumerate(payers)
        ]
        ids = await accepted(engine, bodies)
        await held.all_are(engine, ids, "sent")
        lands, replaced, expires = ids[:3], ids[3:6], ids[6:]
        for group in (lands, replaced, expires):
            for each, status in zip(group, _STATUSES, strict=True):
                await by_hand(
                    held, "update payment_queue set status = $2 where id = $1", each, status
                )
        rows = {row["payment_ids"][0]: row for row in await transactions(engine)}
        lost = [(await payment(engine, each))["tx_hash"] for each in replaced + expires]
        await drop(held, lost)
        for each in replaced:
            taken = by_key(held.keys[0], only_network(engine).chain_id, rows[each]["nonce"])
            await held.rpc.call("eth_sendRawTransaction", taken)
        deadline = max([(await payment(engine, each))["valid_before"] for each in expires])
        await clock(held, deadline + 1)
        async with mining(held):
            for each in lands:
                await becomes(engine, each, "completed", "landed")
            await becomes(engine, expires[0], "failed", "expired", final=True)
            await becomes(engine, expires[1], "confirmation_failed", "expired", final=True)
            await becomes(engine, expires[2], "confirmation_failed", "reversed", final=True)
            await becomes(engine, replaced[0], "failed", "manual", final=False)
            await becomes(engine, replaced[1], "confirmation_failed", "manual", final=False)
            # What stands as completed was delivered: it is sent again without being asked.
            await becomes(engine, replaced[2], "completed", "landed")
            words = ["retry", *map(str, replaced), "--yes", "--json"]

            async def sent_again() -> bool:
                cases = (await onsettle(held.process_environment(), *words)).json["payments"]
                return all(case["verdict"] in ("nothing", "complete") for case in cases)

            await eventually(sent_again)
            await held.all_are(engine, lands + replaced, "completed")
            await held.all_minted(engine, 6)
        assert await held.token_balance(PAYEE) == 6 * PRICE
        await by_hand(held, "update alarms set cleared_at = now()")
        await held.verified(engine)
