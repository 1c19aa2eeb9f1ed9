"""What a node says about our bytes, and what it does with them."""

from collections import Counter
from collections.abc import AsyncIterator
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest

from onsettle.chain.rpc import Pool
from onsettle.store.database import Record
from tests.harness.books import accepted, attempts, becomes, mints, running, transactions
from tests.harness.moves import base_fee, mining, pool_hashes
from tests.harness.proxy import FaultProxy
from tests.harness.stack import PAYEE, PRICE, Stack, eventually
from tests.harness.workers import end_leases, worker


@pytest.fixture
async def proxied(dsn: str, tmp_path: Path) -> AsyncIterator[tuple[Stack, FaultProxy]]:
    """A stack whose engine reaches the chain through a node that can lie."""
    async with Stack(dsn, tmp_path) as stack, FaultProxy(stack.chain.rpc_url) as proxy:
        stack.rpc_url = proxy.url
        await stack.hold_blocks()
        yield stack, proxy


@pytest.mark.parametrize(
    "fault",
    [
        "accept_but_error",
        "accept_but_timeout",
        "reset",
        "malformed_after",
        "wrong_id",
        "truncated",
        "shuffled",
    ],
)
async def test_bytes_that_were_taken_and_reported_as_failed(
    proxied: tuple[Stack, FaultProxy], fault: str
) -> None:
    """Accepted but reported as failed, or the answers are late, cut off or not in order: nothing is
    signed anew, each payment lands once under the bytes of its one attempt."""
    stack, proxy = proxied
    async with running(stack, start=False) as engine:
        rule = proxy.script(fault, "eth_sendRawTransaction", times=3, amount=0.3)
        payers = await stack.payers(3)
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])
        await engine.start()
        await _injected(proxy, fault)
        proxy.stop(rule)
        async with mining(stack):
            await stack.all_are(engine, ids, "completed")
            await stack.all_minted(engine, 3)
        ours = await transactions(engine)
        assert [len(await attempts(engine, each["id"])) for each in ours] == [1, 1, 1]
        assert await stack.token_balance(PAYEE) == 3 * PRICE
        await stack.verified(engine)


