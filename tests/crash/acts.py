"""What a service lives through again and again: payments, fees, forks, other people."""

from aiohttp import web

from onsettle.local.payers import fund
from tests.crash.world import World
from tests.harness.moves import STRANGER, ahead, by_key, mining, owner_says, transfer_of
from tests.harness.older import OlderServer
from tests.harness.stack import PRICE, only_network

_GAS = 10**9


async def settle(world: World) -> None:
    at = await world.pay()
    await world.is_(at, "completed")
    await world.minted(at)
    await world.told()


async def not_heard(world: World) -> None:
    """The webhook's endpoint is broken for a while."""
    world.receiver.answer = lambda _: web.Response(status=500)
    at = await world.pay()
    await world.is_(at, "completed")

    async def noted() -> bool:
        return bool(
            await world.sql("select 1 from outbox where tries > 0 and last_error is not null")
        )

    await world.until(noted)


async def hears(world: World) -> None:
    world.receiver.answer = lambda _: web.Response(status=204)
    await world.sql("update outbox set next_try_at = now() where status = 'pending'")


async def plain_sql(world: World) -> None:
    """Another program writes the row itself; it is checked, settled and delivered."""
    [payer] = await world.stack.payers(1)
    async with OlderServer.on(world.stack) as writer:
        terms = writer.authorization(payer)
        written = await writer.insert(terms)
    world.written += 1

    async def completed() -> bool:
        rows = await world.sql("select status from payment_queue where id = $1", written)
        return [row["status"] for row in rows] == ["completed"]

    await world.until(completed)


async def bump(world: World) -> None:
    """The base fee rises out of reach: only more money moves it."""
    rpc = world.stack.rpc
    await world.stack.hold_blocks()
    at = await world.pay()
    if not await world.is_(at, "sent"):
        return
    [before] = await world.sql("select count(*) as n from attempts")

    async def bumped() -> bool:
        await rpc.call("anvil_setNextBlockBaseFeePerGas", hex(40 * _GAS))
        await world.stack.mine()
        [now] = await world.sql("select count(*) as n from attempts")
        return bool(now["n"] > before["n"])

    await world.until(bumped)
    await world.automine()
    await world.is_(at, "completed")


async def decree(world: World, token: str, signature: str, *arguments: object) -> None:
    """The token's owner changes something, and it is mined when this returns."""
    await owner_says(world.stack, token, signature, *arguments)
    await world.stack.mine()


async def cheap_again(world: World) -> None:
    await world.stack.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(_GAS))
    await world.automine()


async def gap(world: World) -> None:
    """A nonce that nothing carries lies below what was sent."""
    await world.sql("update wallets set next_nonce = next_nonce + 1 where role = 'payment'")
    at = await world.pay()
    await world.is_(at, "completed")


async def foreign(world: World) -> None:
    """Somebody else with our key takes the nonce of what was sent."""
    stack = world.stack
    await stack.hold_blocks()
    at = await world.pay()
    if not await world.is_(at, "sent"):
        return
    rows = await world.sql(
        "select a.hash, t.nonce from transactions t join attempts a on a.transaction_id = t.id"
        " where t.state = 'live' and t.kind = 'payment' order by t.nonce"
    )
    # Of earlier ones it may not be known yet that others took their nonce.
    used = await stack.nonce(stack.wallets[0])
    rows = [row for row in rows if row["nonce"] >= used]
    for row in rows:
        await stack.rpc.call("anvil_dropTransaction", row["hash"])
    raw = by_key(stack.keys[0], only_network(world.engine).chain_id, rows[0]["nonce"])
    await stack.rpc.call("eth_sendRawTransaction", raw)
    await world.automine()
    await world.is_(at, "completed")


async def revert(world: World) -> None:
    """The payer's money goes elsewhere between sending and mining; later it comes back."""
    stack = world.stack
    [payer] = await stack.payers(1, PRICE)
    await stack.hold_blocks()
    at = await world.pay(payer=payer)
    if not await world.is_(at, "sent"):
        return
    data = "0xa9059cbb" + ("22" * 20).rjust(64, "0") + f"{PRICE:064x}"
    await stack.rpc.call("anvil_impersonateAccount", payer.address)
    await stack.rpc.call("anvil_setBalance", payer.address, hex(10**20))
    call = {"from": payer.address, "to": stack.asset, "data": data, "gas": hex(100_000)}
    fees = {"maxFeePerGas": hex(900 * _GAS), "maxPriorityFeePerGas": hex(90 * _GAS)}
    await stack.rpc.call("eth_sendTransaction", call | fees)
    await world.automine()
    await world.is_(at, "confirmation_failed")


async def poor(world: World) -> None:
    """A payer without money: first it may be on its way, and a newer block shows that it is not."""
    [payer] = await world.stack.payers(1, 0)
    at = await world.pay(payer=payer)

    async def judged() -> bool:
        return await world.status(at) == "failed" or await held(world, at)

    await world.until(judged)
    async with mining(world.stack, 0.5):
        await world.is_(at, "failed")


