"""Mints that can't succeed now: the payment stays completed, and nothing is minted twice."""

from uuid import UUID

from onsettle.runtime import Engine
from tests.harness.books import accepted, becomes, by_hand, mints, running, transactions
from tests.harness.commands import onsettle
from tests.harness.contracts import calldata
from tests.harness.moves import ahead, mining, owner_says
from tests.harness.stack import Stack, eventually


async def _tried(engine: Engine, times: int, said: str) -> None:
    """Wait until every mint that waits has been tried so often, and says why it waits."""

    async def there() -> bool:
        rows = [row for row in await mints(engine) if row["status"] != "completed"]
        return bool(rows) and all(
            row["retry_count"] >= times and said in (row["error_message"] or "") for row in rows
        )

    await eventually(there)


async def _pauses(engine: Engine, times: int) -> list[float]:
    """How long one of the mints that wait was put off after its first tries, in seconds."""
    seen: dict[int, float] = {}

    async def enough() -> bool:
        waiting = [row for row in await mints(engine) if row["status"] == "pending"]
        for row in waiting[-1:]:
            if row["hold_until"] is not None and row["retry_count"]:
                held = row["hold_until"] - row["updated_at"]
                seen[row["retry_count"]] = round(held.total_seconds(), 1)
        return len(seen) >= times

    await eventually(enough)
    return [seen[count] for count in sorted(seen)]


async def test_a_mint_that_reverts_is_tried_again(held: Stack) -> None:
    """The mint token is paused between signing and mining: the batch reverts, each mint goes back
    and is minted once when the token is open."""
    async with running(held) as engine:
        payers = await held.payers(2)
        ids = await accepted(engine, [held.body(engine, payer) for payer in payers])
        await held.all_are(engine, ids, "sent")
        await held.mine()
        await held.all_are(engine, ids, "completed")

        async def signed() -> bool:
            return len(await transactions(engine, "mint")) > 0

        await eventually(signed)
        await owner_says(held, held.mint_token, "setPaused(bool)", True)
        async with mining(held):

            async def reverted() -> bool:
                return any(row["state"] == "reverted" for row in await transactions(engine, "mint"))

            await eventually(reverted)
            await owner_says(held, held.mint_token, "setPaused(bool)", False)
            await held.all_minted(engine, 2)
        assert set(await held.statuses(engine, ids)) == {"completed"}
        assert len(await mints(engine)) == 2
        await held.verified(engine)


async def test_mints_above_the_cap_wait_and_say_so(stack: Stack) -> None:
    """The supply cap is reached: what fits is minted, the rest is retried with a growing back-off,
    says why and stands in `stuck`; with a higher cap all are minted once."""
    async with running(stack) as engine:
        await owner_says(stack, stack.mint_token, "setCap(uint256)", 2)
        [payer] = await stack.payers(1)
        [one] = await accepted(engine, [stack.body(engine, payer, quantity=4)])
        await becomes(engine, one, "completed")
        await stack.all_minted(engine, 2)
        pauses = await _pauses(engine, 3)
        assert pauses == sorted(set(pauses)), pauses
        await _tried(engine, 2, "CapReached")
        stuck = (await onsettle(stack.process_environment(), "stuck", "--json")).ok().json
        waiting = {row["id"] for row in await mints(engine) if row["status"] == "pending"}
        assert {UUID(row["id"]) for row in stuck["mints"]} == waiting
        assert all("CapReached" in row["why"] and row["at"] for row in stuck["mints"])
        assert (await becomes(engine, one, "completed"))["error"] is None
        await owner_says(stack, stack.mint_token, "setCap(uint256)", 100)
        await by_hand(stack, "update mint_queue set hold_until = null where status = 'pending'")
        await stack.all_minted(engine, 4)
        assert len(await mints(engine)) == 4
        await stack.verified(engine)


async def test_mints_of_a_paused_token_wait_and_say_so(stack: Stack) -> None:
    """The mint token is paused: payments complete, mints spend no gas, say why they wait, and are
    minted once when it is open."""
    async with running(stack) as engine:
        await owner_says(stack, stack.mint_token, "setPaused(bool)", True)
        payers = await stack.payers(2)
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])
        await stack.all_are(engine, ids, "completed")
        await _tried(engine, 1, "Paused")
        assert await transactions(engine, "mint") == []
        await owner_says(stack, stack.mint_token, "setPaused(bool)", False)
        await stack.all_minted(engine, 2)
        assert len(await mints(engine)) == 2
        await stack.verified(engine)


async def test_a_dry_mint_wallet_says_what_it_needs(stack: Stack) -> None:
    """The mint wallet has no gas money: payments complete, the wallet says what it needs, and all
    is minted once when it is filled again."""
    async with running(stack) as engine:
        mint_wallet = next(iter(engine.networks.values())).mint_signers
        [address] = mint_wallet
        await stack.rpc.call("anvil_setBalance", address, "0x1")
        payers = await stack.payers(2)
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])
        await stack.all_are(engine, ids, "completed")

        async def needy() -> bool:
            rows = await engine.db.fetch("wallets_list", None)
            return any(row["role"] == "mint" and row["needs_balance"] for row in rows)

        await eventually(needy)
        assert await transactions(engine, "mint") == []
        await stack.rpc.call("anvil_setBalance", address, hex(10**18))
        await stack.all_minted(engine, 2)

        async def content() -> bool:
            rows = await engine.db.fetch("wallets_list", None)
            return all(row["needs_balance"] is None for row in rows)

        await eventually(content)
        assert len(await mints(engine)) == 2
        await stack.verified(engine)


async def test_a_dry_payment_wallet_holds_payments_and_fails_none(stack: Stack) -> None:
    """The payment wallet runs dry: its payments wait, the wallet says what it needs, and they
    complete when it is filled again."""
    async with running(stack) as engine:
        await stack.rpc.call("anvil_setBalance", stack.wallets[0], "0x1")
        payers = await stack.payers(3)
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])

        async def needy() -> bool:
            rows = await engine.db.fetch("wallets_list", None)
            return any(row["role"] == "payment" and row["needs_balance"] for row in rows)

        await eventually(needy)
        assert set(await stack.statuses(engine, ids)) == {"pending"}
        await stack.rpc.call("anvil_setBalance", stack.wallets[0], hex(10**18))
        await stack.all_are(engine, ids, "completed")
        await stack.all_minted(engine, 3)
        await stack.verified(engine)


async def test_a_mint_that_somebody_else_made_counts(held: Stack) -> None:
    """`hasMinted` completes a mint, whoever sent it: ours reverts, the unit is there, once."""
    async with running(held) as engine:
        stranger = "0x" + "5a" * 20
        await owner_says(held, held.mint_token, "grantMinter(address)", stranger)
        [payer] = await held.payers(1)
        [one] = await accepted(engine, [held.body(engine, payer)])
        await becomes(engine, one, "sent")
        await held.mine()
        await becomes(engine, one, "completed")

        async def signed() -> bool:
            return len(await transactions(engine, "mint")) == 1

        await eventually(signed)
        [unit] = await mints(engine)
        data = bytes.fromhex(
            calldata("mint(address,bytes32)", payer.address, unit["tx_hash_bytes32"])[2:]
        )
        await ahead(held, stranger, held.mint_token, data)
        async with mining(held):
            await held.all_minted(engine, 1)
        assert len(await mints(engine)) == 1
        await held.verified(engine)
