"""`onsettle migrate` on a database of the older server."""

import asyncio
import os
import pty
import sys
from pathlib import Path

from tests.harness.older import OlderServer
from tests.harness.stack import Stack


async def _migrate(stack: Stack, *options: str, code: int = 0, **more: str) -> str:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("onsettle")),
        "migrate",
        *options,
        cwd=stack.folder,
        env=stack.process_environment(**more),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode == code, errors.decode()
    return out.decode()


async def test_without_a_node_it_says_what_is_left_and_the_engine_finishes_it(
    stack: Stack, older: OlderServer
) -> None:
    """The tables change without the chain; what needs it is named, and done when it can be read."""
    payers = await stack.payers(2)
    waiting = await older.insert(older.authorization(payers[0]))
    crashed = await older.insert(older.authorization(payers[1]))
    await older.claim(crashed)
    dry = await _migrate(stack, "--dry-run", rpc_urls="http://127.0.0.1:9")
    assert "would apply our types to the older server's tables" in dry
    kind = "select pg_typeof(amount)::text from payment_queue limit 1"
    assert await older.hand.fetchval(kind) == "character varying"
    said = await _migrate(stack, rpc_urls="http://127.0.0.1:9")
    assert "applied our types to the older server's tables" in said
    assert "left for later: 2 payments that are not completed" in said
    assert await older.hand.fetchval(kind) == "numeric"
    async with stack.engine() as engine:
        await stack.all_are(engine, [waiting, crashed], "completed")
        await stack.all_minted(engine, 2)
        await stack.verified(engine)


async def _at_a_terminal(stack: Stack, answer: bytes) -> tuple[int | None, str]:
    """Its exit code and what it asks and says there, where somebody types this answer."""
    ours, its = pty.openpty()
    try:
        os.write(ours, answer)
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("onsettle")),
            "migrate",
            cwd=stack.folder,
            env=stack.process_environment(),
            stdin=its,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 60)
    finally:
        os.close(ours)
        os.close(its)
    return process.returncode, said.decode()


async def test_somebody_at_a_terminal_is_asked_and_a_script_is_not(
    stack: Stack, older: OlderServer
) -> None:
    """A no leaves everything as it was. Without a terminal there is nobody to ask, and no need of
    `--yes`."""
    [payer] = await stack.payers(1)
    await older.insert(older.authorization(payer))
    kind = "select pg_typeof(amount)::text from payment_queue limit 1"
    code, said = await _at_a_terminal(stack, b"n\n")
    assert code == 1
    assert "to a database with rows? [y/N]" in said
    assert await older.hand.fetchval(kind) == "character varying"
    assert "taken over: 1 payments" in await _migrate(stack)
    assert await older.hand.fetchval(kind) == "numeric"


async def test_a_yes_at_a_terminal_is_taken(stack: Stack, older: OlderServer) -> None:
    """It does then what it does for a script."""
    [payer] = await stack.payers(1)
    await older.insert(older.authorization(payer))
    code, said = await _at_a_terminal(stack, b"y\n")
    assert code == 0
    assert "to a database with rows? [y/N]" in said
    assert "taken over: 1 payments" in said


async def test_with_a_node_it_takes_over_what_is_not_completed(
    stack: Stack, older: OlderServer
) -> None:
    """Nothing is sent yet, and nothing is left for later; a second run has nothing to do."""
    payers = await stack.payers(1)
    waiting = await older.insert(older.authorization(payers[0]))
    said = await _migrate(stack, "--yes")
    assert "taken over: 1 payments" in said
    assert "left for later" not in said
    assert "not taken over" not in said
    row = await older.hand.fetchrow("select * from payment_queue where id = $1", waiting)
    assert row is not None
    assert (row["status"], row["payer"]) == ("pending", payers[0].address)
    assert row["chain_id"] == older.domain.chain_id
    assert (await _migrate(stack)).strip() == "The database is up to date."


async def test_what_it_refused_is_told_apart_from_what_it_took(
    stack: Stack, older: OlderServer
) -> None:
    """Each reason with its number and a query for its rows; what it logs is not among its words."""
    payers = await stack.payers(2)
    await older.insert(older.authorization(payers[0]))
    bad = await older.insert({**older.authorization(payers[1]), "nonce": "0x12"})
    done = await older.insert({"garbage": "yes", "from": payers[0].address, "value": "1"})
    await older.completed(done, "0x" + "99" * 32)
    lines = (await _migrate(stack)).splitlines()
    told = [line for line in lines if not line.startswith("applied ")]
    assert told[0] == "taken over: 1 payments that are not completed"
    assert told[1].startswith("not taken over: 1 payments (unreadable); 1 of them waited")
    listed = await older.hand.fetch(told[1].partition("They are listed by: ")[2])
    assert [row["id"] for row in listed] == [bad]
    assert told[2].startswith("left for later: 1 completed payments")
    assert len(told) == 3


async def test_beside_a_process_that_takes_over_it_says_so(
    stack: Stack, older: OlderServer
) -> None:
    """What it could not do since another is at it is not put on the chain."""
    [payer] = await stack.payers(1)
    await older.insert(older.authorization(payer))
    async with older.hand.transaction():
        await older.hand.execute("select pg_advisory_xact_lock(40213)")
        said = await _migrate(stack)
    assert "wait for their chain (another process is taking them over)" in said
