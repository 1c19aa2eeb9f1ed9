"""The faults of one run, as its seed has drawn them."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from random import Random

from onsettle.chain.jsonrpc import RpcError
from onsettle.chain.signer import LocalSigner
from onsettle.chain.transaction import UnsignedTransaction
from tests.torture.field import WORKERS, Field
from tests.torture.plan import DEEPEST_REORG, KINDS, Strike, lie

_GWEI = 10**9
_RICH = "0x" + "c0" * 20
_ENOUGH = 10**20
_DEAR = 400 * _GWEI
#: A drained wallet is filled again when a worker has said that it is dry, or after this time.
_DRY_S = 12.0


class Storm:
    """Faults that overlap, until `stop`; every one puts right what it did."""

    def __init__(self, field: Field, strikes: list[Strike]) -> None:
        self._field = field
        self._strikes = strikes
        does: tuple[Callable[[Random], Awaitable[None]], ...] = (
            self._freeze_worker,
            self._spike,
            self._kill_postgres,
            self._kill_worker,
            self._lie,
            self._reorg,
            self._drain,
        )
        self._does = dict(zip(KINDS, does, strict=True))
        self._running: set[asyncio.Task[None]] = set()

    async def blow(self) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        for strike in self._strikes:
            await asyncio.sleep(max(0.0, start + strike.at_s - loop.time()))
            task = asyncio.create_task(self._strike(strike))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _strike(self, strike: Strike) -> None:
        """A fault that the chain refuses (a reorg below its first block, say) did not happen."""
        try:
            await self._does[strike.kind](strike.throw())
        except RpcError as error:
            print(f"a fault was refused: {strike.kind}: {error}", flush=True)
        else:
            self._field.injected[strike.kind] += 1

    async def stop(self) -> None:
        """All faults have ended and what they broke is whole."""
        await asyncio.gather(*self._running)
        for proxy in self._field.proxies:
            proxy.clear()
            self._field.injected.update(proxy.injected)
        for at in range(WORKERS):
            self._field.workers[at].signal(signal.SIGCONT)
            self._field.restart(at)
        await self._refill()

    async def _kill_worker(self, random: Random) -> None:
        at = random.randrange(WORKERS)
        await self._field.workers[at].kill()
        await asyncio.sleep(random.uniform(0.1, 3))
        self._field.restart(at)

    async def _freeze_worker(self, random: Random) -> None:
        worker = self._field.workers[random.randrange(WORKERS)]
        worker.signal(signal.SIGSTOP)
        await asyncio.sleep(random.uniform(11, 14))
        worker.signal(signal.SIGCONT)

    async def _kill_postgres(self, _random: Random) -> None:
        if (pid := self._field.postgres.pid) is not None:
            os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(3)

    async def _reorg(self, random: Random) -> None:
        await self._field.stack.rpc.call("anvil_reorg", random.randint(1, DEEPEST_REORG), [])

    async def _lie(self, random: Random) -> None:
        drawn = lie(random)
        proxy = self._field.proxies[drawn.node]
        rule = proxy.script(drawn.name, chance=drawn.chance, amount=drawn.amount)
        await asyncio.sleep(drawn.seconds)
        proxy.stop(rule)

    async def _spike(self, random: Random) -> None:
        fee = random.randint(5, 60) * _GWEI
        await self._field.stack.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(fee))

    async def _drain(self, random: Random) -> None:
        """The same key, used elsewhere, takes a nonce and all of the money, to the last wei."""
        stack = self._field.stack
        signer = LocalSigner.from_key(random.choice([*stack.keys, *stack.chain.mint_keys]))
        if await self._empty(signer):
            self._field.seen["wallets dry"] += 1
            if await self._told(signer.address):
                self._field.seen["wallets that said so"] += 1
        await self._refill()

    async def _empty(self, signer: LocalSigner) -> bool:
        """Whether nothing is left. What the service pays for gas meanwhile makes it try again."""
        for _ in range(6):
            held = await self._balance(signer.address)
            if held > 21_000 * _DEAR:
                try:
                    await self._take(signer, held - 21_000 * _DEAR)
                except RpcError:
                    continue  # not that much any more, or the nonce is used
            for _ in range(15):
                if not await self._balance(signer.address):
                    return True
                await asyncio.sleep(0.1)
        return False

    async def _take(self, signer: LocalSigner, value: int) -> None:
        """With a tip as high as the fee, the price of gas is known before."""
        stack = self._field.stack
        signed = signer.sign(
            UnsignedTransaction(
                chain_id=int(str(await stack.rpc.call("eth_chainId")), 16),
                nonce=await stack.nonce(signer.address),
                to=_RICH,
                value=value,
                gas_limit=21_000,
                max_fee=_DEAR,
                priority_fee=_DEAR,
            )
        )
        await stack.rpc.call("eth_sendRawTransaction", "0x" + signed.raw.hex())

    async def _told(self, wallet: str) -> bool:
        """Whether a worker says in time that this wallet needs money."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _DRY_S
        while loop.time() < end:
            row = await self._field.row(
                "select needs_balance is not null as dry from wallets where address = $1", wallet
            )
            if row is not None and row["dry"]:
                return True
            await asyncio.sleep(0.2)
        return False

    async def _balance(self, address: str) -> int:
        answer = await self._field.stack.rpc.call("eth_getBalance", address, "latest")
        return int(str(answer), 16)

    async def _refill(self) -> None:
        """By plain transfers: the audit can tell them from what the service did."""
        stack = self._field.stack
        await stack.rpc.call("anvil_impersonateAccount", _RICH)
        await stack.rpc.call("anvil_setBalance", _RICH, hex(10**24))
        for key in (*stack.keys, *stack.chain.mint_keys):
            wallet = LocalSigner.from_key(key).address
            if await self._balance(wallet) < _ENOUGH:
                call = {"from": _RICH, "to": wallet, "value": hex(_ENOUGH), "gas": hex(21_000)}
                await stack.rpc.call("eth_sendTransaction", call)
