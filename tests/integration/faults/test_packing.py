"""Several payments in one transaction: each is decided by its own transfer."""

import time
from uuid import UUID

from onsettle.chain.deployed import with_code
from onsettle.chain.transaction import decode_transaction
from onsettle.domain.network import MULTICALL3
from onsettle.local.payers import Payer, fund
from onsettle.runtime import Engine
from tests.harness.books import accepted, attempts, becomes, journal, payment, running, transactions
from tests.harness.contracts import deploy
from tests.harness.moves import (
    STRANGER,
    ahead,
    base_fee,
    block_payer,
    mining,
    reorg,
    transfer_of,
)
from tests.harness.stack import PAYEE, PRICE, Stack, domain_of, eventually


async def _packed(
    stack: Stack, engine: Engine, count: int
) -> tuple[list[Payer], list[dict[str, object]], list[UUID]]:
    """`count` payments that wait for the engine together."""
    payers = await stack.payers(count)
    bodies = [stack.body(engine, payer) for payer in payers]
    ids = await accepted(engine, bodies)
    await engine.start()
    return payers, bodies, ids


async def test_a_backlog_fills_packs_and_a_lone_payment_goes_alone(held: Stack) -> None:
    """Twenty-five payments in packs of ten make three transactions; one payment makes a plain
    one."""
    async with running(held, start=False, payment_pack_size=10) as engine:
        _, _, ids = await _packed(held, engine, 25)
        await held.all_are(engine, ids, "sent")
        assert [len(row["payment_ids"]) for row in await transactions(engine)] == [10, 10, 5]
        async with mining(held):
            await held.all_are(engine, ids, "completed")
            await held.all_minted(engine, 25)
            [payer] = await held.payers(1)
            [one] = await accepted(engine, [held.body(engine, payer)])
            await becomes(engine, one, "completed")
        [sent] = await attempts(engine, (await transactions(engine))[-1]["id"])
        assert decode_transaction(bytes(sent["raw"])).to == held.asset
        assert await held.token_balance(PAYEE) == 26 * PRICE
        await held.verified(engine)


async def test_one_that_fails_inside_a_pack_fails_alone(held: Stack) -> None:
    """A payer is blocked while the pack is on its way: the others complete; that one goes back,
    and once it is open again it is sent by itself and completes."""
    async with running(held, start=False, payment_pack_size=10) as engine:
        payers, _, ids = await _packed(held, engine, 5)
        await held.all_are(engine, ids, "sent")
        await block_payer(held, payers[2].address)
        async with mining(held):
            others = ids[:2] + ids[3:]
            await held.all_are(engine, others, "completed")
            await becomes(engine, ids[2], "failed", "blacklisted")
            assert ("pending", "replaced") in await journal(engine, ids[2])
            await block_payer(held, payers[2].address, blocked=False)
            await held.mine()
            await engine.db.pool.execute(
                "update payment_queue set status = 'pending' where id = $1", ids[2]
            )
            await becomes(engine, ids[2], "completed")
            await held.all_minted(engine, 5)
        pack, alone = await transactions(engine)
        assert (len(pack["payment_ids"]), alone["payment_ids"]) == (5, [ids[2]])
        assert await held.token_balance(PAYEE) == 5 * PRICE
        await held.verified(engine)


async def test_a_pack_member_that_a_stranger_lands_first_completes_under_theirs(
    held: Stack,
) -> None:
    """Front-run of one: it completes by the stranger's transaction, the others by the pack, and
    each is delivered once."""
    async with running(held, start=False, payment_pack_size=10) as engine:
        _, bodies, ids = await _packed(held, engine, 4)
        await held.all_are(engine, ids, "sent")
        theirs = await ahead(held, STRANGER, held.asset, transfer_of(bodies[1]))
        async with mining(held):
            await held.all_are(engine, ids, "completed")
            await held.all_minted(engine, 4)
        hashes = [(await payment(engine, each))["tx_hash"] for each in ids]
        assert hashes[1] == theirs
        assert len(set(hashes)) == 2
        assert await held.token_balance(PAYEE) == 4 * PRICE
        await held.verified(engine)


