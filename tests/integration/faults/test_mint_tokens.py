"""One mint token's trouble is its own: the mints of the others go on."""

from structlog.testing import capture_logs

from onsettle.chain.signer import LocalSigner
from onsettle.runtime import Engine
from tests.harness.books import accepted, mints, running, transactions
from tests.harness.contracts import act, calldata
from tests.harness.faults import Request, result
from tests.harness.proxy import FaultProxy
from tests.harness.stack import Stack, eventually, only_network

_OWNER = "0x" + "de" * 20
# Every call reverts without a word, as of a proxy without an implementation.
_BROKEN = "0x60006000fd"


async def _second_token(stack: Stack) -> str:
    """A mint token beside the one of the chain, where our wallet may mint too."""
    token = await stack.deploy("MintableToken")
    minter = LocalSigner.from_key(stack.chain.mint_keys[0]).address
    await act(stack.rpc, _OWNER, token, calldata("grantMinter(address)", minter))
    return token


def _both(stack: Stack, token: str) -> dict[str, str]:
    return {"mint_tokens": f"{stack.mint_token},{token}"}


async def _buy(stack: Stack, engine: Engine, token: str, count: int) -> None:
    payers = await stack.payers(count)
    bodies = [stack.body(engine, payer) | {"token_address": token} for payer in payers]
    await stack.all_are(engine, await accepted(engine, bodies), "completed")


async def _of(engine: Engine, token: str) -> list[tuple[str, str | None]]:
    """(status, error) of this token's mints."""
    return [
        (m["status"], m["error_message"])
        for m in await mints(engine)
        if m["token_address"] == token
    ]


async def test_a_mint_token_that_answers_nothing_holds_up_no_other(stack: Stack) -> None:
    """The oldest mints are of a token whose every call reverts: they wait with a reason and with
    back-off and are told in the log, the mints of another token are made meanwhile, and the first
    when it works again."""
    token = await _second_token(stack)
    async with running(stack, environment=_both(stack, token)) as engine:
        code = await stack.rpc.call("eth_getCode", token, "latest")
        await stack.rpc.call("anvil_setCode", token, _BROKEN)

        async def waiting() -> bool:
            found = await _of(engine, token)
            return [(s, "hasMinted" in (e or "")) for s, e in found] == [("pending", True)] * 2

        with capture_logs() as lines:
            await _buy(stack, engine, token, 2)
            await eventually(waiting)
        told = [line for line in lines if line["event"] == "mint_refused"]
        assert {(line["token"], line["log_level"]) for line in told} == {(token, "warning")}
        assert all("hasMinted" in line["error"] for line in told)
        await _buy(stack, engine, stack.mint_token, 3)
        await stack.all_minted(engine, 3)
        assert {status for status, _ in await _of(engine, token)} == {"pending"}
        await stack.rpc.call("anvil_setCode", token, code)
        await engine.db.pool.execute("update mint_queue set hold_until = null")
        await stack.all_minted(engine, 5)
        await stack.verified(engine)


async def test_a_mint_whose_gas_no_node_tells_waits_with_a_reason(stack: Stack) -> None:
    """A node that does not say what a mint needs says nothing about the mint: it waits, says why,
    and is made when the node tells."""
    async with FaultProxy(stack.chain.rpc_url) as proxy:
        stack.rpc_url = proxy.url
        async with running(stack) as engine:
            [minter] = only_network(engine).mint_signers
            await engine.db.execute("wallet_pause", minter, True)
            await _buy(stack, engine, stack.mint_token, 1)
            proxy.script("internal_error", "eth_estimateGas")
            await engine.db.execute("wallet_pause", minter, False)

            async def waiting() -> bool:
                return await _of(engine, stack.mint_token) == [
                    ("pending", "Internal error (code -32603)")
                ]

            await eventually(waiting)
            proxy.clear()
            await stack.all_minted(engine, 1)
            await stack.verified(engine)


async def test_a_mint_that_needs_more_gas_than_a_transaction_may_have_is_not_signed(
    stack: Stack,
) -> None:
    """It would burn what it is given and mint nothing: it waits and says what it needs."""
    async with FaultProxy(stack.chain.rpc_url) as proxy:
        stack.rpc_url = proxy.url
        async with running(stack) as engine:

            def asked(call: Request) -> bool:
                to = call["params"][0].get("to") if call["method"] == "eth_estimateGas" else None
                return bool(to == stack.mint_token)

            lie = proxy.lie(asked, lambda call, _honest: result(call, hex(20_000_000)))
            await _buy(stack, engine, stack.mint_token, 1)

            async def waiting() -> bool:
                [(status, error)] = await _of(engine, stack.mint_token)
                return status == "pending" and "it needs 20000000 gas" in (error or "")

            await eventually(waiting)
            assert await transactions(engine, "mint") == []
            proxy.stop(lie)
            await stack.all_minted(engine, 1)
