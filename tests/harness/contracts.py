"""Calls of contracts, encoded by another library than the product's; contracts to deploy."""

import asyncio
import time
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from onsettle.chain.jsonrpc import RpcError
from onsettle.chain.reverts import revert_data, revert_reason
from onsettle.chain.rpc import Pool
from onsettle.local.contracts import bytecode

#: Who deploys the local chain's contracts, and so has every role in them.
OWNER = "0x" + "0e" * 20
_DEPLOYER = "0x" + "de" * 20


def calldata(signature: str, *args: object) -> str:
    """`signature` as in Solidity, `transfer(address,uint256)`; addresses and bytes as 0x hex."""
    types = _types(signature)
    values = [_value(kind, arg) for kind, arg in zip(types, args, strict=True)]
    return "0x" + (keccak(text=signature)[:4] + encode(types, values)).hex()


def _types(signature: str) -> list[str]:
    inside = signature[signature.index("(") + 1 : -1]
    return inside.split(",") if inside else []


def _value(kind: str, arg: object) -> object:
    if kind.endswith("[]") and isinstance(arg, list | tuple):
        return [_value(kind[:-2], each) for each in arg]
    if kind.startswith("bytes") and isinstance(arg, str):
        return bytes.fromhex(arg[2:])
    return arg


async def act(rpc: Pool, sender: str, to: str | None, data: str, *, gas: int = 3_000_000) -> str:
    """Send a transaction of any account (impersonated, with money); its hash."""
    await rpc.call("anvil_impersonateAccount", sender)
    await rpc.call("anvil_setBalance", sender, hex(10**21))
    call = {"from": sender, "data": data, "gas": hex(gas)} | ({"to": to} if to else {})
    return str(await rpc.call("eth_sendTransaction", call))


async def mined(rpc: Pool, tx_hash: str, *, within_s: float = 20) -> dict[str, Any]:
    """The receipt, once there is one."""
    deadline = time.monotonic() + within_s
    while True:
        receipt = await rpc.call("eth_getTransactionReceipt", tx_hash)
        if isinstance(receipt, dict):
            return receipt
        assert time.monotonic() < deadline, f"{tx_hash} was not mined within {within_s} s"
        await asyncio.sleep(0.01)


async def deploy(rpc: Pool, name: str, *args: object, sender: str = _DEPLOYER) -> str:
    """Deploy a contract of `contracts/`, whose arguments are all addresses; where it is.

    The sender is the owner. Waits for the block.
    """
    arguments = encode(["address"] * len(args), args).hex()
    sent = await act(rpc, sender, None, bytecode(name) + arguments, gas=8_000_000)
    receipt = await mined(rpc, sent)
    assert receipt["status"] == "0x1", f"{name} was not deployed"
    return str(receipt["contractAddress"]).lower()


async def refusal(rpc: Pool, sender: str, to: str, data: str) -> str | None:
    """Why the chain would refuse this call now; None where it would not."""
    try:
        await rpc.call("eth_call", {"from": sender, "to": to, "data": data}, "latest")
    except RpcError as error:
        return revert_reason(revert_data(error)) or str(error)
    return None