async def test_bytes_that_were_taken_while_the_client_stopped_waiting(
    proxied: tuple[Stack, FaultProxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node takes the bytes, and its answer comes later than a broadcast waits for it: what it
    did is not known, the same bytes are offered again, and each payment lands once under them."""
    waits_s, answers_after_s = 0.4, 1.2
    monkeypatch.setattr(Pool, "broadcast", partialmethod(Pool.broadcast, timeout_s=waits_s))
    stack, proxy = proxied
    async with running(stack, start=False) as engine:
        offered: Counter[str] = Counter()

        async def note(call: dict[str, Any]) -> None:
            offered[call["params"][0]] += 1

        proxy.watch["eth_sendRawTransaction"] = note
        rule = proxy.script("accept_but_late", "eth_sendRawTransaction", amount=answers_after_s)
        payers = await stack.payers(3)
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])
        await engine.start()

        async def unknown() -> list[Record]:
            rows = [r for t in await transactions(engine) for r in await attempts(engine, t["id"])]
            return rows if len(rows) == 3 and all(r["answer"] == "unknown" for r in rows) else []

        tries = await eventually(unknown)
        assert all(f"no answer within {waits_s:g} s" in row["answer_text"] for row in tries)
        assert set(await pool_hashes(stack, stack.wallets[0])) == {row["hash"] for row in tries}
        assert await stack.statuses(engine, ids) == ["processing"] * 3
        proxy.stop(rule)
        await stack.all_are(engine, ids, "sent")
        assert all(offered["0x" + row["raw"].hex()] > 1 for row in tries)
        async with mining(stack):
            await stack.all_are(engine, ids, "completed")
            await stack.all_minted(engine, 3)
        ours = await transactions(engine)
        assert {each["mined_hash"] for each in ours} == {row["hash"] for row in tries}
        assert [len(await attempts(engine, each["id"])) for each in ours] == [1, 1, 1]
        assert await stack.token_balance(PAYEE) == 3 * PRICE
        await stack.verified(engine)


async def _injected(proxy: FaultProxy, fault: str, times: int = 1) -> None:
    async def there() -> bool:
        return proxy.injected[fault] >= times

    await eventually(there)


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        ("ok_but_dropped", 3),
        ("already_known", 3),
        ("nonce_too_low", 3),
        ("underpriced_replacement", 3),
        ("pool_full", 3),
        ("internal_error", 3),
        # These strike a request, whatever is in it.
        ("rate_limit", 1),
        ("server_error", 1),
    ],
)
async def test_bytes_that_were_reported_as_taken_and_are_nowhere(
    proxied: tuple[Stack, FaultProxy], fault: str, times: int
) -> None:
    """Reported as accepted, known, used, refused or not looked at, and nowhere: they are offered
    again until they are mined; no payment is given up or signed under another nonce."""
    stack, proxy = proxied
    async with running(stack, start=False, fee_bump_after_ms=500) as engine:
        given: Counter[str] = Counter()

        async def note(call: dict[str, Any]) -> None:
            given[call["params"][0]] += 1

        proxy.watch["eth_sendRawTransaction"] = note
        rule = proxy.script(fault, "eth_sendRawTransaction", times=times, amount=0)
        payers = await stack.payers(3)
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])
        await engine.start()
        await _injected(proxy, fault, times)
        proxy.stop(rule)
        async with mining(stack, 0.2):
            await stack.all_are(engine, ids, "completed")
            await stack.all_minted(engine, 3)
        ours = await transactions(engine)
        assert [each["nonce"] for each in ours] == [0, 1, 2]
        for each in ours:
            tries = await attempts(engine, each["id"])
            assert sum(given["0x" + row["raw"].hex()] for row in tries) > 1
        assert await stack.token_balance(PAYEE) == 3 * PRICE
        await stack.verified(engine)


async def test_a_process_killed_between_commit_and_broadcast(held: Stack) -> None:
    """Killed after the signing commit and before any node had the bytes: the next process sends
    exactly those bytes, once."""
    async with running(held, start=False) as engine:
        payers = await held.payers(3)
        ids = await accepted(engine, [held.body(engine, payer) for payer in payers])
        async with worker(held, "kill:broadcast:before") as process:
            await process.died()
        assert await held.statuses(engine, ids) == ["processing"] * 3
        assert await pool_hashes(held, held.wallets[0]) == []
        stored = [await attempts(engine, each["id"]) for each in await transactions(engine)]
        await end_leases(held)
        await engine.start()
        async with mining(held):
            await held.all_are(engine, ids, "completed")
            await held.all_minted(engine, 3)
        landed = {each["mined_hash"] for each in await transactions(engine)}
        assert landed == {only["hash"] for [only] in stored}
        assert await held.token_balance(PAYEE) == 3 * PRICE
        await held.verified(engine)


async def test_a_process_killed_between_broadcast_and_sent(held: Stack) -> None:
    """Killed after a node had the bytes and before `sent` was written: the payments land under
    those bytes, once, and are delivered once."""
    async with running(held, start=False) as engine:
        payers = await held.payers(3)
        ids = await accepted(engine, [held.body(engine, payer) for payer in payers])
        async with worker(held, "kill:broadcast:after") as process:
            await process.died()
        assert await held.statuses(engine, ids) == ["processing"] * 3
        assert len(await pool_hashes(held, held.wallets[0])) == 3
        await held.mine()
        await end_leases(held)
        await engine.start()
        async with mining(held):
            await held.all_are(engine, ids, "completed")
            await held.all_minted(engine, 3)
        assert len(await transactions(engine)) == 3
        assert len(await mints(engine)) == 3
        assert await held.token_balance(PAYEE) == 3 * PRICE
        await held.verified(engine)


async def test_bytes_that_the_node_forgot_are_offered_again(held: Stack) -> None:
    """Accepted and later dropped from the pool: the same bytes come back by themselves."""
    async with running(held, fee_bump_after_ms=500) as engine:
        [payer] = await held.payers(1)
        [one] = await accepted(engine, [held.body(engine, payer)])
        await becomes(engine, one, "sent")
        [hash_] = await pool_hashes(held, held.wallets[0])
        await held.rpc.call("anvil_dropTransaction", hash_)

        async def back() -> bool:
            return await pool_hashes(held, held.wallets[0]) == [hash_]

        await eventually(back)
        async with mining(held):
            await becomes(engine, one, "completed")
            await held.all_minted(engine, 1)
        await held.verified(engine)


async def test_no_bytes_reach_a_node_before_their_commit(
    proxied: tuple[Stack, FaultProxy],
) -> None:
    """Whatever a node is given, sent first, again or dearer, is a committed row by then."""
    stack, proxy = proxied
    async with running(stack, fee_bump_after_ms=300) as engine, stack.database() as beside:
        strange: list[str] = []

        async def given(call: dict[str, Any]) -> None:
            raw = bytes.fromhex(call["params"][0][2:])
            stored = await beside.pool.fetchval("select count(*) from attempts where raw = $1", raw)
            if not stored:
                strange.append(call["params"][0])

        proxy.watch["eth_sendRawTransaction"] = given
        payers = await stack.payers(3)
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])
        await stack.all_are(engine, ids, "sent")

        async def dearer() -> bool:
            await base_fee(stack, 20)
            await stack.mine()
            return len(await beside.pool.fetch("select 1 from attempts")) > len(ids)

        await eventually(dearer, every_s=0.2)
        async with mining(stack):
            await stack.all_are(engine, ids, "completed")
            await stack.all_minted(engine, 3)
        assert proxy.seen["eth_sendRawTransaction"] > len(ids)
        assert not strange