async def test_a_pack_that_a_reorg_takes_back_is_mined_again(held: Stack) -> None:
    """The same bytes land again; no payment leaves completed and none is delivered twice."""
    async with running(held, start=False, payment_pack_size=10, finality_blocks=50) as engine:
        _, _, ids = await _packed(held, engine, 4)
        await held.all_are(engine, ids, "sent")
        await held.mine()
        await held.all_are(engine, ids, "completed")
        await reorg(held, 1)
        await becomes(engine, ids[3], "completed", block_number=None)
        async with mining(held):

            async def back() -> bool:
                rows = [await payment(engine, each) for each in ids]
                return all(row["block_number"] is not None for row in rows)

            await eventually(back)
            await held.all_minted(engine, 4)
        assert len(await transactions(engine)) == 1
        assert await held.token_balance(PAYEE) == 4 * PRICE
        await held.verified(engine)


async def test_a_bumped_pack_carries_the_same_payments(strict: Stack) -> None:
    """When the base fee rises tenfold the pack is paid for again, with the same calls inside."""
    async with running(strict, start=False, payment_pack_size=10, fee_bump_after_ms=300) as engine:
        _, _, ids = await _packed(strict, engine, 4)
        await strict.all_are(engine, ids, "sent")
        [pack] = await transactions(engine)

        async def done() -> bool:
            await base_fee(strict, 20)
            await strict.mine()
            return set(await strict.statuses(engine, ids)) == {"completed"}

        await eventually(done, every_s=0.2)
        rows = await attempts(engine, pack["id"])
        assert "replacement_underpriced" not in {row["answer"] for row in rows}
        tries = [decode_transaction(bytes(row["raw"])) for row in rows]
        assert len(tries) > 1
        assert {(t.to, t.data, t.nonce) for t in tries} == {
            (MULTICALL3, tries[0].data, tries[0].nonce)
        }
        assert await strict.token_balance(PAYEE) == 4 * PRICE
        async with mining(strict):
            await strict.all_minted(engine, 4)
        await strict.verified(engine)


async def test_a_payer_with_code_is_never_packed(held: Stack) -> None:
    """A contract decides by itself what its signature check does: it goes beside nobody."""
    async with running(held, start=False, payment_pack_size=10) as engine:
        await held.rpc.call("evm_setAutomine", True)
        owner, [*payers] = Payer(), await held.payers(3)
        wallet = await deploy(held.rpc, "ContractWallet", owner.address)
        await fund(held.chain.rpc_url, held.asset, [wallet], 100 * PRICE)
        await held.rpc.call("evm_setAutomine", False)
        assert await with_code(held.rpc.best(), [payers[0].address, wallet, held.asset]) == {
            wallet,
            held.asset,
        }
        bodies = [held.body(engine, payer) for payer in payers]
        lone = held.body(engine, owner)
        lone["authorization"] = Contract(owner, wallet).authorize(
            domain_of(engine, held.asset), PAYEE, PRICE, valid_before=int(time.time()) + 3600
        )
        ids = await accepted(engine, [*bodies[:2], lone, bodies[2]])
        await engine.start()
        await held.all_are(engine, ids, "sent")
        carried = sorted(len(row["payment_ids"]) for row in await transactions(engine))
        assert carried == [1, 3]
        async with mining(held):
            await held.all_are(engine, ids, "completed")
        assert await held.token_balance(PAYEE) == 4 * PRICE
        await held.verified(engine)


class Contract(Payer):
    """A payer whose address is a contract's, and whose owner signs for it."""

    def __init__(self, owner: Payer, address: str) -> None:
        self._key = owner._key
        self.address = address


async def test_code_is_found_in_one_call_as_one_by_one(stack: Stack) -> None:
    """The one-call check and `eth_getCode` agree."""
    some = [stack.asset, STRANGER, MULTICALL3, stack.mint_token, PAYEE]
    found = await with_code(stack.rpc.best(), some * 30)
    codes = {a: await stack.rpc.call("eth_getCode", a, "latest") for a in some}
    assert found == {a for a, code in codes.items() if code != "0x"}
