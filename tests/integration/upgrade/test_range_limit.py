"""Rows without a hash on a node that answers for few blocks: decided, at a bounded price."""

from datetime import UTC, datetime

from tests.harness.books import accepted
from tests.harness.older import OlderServer
from tests.harness.proxy import FaultProxy
from tests.harness.stack import PAYEE, PRICE, Stack

_MINUTE_S = 60
_BLOCKS = 600


async def _time(stack: Stack) -> int:
    block = await stack.rpc.call("eth_getBlockByNumber", "latest", False)
    assert isinstance(block, dict)
    return int(block["timestamp"], 16)


async def test_old_rows_are_decided_beside_the_blocks(stack: Stack, older: OlderServer) -> None:
    """Crash-left rows that landed days ago complete after some requests each, not after thousands,
    and a new payment is not held up by them."""
    await stack.rpc.call("anvil_mine", hex(_BLOCKS), hex(_MINUTE_S), timeout_s=60)
    payers = await stack.payers(25)
    then = await _time(stack)
    ids = []
    for payer in payers[:24]:
        signed = older.authorization(payer, valid_before=then + 3600)
        payment = await older.insert(signed)
        await older.claim(payment)
        await older.settle(signed)
        ids.append(payment)
    await older.hand.execute(
        "update payment_queue set created_at = $1",
        datetime.fromtimestamp(then, UTC).replace(tzinfo=None),
    )
    await stack.rpc.call("anvil_mine", hex(_BLOCKS), hex(_MINUTE_S), timeout_s=60)
    now = await _time(stack)
    async with FaultProxy(stack.rpc_url) as proxy:
        proxy.script("range_limit", amount=10)
        proxy.script("delay", "eth_getLogs", amount=0.05)
        stack.rpc_url = proxy.url
        async with stack.engine() as engine:
            body = stack.body(engine, payers[24], lifetime_s=0)
            lifetime = now + 3600 - int(body["authorization"]["validBefore"])
            [new] = await accepted(engine, [stack.body(engine, payers[24], lifetime_s=lifetime)])
            await stack.all_are(engine, [new], "completed", within_s=20)
            await stack.all_are(engine, ids, "completed")
            assert proxy.seen["eth_getLogs"] < 200
            await stack.all_minted(engine, 25)
            assert await stack.token_balance(PAYEE) == 25 * PRICE
