"""The faults of one run: which ones, when and where is drawn from the seed."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

from onsettle.chain.jsonrpc import RpcError
from onsettle.chain.signer import LocalSigner
from onsettle.chain.transaction import UnsignedTransaction
from tests.torture.field import WORKERS, Field

_GWEI = 10**9
_RICH = "0x" + "c0" * 20
_ENOUGH = 10**20
_LIES = (
    "delay",
    "drop",
    "reset",
    "rate_limit",
    "server_error",
    "malformed_after",
    "wrong_id",
    "truncated",
    "shuffled",
    "internal_error",
    "accept_but_error",
    "accept_but_timeout",
    "ok_but_dropped",
    "already_known",
    "nonce_too_low",
    "underpriced_replacement",
    "pool_full",
    "behind",
    "wobbling",
    "frozen",
    "no_receipts",
    "no_logs",
    "old_receipts",
    "old_nonce",
)
_AMOUNTS = {"delay": 0.5, "accept_but_timeout": 12.0, "rate_limit": 1.0}


class Storm:
    """Faults that overlap, until `stop`; every one puts right what it did."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._random = field.random
        kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "kill -9 of a worker": self._kill_worker,
            "SIGSTOP past the lease": self._freeze_worker,
            "kill -9 of PostgreSQL": self._kill_postgres,
            "reorg": self._reorg,
            "lying node": self._lie,
            "base fee spike": self._spike,
            "wallet drained": self._drain,
        }
        # At least two of the seven, so that each seed is a mixture of its own.
        count = self._random.randint(2, len(kinds))
        self.chosen = {name: kinds[name] for name in self._random.sample(sorted(kinds), count)}
        self._running: set[asyncio.Task[None]] = set()

    async def blow(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0:
            await asyncio.sleep(min(left, self._random.uniform(0.5, 4)))
            name = self._random.choice(sorted(self.chosen))
            self._field.injected[name] += 1
            task = asyncio.create_task(_forgiving(self.chosen[name]()))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

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

    async def _kill_worker(self) -> None:
        at = self._random.randrange(WORKERS)
        await self._field.workers[at].kill()
        await asyncio.sleep(self._random.uniform(0.1, 3))
        self._field.restart(at)

    async def _freeze_worker(self) -> None:
        worker = self._field.workers[self._random.randrange(WORKERS)]
        worker.signal(signal.SIGSTOP)
        await asyncio.sleep(self._random.uniform(11, 14))
        worker.signal(signal.SIGCONT)

    async def _kill_postgres(self) -> None:
        if (pid := self._field.postgres.pid) is not None:
            os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(3)

    async def _reorg(self) -> None:
        await self._field.stack.rpc.call("anvil_reorg", self._random.randint(1, 3), [])

    async def _lie(self) -> None:
        proxy = self._random.choice(self._field.proxies)
        name = self._random.choice(_LIES)
        chance = self._random.choice((0.1, 0.3, 1.0))
        rule = proxy.script(name, chance=chance, amount=_AMOUNTS.get(name))
        await asyncio.sleep(self._random.uniform(2, 8))
        proxy.stop(rule)

    async def _spike(self) -> None:
        fee = self._random.randint(5, 60) * _GWEI
        await self._field.stack.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(fee))

    async def _drain(self) -> None:
        """The same key, used elsewhere, takes a nonce and nearly all of the money."""
        stack = self._field.stack
        signer = LocalSigner.from_key(self._random.choice(stack.keys))
        held = int(str(await stack.rpc.call("eth_getBalance", signer.address, "latest")), 16)
        max_fee = 400 * _GWEI
        signed = signer.sign(
            UnsignedTransaction(
                chain_id=int(str(await stack.rpc.call("eth_chainId")), 16),
                nonce=await stack.nonce(signer.address),
                to=_RICH,
                value=max(0, held - 2 * 21_000 * max_fee),
                gas_limit=21_000,
                max_fee=max_fee,
                priority_fee=100 * _GWEI,
            )
        )
        await stack.rpc.call("eth_sendRawTransaction", "0x" + signed.raw.hex())
        await asyncio.sleep(self._random.uniform(2, 6))
        await self._refill()

    async def _refill(self) -> None:
        """By plain transfers: the audit can tell them from what the service did."""
        stack = self._field.stack
        await stack.rpc.call("anvil_impersonateAccount", _RICH)
        await stack.rpc.call("anvil_setBalance", _RICH, hex(10**24))
        for wallet in stack.wallets:
            held = int(str(await stack.rpc.call("eth_getBalance", wallet, "latest")), 16)
            if held < _ENOUGH:
                call = {"from": _RICH, "to": wallet, "value": hex(_ENOUGH), "gas": hex(21_000)}
                await stack.rpc.call("eth_sendTransaction", call)


async def _forgiving(fault: Awaitable[None]) -> None:
    """A fault that the chain refuses (a reorg below its first block, say) did not happen."""
    try:
        await fault
    except RpcError as error:
        print(f"a fault was refused: {error}", flush=True)
