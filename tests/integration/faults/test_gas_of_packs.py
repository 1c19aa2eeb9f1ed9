"""What goes together fits into the gas that a transaction may have, and nothing in it is bound to
fail."""

from onsettle.runtime import Engine
from tests.harness.books import accepted, attempts, becomes, running, transactions
from tests.harness.moves import mining
from tests.harness.stack import PAYEE, PRICE, Stack, only_network

_BLOCK_GAS = 3_000_000


async def _gas_limits(engine: Engine, kind: str) -> list[int]:
    return [
        int(attempt["gas_limit"])
        for row in await transactions(engine, kind)
        for attempt in await attempts(engine, row["id"])
    ]


async def test_packs_are_cut_to_half_a_blocks_gas(held: Stack) -> None:
    """Where a hundred transfers together need more gas than a transaction may have, they go in
    several packs, each under half a block's gas, and none fails for want of it."""
    async with running(held, start=False, payment_pack_size=100) as engine:
        payers = await held.payers(40)
        await held.rpc.call("evm_setBlockGasLimit", hex(_BLOCK_GAS))
        bodies = [held.body(engine, payer, payment_type="plain") for payer in payers]
        ids = await accepted(engine, bodies)
        await held.mine()
        await engine.start()
        async with mining(held):
            await held.all_are(engine, ids, "completed")
        rows = await transactions(engine)
        assert {row["state"] for row in rows} == {"mined"}
        assert 3 <= len(rows) < 40
        assert max(await _gas_limits(engine, "payment")) <= _BLOCK_GAS // 2
        assert await held.token_balance(PAYEE) == 40 * PRICE
        await held.verified(engine)


async def test_mint_batches_are_cut_to_half_a_blocks_gas(held: Stack) -> None:
    """A hundred mints that are due together go in as many batches as their gas asks for: none is
    tried as a whole and given back first."""
    async with running(held, mint_batch_size=100) as engine:
        [payer] = await held.payers(1)
        await held.rpc.call("evm_setBlockGasLimit", hex(_BLOCK_GAS))
        ids = await accepted(engine, [held.body(engine, payer, quantity=100)])
        async with mining(held):
            await held.all_are(engine, ids, "completed")
            await held.all_minted(engine, 100)
        rows = await transactions(engine, "mint")
        assert {row["state"] for row in rows} == {"mined"}
        assert 3 <= len(rows) < 20
        assert max(await _gas_limits(engine, "mint")) <= _BLOCK_GAS // 2
        # One trial for each batch, not one for each mint.
        [endpoint] = only_network(engine).pool.endpoints
        assert endpoint.stats.by_method["eth_call"] < 40
        await held.verified(engine)


async def test_what_would_fail_is_left_out_of_the_pack(held: Stack) -> None:
    """A payer without the money fails before anything is signed; the others go together."""
    async with running(held, start=False, payment_pack_size=10) as engine:
        payers = await held.payers(4)
        bodies = [held.body(engine, payer, payment_type="plain") for payer in payers]
        bodies[2] = held.body(engine, payers[2], payment_type="plain", value=10**12)
        ids = await accepted(engine, bodies)
        await engine.start()
        rest = ids[:2] + ids[3:]
        async with mining(held):
            await becomes(engine, ids[2], "failed", "insufficient_balance")
            await held.all_are(engine, rest, "completed")
        [pack] = await transactions(engine)
        assert set(pack["payment_ids"]) == set(rest)
        await held.verified(engine)