async def held(world: World, at: int) -> bool:
    nonce = world.bodies[at]["authorization"]["nonce"]
    return bool(
        await world.sql(
            "select 1 from payment_queue where authorization_nonce = $1 and hold_until > now()",
            nonce,
        )
    )


async def paused(world: World) -> None:
    """The payment token is paused for a while: its payments are held, not failed."""
    [payer] = await world.stack.payers(1)
    await decree(world, world.stack.asset, "pause()")
    at = await world.pay(payer=payer)
    await world.until(lambda: held(world, at))


async def unpaused(world: World) -> None:
    await decree(world, world.stack.asset, "unpause()")


async def take_back(world: World, blocks: int) -> None:
    """The newest blocks are dropped; once that was noticed, there are new ones."""
    await world.stack.rpc.call("anvil_reorg", blocks, [])

    async def noticed() -> bool:
        [row] = await world.sql(
            "select count(*) as n from payment_queue where status = 'completed'"
            " and block_number is null"
        )
        return bool(row["n"])

    await world.until(noticed, within_s=20)
    await world.automine()


async def reorg(world: World) -> None:
    """The block of a completed payment is dropped, and the payment lands again."""
    at = await world.pay()
    if not await world.is_(at, "completed") or not await world.minted(at):
        return
    await world.followed()
    await take_back(world, 3)
    await world.minted(at)


async def mint_refused(world: World) -> None:
    """The mint token is paused: the payment stays completed, its mint goes back and waits."""
    stack = world.stack
    await decree(world, stack.mint_token, "setPaused(bool)", True)
    at = await world.pay()
    await world.is_(at, "completed")

    async def refused() -> bool:
        rows = await world.sql(
            "select 1 from mint_queue where retry_count > 0 and status <> 'completed'"
        )
        return bool(rows)

    await world.until(refused)


async def mint_open(world: World) -> None:
    await decree(world, world.stack.mint_token, "setPaused(bool)", False)
    await world.sql("update mint_queue set hold_until = null where status = 'pending'")


async def elsewhere(world: World) -> None:
    """The payer lands another authorization of the same nonce, and gets nothing for this one."""
    stack = world.stack
    [payer] = await stack.payers(1)
    await stack.hold_blocks()
    at = await world.pay(payer=payer)
    if not await world.is_(at, "sent"):
        return
    nonce = world.bodies[at]["authorization"]["nonce"]
    other = stack.body(world.engine, payer, value=0, pay_to=payer.address, nonce=nonce)
    await ahead(stack, STRANGER, stack.asset, transfer_of(other))
    await world.automine()
    await world.is_(at, "confirmation_failed")


async def landed_before(world: World) -> None:
    """What is submitted has landed already, by a stranger's hand."""
    stack = world.stack
    [payer] = await stack.payers(1)
    body = stack.body(world.engine, payer)
    await ahead(stack, STRANGER, stack.asset, transfer_of(body))
    await stack.mine(2)
    await world.followed()
    world.bodies.append(body)
    await world.submit(len(world.bodies) - 1)
    await world.is_(len(world.bodies) - 1, "completed")


async def new_asset(world: World) -> None:
    """A token is configured for the first time."""
    await world.sql("delete from assets")


async def away(world: World) -> None:
    """Nobody followed the chain for a long time."""
    await world.stack.rpc.call("anvil_mine", hex(200))


async def retry(world: World) -> None:
    """An operator sends a reverted payment again, once its payer has money."""
    await revert(world)
    rows = await world.sql(
        "select id, payer from payment_queue where status = 'confirmation_failed' and not final"
    )
    await fund(world.stack.chain.rpc_url, world.stack.asset, [r["payer"] for r in rows], PRICE)
    await world.command("retry", *(str(row["id"]) for row in rows), "--yes")


async def mint_retry(world: World) -> None:
    """An operator has mints tried again at once."""
    await mint_refused(world)
    await world.command("mints", "retry", "--status", "pending", "--yes")


async def handled(world: World) -> None:
    """A Python program with a handler is told of what the service settled."""
    await world.sql("insert into channels values ('handler', 'python') on conflict do nothing")
    at = await world.pay()
    await world.is_(at, "completed")
    await world.program(world.point)


async def handled_by_the_next(world: World) -> None:
    await world.sql("update outbox set next_try_at = now() where status = 'pending'")
    await world.program()
    await world.sql("delete from channels where name = 'handler'")


async def first_start(world: World) -> None:
    """As on the first start: the chain was never followed, the nonces never read."""
    await world.sql(
        "update networks set cursor_number = null, cursor_hash = null, cursor_time = null"
    )
    await world.sql("update wallets set next_nonce = null")
