"""Payers whose account runs code (EIP-7702): their key signs, and their code has the last word."""

import pytest

from onsettle.local.payers import Payer
from tests.harness.books import accepted, becomes, running, transactions
from tests.harness.contracts import act, calldata
from tests.harness.stack import PAYEE, PRICE, Stack


async def _delegate(stack: Stack, payer: Payer, owner: str | None) -> None:
    """From now on the payer's account runs a ContractWallet, which obeys `owner` (None: nobody)."""
    model = await stack.deploy("ContractWallet", payer.address)
    code = await stack.rpc.call("eth_getCode", model, "latest")
    await stack.rpc.call("anvil_setCode", payer.address, code)
    if owner is not None:
        await act(stack.rpc, PAYEE, payer.address, calldata("setOwner(address)", owner))
        await stack.mine()


async def test_code_that_refuses_the_keys_signature_burns_no_gas(stack: Stack) -> None:
    """Taken for the key's signature, failed before anything is signed: the reason names the code,
    and who pays beside it is settled."""
    async with running(stack) as engine:
        payers = await stack.payers(3)
        await _delegate(stack, payers[0], None)
        await _delegate(stack, payers[1], Payer().address)
        bodies = [stack.body(engine, payer) for payer in payers]
        ids = await accepted(engine, bodies)
        for each in ids[:2]:
            row = await becomes(engine, each, "failed", "signature_invalid")
            assert "EIP-7702" in row["error"]
            assert row["error"].startswith("FiatTokenV2: invalid signature")
        await becomes(engine, ids[2], "completed")
        assert len(await transactions(engine)) == 1
        assert await stack.nonce(stack.wallets[0]) == 1
        await stack.verified(engine)


@pytest.mark.parametrize("pack", [1, 10])
async def test_code_that_accepts_the_keys_signature_pays(stack: Stack, pack: int) -> None:
    """The account's code says yes to its own key: it settles like any other, never in a pack."""
    async with running(stack, start=False, payment_pack_size=pack) as engine:
        payers = await stack.payers(3)
        await _delegate(stack, payers[0], payers[0].address)
        ids = await accepted(engine, [stack.body(engine, payer) for payer in payers])
        await engine.start()
        rows = [await becomes(engine, each, "completed") for each in ids]
        hashes = [row["tx_hash"] for row in rows]
        assert hashes[0] not in hashes[1:]
        assert (hashes[1] == hashes[2]) == (pack > 1)
        assert await stack.token_balance(PAYEE) == 3 * PRICE
        await stack.verified(engine)


async def test_code_that_burns_all_gas_is_a_refusal(stack: Stack) -> None:
    """A check that never ends well fails its own payment, in the same words."""
    async with running(stack) as engine:
        [payer] = await stack.payers(1)
        await _delegate(stack, payer, payer.address)
        await act(stack.rpc, PAYEE, payer.address, calldata("setBurnsGas(bool)", True))
        [one] = await accepted(engine, [stack.body(engine, payer)])
        await becomes(engine, one, "failed", "signature_invalid")
        assert await transactions(engine) == []
