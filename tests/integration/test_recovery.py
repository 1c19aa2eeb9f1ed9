"""Recovery commands against a running engine: evidence first, and nothing is ever sent twice."""

import asyncio
from dataclasses import replace
from uuid import UUID

import asyncpg

from onsettle.chain.signer import LocalSigner
from onsettle.chain.transaction import UnsignedTransaction
from onsettle.domain.evidence import AuthorizationUsed
from onsettle.domain.outcome import Fate, Finding
from onsettle.domain.recovery import Ruling, Verdict
from onsettle.engine.recovery import Recovery
from onsettle.local.payers import fund
from onsettle.runtime import Engine
from tests.harness.commands import onsettle
from tests.harness.server import Server
from tests.harness.stack import PAYEE, PRICE, Stack, eventually, ids_of

_BY_HAND = (
    "UPDATE payment_queue SET status = 'confirmation_failed',"
    " error = 'Manual reset - stuck in sent' WHERE status = 'sent'"
)


async def by_hand(stack: Stack, statement: str, *args: object) -> str:
    """As an operator in psql: no connection of ours, no settings of ours."""
    connection = await asyncpg.connect(stack.dsn)
    try:
        return str(await connection.execute(statement, *args))
    finally:
        await connection.close()


async def sent_and_held(stack: Stack, engine: Engine, count: int = 1) -> list[UUID]:
    """Payments that are in the pool of a chain that makes no blocks."""
    payers = await stack.payers(count)
    await stack.hold_blocks()
    ids = ids_of(await engine.intake.submit_many([stack.body(engine, p) for p in payers]))
    await stack.all_are(engine, ids, "sent")
    return ids


async def take_nonce(stack: Stack, hashes: list[str]) -> None:
    """The key's owner uses the nonces of these transactions for something else."""
    signer = LocalSigner.from_key(stack.keys[0])
    first = await stack.nonce(signer.address)
    for at, hash_ in enumerate(hashes):
        await stack.rpc.call("anvil_dropTransaction", hash_)
        foreign = signer.sign(
            UnsignedTransaction(
                chain_id=84532, nonce=first + at, to=signer.address, value=0, data=b"",
                gas_limit=21_000, max_fee=10**11, priority_fee=10**9,
            )
        )  # fmt: skip
        await stack.rpc.call("eth_sendRawTransaction", "0x" + foreign.raw.hex())
    await stack.mine()


async def test_what_may_still_land_is_left_alone_and_completes(stack: Stack) -> None:
    """Neither reset-stuck nor retry touches a payment whose transaction is live."""
    async with stack.engine() as engine:
        [payment] = await sent_and_held(stack, engine)
        await by_hand(stack, _BY_HAND)
        env = stack.process_environment()
        seen = (await onsettle(env, "reset-stuck", "--older-than", "0s", "--yes", "--json")).ok()
        [case] = seen.json["payments"]
        assert (case["verdict"], case["done"]) == ("wait", None)
        assert case["evidence"]["authorization"] == "unused"
        refused = await onsettle(env, "retry", str(payment), "--yes", "--json")
        assert refused.code == 1
        await stack.release_blocks()
        await stack.all_are(engine, [payment], "completed")
        await stack.all_minted(engine, 1)
        await stack.verified(engine)


async def test_provably_unspent_is_sent_again_and_charged_once(stack: Stack) -> None:
    """A payment marked by hand, whose nonce went to something else, is sent again on request."""
    async with stack.engine() as engine:
        [payment] = await sent_and_held(stack, engine)
        await by_hand(stack, _BY_HAND)
        row = await engine.db.fetchrow("payment_get", payment)
        assert row is not None
        await take_nonce(stack, [row["tx_hash"]])
        env = stack.process_environment()

        async def free() -> bool:
            found = await engine.db.fetch("recovery_payments", [payment])
            return bool(found[0]["live"] is None)

        await eventually(free)
        dry = (await onsettle(env, "reset-stuck", "--older-than", "0s", "--dry-run", "--json")).ok()
        assert dry.json["payments"][0]["verdict"] == "retry"
        assert await stack.statuses(engine, [payment]) == ["confirmation_failed"]
        done = (await onsettle(env, "retry", str(payment), "--yes", "--json")).ok()
        assert done.json["payments"][0]["done"] is True
        await stack.all_are(engine, [payment], "sent", "completed")
        await stack.mine()
        await stack.all_are(engine, [payment], "completed")
        assert await stack.token_balance(PAYEE) == PRICE


async def test_what_landed_is_completed_and_delivered_once(stack: Stack) -> None:
    """reset-stuck finds a transfer that the books missed, and fulfils it."""
    async with stack.engine() as engine:
        [payment] = await sent_and_held(stack, engine)
    await stack.mine()
    env = stack.process_environment()
    # As if the block had been read and its transfer overlooked.
    head = await stack.rpc.call("eth_getBlockByNumber", "latest", False)
    assert isinstance(head, dict)
    await by_hand(
        stack,
        "update networks set cursor_number = $1, cursor_hash = $2",
        int(head["number"], 16),
        head["hash"],
    )
    late = (await onsettle(env, "reset-stuck", "--older-than", "0s", "--yes")).ok()
    assert "complete: it landed" in late.out
    async with stack.engine() as engine:
        assert await stack.statuses(engine, [payment]) == ["completed"]
        await stack.release_blocks()
        await stack.all_minted(engine, 1)
        await stack.verified(engine)


