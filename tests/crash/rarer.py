"""What a service seldom lives through, and what its operators type."""

import asyncio

import asyncpg
from aiohttp import web

from onsettle.chain import abi
from tests.crash.acts import cheap_again, decree, hears, take_back
from tests.crash.world import ADOPTION_LOCK, World
from tests.harness.moves import STRANGER, ahead, block_payer
from tests.harness.older import OlderServer

_GAS = 10**9
# Counts to 655,360, which takes 17 million gas, and answers 0.
_DEAR = "0x620a0000" + "5b" + "600190038060045750" + "60206000f3"


async def gone(world: World) -> None:
    """The webhook's endpoint says that it is gone: nothing is sent there any more."""
    world.receiver.answer = lambda _: web.Response(status=410)
    at = await world.pay()
    await world.is_(at, "completed")

    async def disabled() -> bool:
        return bool(await world.sql("select 1 from channels where disabled is not null"))

    await world.until(disabled)


async def open_again(world: World) -> None:
    world.receiver.answer = lambda _: web.Response(status=204)
    await world.sql("update channels set disabled = null")
    await world.sql("update outbox set status = 'pending', tries = 0 where status = 'dead'")
    await hears(world)


async def older_waits(world: World) -> None:
    """Another program has written a payment, and nobody is allowed to take it over yet."""
    world.lock = await asyncpg.connect(world.stack.dsn)
    await world.lock.execute(f"begin; select pg_advisory_xact_lock({ADOPTION_LOCK})")
    [payer] = await world.stack.payers(1)
    body = world.stack.body(world.engine, payer)
    # As the other program writes it.
    body["metadata"] = {"quantity": 1, "mode": "x402"}
    world.bodies.append(body)
    async with OlderServer.on(world.stack) as writer:
        await writer.claim(await writer.insert(body["authorization"]))


async def older_is_met(world: World) -> None:
    """The same payment is submitted here, and meets that row."""
    at = len(world.bodies) - 1
    asked = asyncio.create_task(world.submit(at))
    await world.until(lambda: _waits_for_the_lock(world))
    await world.unlock()
    await asked
    await world.is_(at, "completed")


async def _waits_for_the_lock(world: World) -> bool:
    return bool(
        await world.sql(
            "select 1 from pg_locks where locktype = 'advisory' and not granted and objid = $1",
            ADOPTION_LOCK,
        )
    )


async def mint_dear(world: World) -> None:
    """A mint needs more gas than a transaction may have: it is not sent, and waits."""
    stack = world.stack
    world.code = await stack.rpc.call("eth_getCode", stack.mint_token, "latest")
    await stack.rpc.call("anvil_setCode", stack.mint_token, _DEAR)
    at = await world.pay()
    await world.is_(at, "completed")

    async def held() -> bool:
        return bool(
            await world.sql(
                "select 1 from mint_queue where status = 'pending' and hold_until > now()"
            )
        )

    await world.until(held)


async def mint_cheap(world: World) -> None:
    code, world.code = world.code, None
    if code is not None:
        await world.stack.rpc.call("anvil_setCode", world.stack.mint_token, code)
    await world.sql("update mint_queue set hold_until = null where status = 'pending'")


async def deeper(world: World) -> None:
    await world.sql("update system_settings set value = '3' where key = 'payment_confirmations'")


async def minted_by_another(world: World) -> None:
    """Somebody else mints our key, and our wallet meets that before it is deep enough."""
    stack = world.stack
    await world.sql("update wallets set paused = true where role = 'mint'")
    at = await world.pay()
    await world.is_(at, "sent", "completed")
    await stack.mine(3)
    if not await world.is_(at, "completed"):
        return
    nonce = world.bodies[at]["authorization"]["nonce"]
    [unit] = await world.sql(
        "select m.payer_address as payer, m.tx_hash_bytes32 as key from mint_queue m"
        " join payment_queue p on p.id = m.payment_id where p.authorization_nonce = $1",
        nonce,
    )
    await decree(world, stack.mint_token, "grantMinter(address)", STRANGER)
    await ahead(stack, STRANGER, stack.mint_token, abi.mint(unit["payer"], unit["key"]))
    await stack.mine()
    await world.sql("update wallets set paused = false where role = 'mint'")

    async def seen() -> bool:
        [row] = await world.sql(
            "select status from mint_queue where tx_hash_bytes32 = $1", unit["key"]
        )
        return bool(row["status"] != "pending")

    await world.until(seen)


async def as_shallow_as_before(world: World) -> None:
    await world.sql("update wallets set paused = false where role = 'mint'")
    await world.sql("update system_settings set value = '1' where key = 'payment_confirmations'")


async def packs(world: World) -> None:
    await world.sql("update system_settings set value = '10' where key = 'payment_pack_size'")
    await world.sql("update wallets set paused = true where role = 'payment'")


