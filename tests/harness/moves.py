"""What a test does to the chain, as its payers, the token's owner and strangers would."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from onsettle.chain import abi
from onsettle.chain.signer import LocalSigner
from onsettle.chain.transaction import UnsignedTransaction
from onsettle.domain.authorization import Authorization
from tests.harness.contracts import OWNER, calldata
from tests.harness.stack import Stack

STRANGER = "0x" + "5a" * 20
GWEI = 10**9


def transfer_of(body: dict[str, Any]) -> bytes:
    """The call that lands the authorization of a request, for anybody to send."""
    raw = body["authorization"]
    return abi.transfer_with_authorization(
        Authorization(
            payer=raw["from"].lower(),
            pay_to=raw["to"].lower(),
            value=int(raw["value"]),
            valid_after=int(raw["validAfter"]),
            valid_before=int(raw["validBefore"]),
            nonce=raw["nonce"].lower(),
            signature=bytes.fromhex(raw["signature"][2:]),
        )
    )


async def ahead(stack: Stack, sender: str, to: str, data: bytes) -> str:
    """A stranger's transaction that goes into the next block before all of ours.

    Raises RpcError where it would revert.
    """
    await stack.rpc.call("eth_call", {"from": sender, "to": to, "data": "0x" + data.hex()})
    await stack.rpc.call("anvil_impersonateAccount", sender)
    await stack.rpc.call("anvil_setBalance", sender, hex(10**21))
    call = {
        "from": sender,
        "to": to,
        "data": "0x" + data.hex(),
        "gas": hex(1_000_000),
        "maxPriorityFeePerGas": hex(100 * GWEI),
        "maxFeePerGas": hex(1_000 * GWEI),
    }
    return str(await stack.rpc.call("eth_sendTransaction", call))


async def owner_says(stack: Stack, token: str, signature: str, *arguments: object) -> str:
    """The token's owner changes something, in the next block and before all of ours."""
    return await ahead(stack, OWNER, token, bytes.fromhex(calldata(signature, *arguments)[2:]))


async def pause_token(stack: Stack, *, paused: bool = True) -> None:
    """The payment token's owner stops or opens all transfers."""
    await owner_says(stack, stack.asset, "pause()" if paused else "unpause()")


async def block_payer(stack: Stack, payer: str, *, blocked: bool = True) -> None:
    """The payment token's issuer blocks one account, or no longer."""
    what = "blacklist(address)" if blocked else "unBlacklist(address)"
    await owner_says(stack, stack.asset, what, payer)


def by_key(key: str, chain_id: int, nonce: int, *, tip: int = 50, to: str | None = None) -> str:
    """A raw transaction of one of our keys that this service did not make; the tip in gwei."""
    signer = LocalSigner.from_key(key)
    signed = signer.sign(
        UnsignedTransaction(
            chain_id=chain_id,
            nonce=nonce,
            to=to or STRANGER,
            value=1,
            data=b"",
            gas_limit=21_000,
            max_fee=(1_000 + tip) * GWEI,
            priority_fee=tip * GWEI,
            legacy=False,
        )
    )
    return "0x" + signed.raw.hex()


class Outsider:
    """A key with money of its own from before the blocks that a reorg takes back."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._signer = LocalSigner.from_key("0x" + secrets.token_hex(32))

    async def fund(self) -> None:
        await self._stack.rpc.call("anvil_setBalance", self._signer.address, hex(10**21))
        await self._stack.mine()

    async def call(self, to: str, data: bytes) -> str:
        """The raw bytes of its first transaction, not sent."""
        signed = self._signer.sign(
            UnsignedTransaction(
                chain_id=int(str(await self._stack.rpc.call("eth_chainId")), 16),
                nonce=0,
                to=to,
                value=0,
                data=data,
                gas_limit=1_000_000,
                max_fee=1_000 * GWEI,
                priority_fee=100 * GWEI,
                legacy=False,
            )
        )
        return "0x" + signed.raw.hex()


async def drop(stack: Stack, hashes: Sequence[str]) -> None:
    """The node forgets these pending transactions."""
    for each in hashes:
        await stack.rpc.call("anvil_dropTransaction", each)


async def reorg(stack: Stack, depth: int, *transactions: tuple[str, int]) -> None:
    """Replace the last `depth` blocks; (raw bytes, index of the new block) are mined in them."""
    await stack.rpc.call("anvil_reorg", depth, [list(pair) for pair in transactions])


async def base_fee(stack: Stack, gwei: int) -> None:
    """The base fee of the next block."""
    await stack.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(gwei * GWEI))


async def clock(stack: Stack, at: int) -> None:
    """Mine a block whose time is `at`, epoch seconds."""
    await stack.rpc.call("evm_setNextBlockTimestamp", at)
    await stack.mine()


async def block(stack: Stack, which: str | int = "latest") -> dict[str, Any]:
    name = which if isinstance(which, str) else hex(which)
    answer = await stack.rpc.call("eth_getBlockByNumber", name, False)
    assert isinstance(answer, dict)
    return answer


async def pool_hashes(stack: Stack, wallet: str) -> list[str]:
    """Hashes of a wallet's transactions that the node holds unmined, by nonce."""
    content = await stack.rpc.call("txpool_content")
    assert isinstance(content, dict)
    found: dict[int, str] = {}
    for part in ("pending", "queued"):
        for sender, by_nonce in content[part].items():
            if sender.lower() == wallet:
                found |= {int(nonce): tx["hash"] for nonce, tx in by_nonce.items()}
    return [found[nonce] for nonce in sorted(found)]


@asynccontextmanager
async def mining(stack: Stack, every_s: float = 0.1) -> AsyncIterator[None]:
    """A block now and then, while the test waits for something."""

    async def go() -> None:
        while True:
            await stack.mine()
            await asyncio.sleep(every_s)

    task = asyncio.create_task(go())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