async def test_without_a_worker_what_landed_is_completed_by_the_command(stack: Stack) -> None:
    """Nobody has read its block: `reset-stuck` reads the blocks itself, as a worker would, and
    completes it; what is in the pool is left alone, and that no worker runs is said. The next
    worker mints, once."""
    async with stack.engine() as engine:
        landed = await sent_and_held(stack, engine, 2)
    await stack.mine(3)
    env = stack.process_environment()
    words = ("reset-stuck", "--older-than", "0s")
    dry = (await onsettle(env, *words, "--dry-run")).ok().out
    assert dry.count("sent -> complete: it landed in block") == 2
    assert "no worker reads the chain" in dry
    assert "No worker runs: " in dry
    assert "Start `onsettle worker`" in dry
    async with stack.engine(start=False) as engine:
        assert await stack.statuses(engine, landed) == ["sent", "sent"]
        done = (await onsettle(env, *words, "--yes", "--json")).ok().json
        assert [(c["verdict"], c["done"]) for c in done["payments"]] == [("complete", True)] * 2
        assert done["workers"] == 0
        assert await stack.statuses(engine, landed) == ["completed", "completed"]
        network = await engine.db.fetchrow("network_get", 84532)
        assert network is not None
        assert network["cursor_number"] == await stack.height()
        assert (network["lease_holder"], network["followed"]) == (None, False)
        assert await stack.nonce(stack.wallets[0]) == 2
        again = (await onsettle(env, *words, "--yes")).ok().out
        assert "0 payments" in again
    async with stack.engine() as engine:
        await stack.release_blocks()
        await stack.all_minted(engine, 2)
        await stack.verified(engine)


async def test_blocks_that_a_worker_is_about_to_read_are_left_to_it(stack: Stack) -> None:
    """While somebody holds the lease of the chain the command neither reads nor writes."""
    async with stack.engine() as engine:
        [payment] = await sent_and_held(stack, engine)
    await stack.mine()
    await by_hand(
        stack,
        "update networks set lease_holder = 'there', lease_until = now() + interval '1 minute'",
    )
    words = ("reset-stuck", "--older-than", "0s", "--yes", "--json")
    [case] = (await onsettle(stack.process_environment(), *words)).ok().json["payments"]
    assert (case["verdict"], case["done"]) == ("wait", None)
    assert "a worker completes it" in case["why"]
    async with stack.engine(start=False) as engine:
        assert await stack.statuses(engine, [payment]) == ["sent"]


async def test_what_is_sent_again_without_a_worker_waits_for_one(stack: Stack) -> None:
    """It goes back to pending, and what to start is said; what may still land as well."""
    async with stack.engine() as engine:
        free, live = await sent_and_held(stack, engine, 2)
        await by_hand(stack, _BY_HAND)
    await by_hand(
        stack,
        "update transactions set state = 'replaced' where $1 = any(payment_ids)",
        free,
    )
    env = stack.process_environment()
    said = (await onsettle(env, "reset-stuck", "--yes")).ok().out
    assert f"{free}  confirmation_failed -> retry: unspent" in said
    assert f"{live}  confirmation_failed -> wait" in said
    assert "No worker runs: nothing is sent" in said
    async with stack.engine(start=False) as engine:
        assert await stack.statuses(engine, [free, live]) == ["pending", "confirmation_failed"]


async def test_a_mint_is_looked_up_before_it_is_minted_again(stack: Stack) -> None:
    """A minted unit marked as failed by hand is completed; one that is not minted is minted."""
    async with stack.engine() as engine:
        payers = await stack.payers(1)
        body = stack.body(engine, payers[0], quantity=2)
        [payment] = ids_of(await engine.intake.submit_many([body]))
        await stack.all_minted(engine, 2)
        env = stack.process_environment()
        await by_hand(stack, "update mint_queue set status = 'failed', block_number = null")
        listed = (await onsettle(env, "mints", "list", "--status", "failed", "--json")).ok()
        assert {row["payment_id"] for row in listed.json} == {str(payment)}
        done = (await onsettle(env, "mints", "retry", "--status", "failed", "--yes", "--json")).ok()
        assert [case["verdict"] for case in done.json["mints"]] == ["complete", "complete"]
        await stack.all_minted(engine, 2)
        await stack.verified(engine)