async def pack(world: World) -> None:
    """Four payments share a transaction that is bumped; one of them fails inside it."""
    stack, rpc = world.stack, world.stack.rpc
    payers = await stack.payers(4)
    places = [await world.pay(payer=payer) for payer in payers]
    await stack.hold_blocks()
    await world.sql("update wallets set paused = false where role = 'payment'")
    for at in places:
        if not await world.is_(at, "sent"):
            return
    await block_payer(stack, payers[0].address)

    async def bumped() -> bool:
        await rpc.call("anvil_setNextBlockBaseFeePerGas", hex(40 * _GAS))
        await stack.mine()
        return bool(
            await world.sql(
                "select 1 from attempts a join transactions t on t.id = a.transaction_id"
                " where $1 = any(t.payment_ids) and cardinality(t.payment_ids) = 4"
                " group by t.id having count(*) > 1",
                world.acknowledged[places[1]],
            )
        )

    await world.until(bumped)
    await cheap_again(world)
    for at in places[1:]:
        await world.is_(at, "completed")
    await world.is_(places[0], "failed")


async def pack_lands(world: World) -> None:
    """Four payments share a transaction: its block is taken in, taken back, and taken in again."""
    places = [await world.pay(payer=payer) for payer in await world.stack.payers(4)]
    await world.stack.hold_blocks()
    await world.sql("update wallets set paused = false where role = 'payment'")
    for at in places:
        if not await world.is_(at, "sent"):
            return
    await world.followed()
    world.mark.touch()
    await world.stack.mine()
    for at in places:
        if not await world.is_(at, "completed"):
            return
    await world.automine()
    for at in places:
        if not await world.minted(at):
            return
    await world.followed()
    await take_back(world, 4)

    async def stands_again() -> bool:
        return not await world.sql(
            "select 1 from payment_queue where status = 'completed' and block_number is null"
        )

    await world.until(stands_again)


async def unpacked(world: World) -> None:
    await world.sql("update system_settings set value = '1' where key = 'payment_pack_size'")
    await world.sql("update wallets set paused = false where role = 'payment'")
    await cheap_again(world)


async def missed(world: World) -> None:
    """The books have missed a transfer, and an operator has it looked up."""
    at = await world.pay()
    if not await world.is_(at, "completed") or not await world.minted(at):
        return
    nonce = world.bodies[at]["authorization"]["nonce"]
    await world.sql(
        "update payment_queue set status = 'confirmation_failed', reason = 'reversed',"
        " block_number = null, block_hash = null, log_index = null where authorization_nonce = $1",
        nonce,
    )
    await look_again(world)


async def look_again(world: World) -> None:
    rows = await world.sql("select id from payment_queue where reason = 'reversed'")
    if rows:
        await world.command("retry", *(str(row["id"]) for row in rows), "--yes")


async def look_again_unharmed(world: World) -> None:
    """The operator types it once more."""
    world.point = ""
    died, world.command_died = world.command_died, False
    await look_again(world)
    world.command_died = died


#: What an operator types, by the commit that it makes.
_TYPED = {
    "setting_write": ("settings", "mint_batch_size", "100", "--yes"),
    "wallet_pause": ("wallets", "resume", "WALLET", "--yes"),
    "alarms_seen": ("alarms", "clear", "--all", "--yes"),
    "outbox_replay": ("webhooks", "replay", "--dead", "--yes"),
    "channel_enable": ("webhooks", "enable", "--yes"),
    "channel_close": ("webhooks", "close", "--channel", "handler", "--yes"),
}


async def operator(world: World) -> None:
    """Commands of one statement: each is done, or not done and typed again."""
    await world.sql(
        "insert into alarms (kind, subject, message) values ('used_elsewhere', 'a test', 'none')"
        " on conflict (kind, subject) do update set cleared_at = null"
    )
    await world.sql("update system_settings set value = '500' where key = 'mint_batch_size'")
    for name, words in _TYPED.items():
        if world.point.startswith("trace:") or f":{name}:" in world.point:
            typed = [world.stack.wallets[0] if word == "WALLET" else word for word in words]
            await world.command(*typed)


#: Changed by HTTP at once.
_TOGETHER = {"payment_batch_size": "40", "mint_batch_size": "40"}


async def administered(world: World) -> None:
    """A program of the operator changes two settings at once."""
    await world.change(_TOGETHER)


async def all_or_none(world: World) -> None:
    """Whenever the service died, both settings are changed or neither is."""
    rows = await world.sql(
        "select key from system_settings where key = any($1) and value = '40'", [*_TOGETHER]
    )
    assert len(rows) in (0, 2), rows
    await world.sql("delete from system_settings where key = any($1)", [*_TOGETHER])
