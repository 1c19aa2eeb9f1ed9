"""A restored, older backup: the chain knows more than the books."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from onsettle.engine.intake import Accepted
from tests.harness.books import accepted, becomes, mints, payment, running, transactions
from tests.harness.moves import mining, pool_hashes
from tests.harness.server import Server
from tests.harness.stack import PAYEE, PRICE, Stack, eventually


async def _before(stack: Stack, bodies: Sequence[dict[str, Any]]) -> list[UUID]:
    """What the backup knows: the blocks so far, and payments that wait."""
    async with running(stack) as engine:

        async def stands() -> bool:
            row = await engine.db.fetchrow("network_get", next(iter(engine.networks)))
            return row is not None and row["cursor_number"] is not None

        await eventually(stands)
    async with running(stack, start=False) as engine:
        return await accepted(engine, bodies)


async def _lost_time(
    stack: Stack, known: Sequence[UUID], bodies: Sequence[dict[str, Any]]
) -> tuple[list[UUID], set[str]]:
    """What the backup does not know: the known payments and a new one land and are delivered, and
    another new one is still in the pool."""
    async with running(stack) as engine:
        lost = await accepted(engine, bodies[:1])
        async with mining(stack):
            await stack.all_are(engine, [*known, *lost], "completed")
            await stack.all_minted(engine, 3)
        keys = {row["tx_hash_bytes32"] for row in await mints(engine)}
        lost += await accepted(engine, bodies[1:])
        await becomes(engine, lost[1], "sent")
    return lost, keys


async def test_a_restored_backup_repeats_nothing(server: Server, dsn: str, tmp_path: Path) -> None:
    """Nonces, ids and mint keys do not repeat; what landed in the lost time is found on the chain
    and completed; what was acknowledged in the lost time and comes again is the same payment."""
    async with Stack(dsn, tmp_path) as stack:
        await stack.hold_blocks()
        payers = await stack.payers(4)
        async with stack.engine(start=False) as engine:
            bodies = [stack.body(engine, payer) for payer in payers]
        known = await _before(stack, bodies[:2])
        backup = server.create(like=dsn)
        try:
            lost, keys = await _lost_time(stack, known, bodies[2:])
            [pending] = await pool_hashes(stack, stack.wallets[0])
            stack.dsn = backup
            async with running(stack) as engine:
                again = await engine.intake.submit_many(bodies)
                assert [a.id for a in again if isinstance(a, Accepted)] == known + lost
                await stack.all_are(engine, known, "completed")
                async with mining(stack):
                    await stack.all_are(engine, known + lost, "completed")
                    await stack.all_minted(engine, 4)
                    # Nothing was signed over what these books do not know.
                    assert await transactions(engine) == []
                    assert (await payment(engine, lost[1]))["tx_hash"] == pending
                    assert keys < {row["tx_hash_bytes32"] for row in await mints(engine)}
                    [after] = await accepted(engine, [stack.body(engine, payers[0])])
                    await becomes(engine, after, "completed")
                [signed] = await transactions(engine)
                assert signed["nonce"] == await stack.nonce(stack.wallets[0]) - 1
                assert await stack.token_balance(PAYEE) == 5 * PRICE
                async with mining(stack):
                    await stack.all_minted(engine, 5)
                await stack.verified(engine)
        finally:
            server.drop(backup)