async def test_stuck_says_why_since_when_and_what_comes_next(stack: Stack) -> None:
    """Each waiting row, the dry wallet and the alarm are shown with the command that helps."""
    async with stack.engine() as engine:
        [payment] = await sent_and_held(stack, engine)
        env = stack.process_environment()
        quiet = (await onsettle(env, "stuck", "--json")).ok()
        assert quiet.json["payments"] == []
        found = (await onsettle(env, "stuck", "--older-than", "0s", "--json")).ok()
        [row] = found.json["payments"]
        assert row["id"] == str(payment)
        assert f"of wallet {stack.wallets[0]}" in row["why"]
        assert row["next"].startswith("the same bytes are sent again")
        await by_hand(stack, _BY_HAND)
        marked = (await onsettle(env, "stuck")).ok()
        assert "marked by hand" in marked.out
        assert "onsettle reset-stuck" in marked.out
        status = (await onsettle(env, "status")).ok()
        assert "to reprocess them: onsettle reset-stuck" in status.out
        await by_hand(stack, "insert into alarms values ('test', 'here', 'look at this')")
        told = (await onsettle(env, "stuck", "--json")).ok()
        assert told.json["alarms"][0]["message"] == "look at this"
        await stack.mine()
        await stack.all_are(engine, [payment], "completed")
    stopped = (await onsettle(env, "stuck", "--json")).ok()
    assert stopped.json["workers"] == 0
    assert stopped.json["networks"][0]["why"] == "no worker is running"


async def test_a_payment_that_failed_for_its_balance_is_sent_again_on_request(
    stack: Stack,
) -> None:
    """Once the payer has the money, an operator may send it again; two operators at once send it
    once, and its rounds begin anew."""
    async with stack.engine() as engine:
        [payer] = await stack.payers(1, PRICE - 1)
        [payment] = ids_of(await engine.intake.submit_many([stack.body(engine, payer)]))
        await stack.all_are(engine, [payment], "failed")
        await by_hand(stack, "update payment_queue set rounds = 2")
        await fund(stack.chain.rpc_url, stack.asset, [payer.address], PRICE)
        env = stack.process_environment()
        words = ("retry", "--status", "failed", "--error", "insufficient", "--yes", "--json")
        both = await asyncio.gather(onsettle(env, *words), onsettle(env, *words))
        done = [case["done"] for each in both for case in each.json["payments"]]
        assert done.count(True) == 1, both
        row = await engine.db.fetchrow("payment_get", payment)
        assert row is not None
        assert row["rounds"] == 0
        await stack.all_are(engine, [payment], "completed")
        assert await stack.token_balance(PAYEE) == PRICE


async def test_what_was_never_there_is_named(stack: Stack) -> None:
    """Unknown ids, wrong options and a duration that is none are refused in words."""
    async with stack.engine(start=False):
        env = stack.process_environment()
        missing = await onsettle(env, "retry", str(UUID(int=7)), "--yes")
        assert (missing.code, "There is no payment" in missing.err) == (1, True)
        neither = await onsettle(env, "retry", "--error", "x", "--yes")
        assert (neither.code, "Name payments" in neither.err) == (2, True)
        never = await onsettle(env, "stuck", "--older-than", "soon")
        assert (never.code, "not a duration" in never.err) == (2, True)
        asks = await onsettle(env, "reset-stuck", "--json")
        assert (asks.code, "add --yes or --dry-run" in asks.err) == (2, True)


async def test_what_changed_since_the_look_is_not_acted_on(stack: Stack) -> None:
    """Between the evidence and the write a transaction may come alive, or a block may go: the
    write sees it, and does nothing."""
    async with stack.engine() as engine:
        [payment] = await sent_and_held(stack, engine)
        await by_hand(stack, _BY_HAND)
        recovery = Recovery(engine.db, engine.networks, engine.settings)
        [case] = await recovery.look([payment])
        assert case.ruling.verdict is Verdict.WAIT
        as_if_free = replace(case, ruling=Ruling(verdict=Verdict.RETRY, why="it was free"))
        [done] = await recovery.apply([as_if_free])
        assert done.done is False
        assert case.row is not None
        dropped = AuthorizationUsed(
            address=case.row["payment_token_address"], payer=case.row["payer"],
            nonce=case.row["authorization_nonce"], tx_hash="0x" + "ab" * 32, block_number=1,
            block_hash="0x" + "cd" * 32, log_index=0,
        )  # fmt: skip
        await by_hand(
            stack,
            "insert into blocks values (84532, 1, 'other', 'p', 1)"
            " on conflict (chain_id, number) do update set hash = excluded.hash",
        )
        as_if_landed = replace(
            case,
            ruling=Ruling(verdict=Verdict.COMPLETE, why="it was there"),
            finding=Finding(fate=Fate.LANDED, event=dropped),
        )
        [done] = await recovery.apply([as_if_landed])
        assert done.done is False
        assert await stack.statuses(engine, [payment]) == ["confirmation_failed"]
        await stack.release_blocks()
        await stack.all_are(engine, [payment], "completed")


async def test_looking_prepares_no_database(stack: Stack, server: Server) -> None:
    """A command that only looks refuses a database that `migrate` has not seen, and leaves it as
    it is."""
    empty = server.create()
    for words in (("reset-stuck", "--dry-run"), ("verify",), ("stuck",)):
        answer = await onsettle(stack.process_environment(database_url=empty), *words)
        assert answer.code == 1
        assert "run `onsettle migrate`" in answer.err
    connection = await asyncpg.connect(empty)
    try:
        assert await connection.fetchval("select to_regclass('payment_queue')") is None
    finally:
        await connection.close()
    server.drop(empty)
