"""A local chain: anvil with a payment token, a mintable token and Multicall3."""

import json
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from onsettle.chain.codec import selector
from onsettle.chain.rpc import Pool
from onsettle.chain.signer import LocalSigner
from onsettle.domain.network import MULTICALL3
from onsettle.local.anvil import Anvil, ChainFailed
from onsettle.local.contracts import bytecode
from onsettle.local.place import write_private

_OWNER = "0x" + "0e" * 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTokens:
    asset: str
    mint_token: str
    multicall: str = MULTICALL3


class LocalChain:
    """anvil on loopback, with its state and keys kept in `data_dir`."""

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        block_time: float = 2.0,
        chain_id: int = 84532,
        gas_limit: int = 400_000_000,
        save_every_s: float | None = 2.0,
    ) -> None:
        """`save_every_s` None: the state is not kept."""
        self._data_dir = data_dir
        self._anvil = Anvil(
            data_dir,
            port=port or _free_port(),
            block_time=block_time,
            chain_id=chain_id,
            gas_limit=gas_limit,
            save_every_s=save_every_s,
        )
        self._saves = save_every_s is not None
        self._kept: dict[str, str] = {}

    @property
    def pid(self) -> int:
        return self._anvil.pid

    @property
    def rpc_url(self) -> str:
        return self._anvil.rpc_url

    @property
    def tokens(self) -> LocalTokens:
        return LocalTokens(asset=self._kept["asset"], mint_token=self._kept["mint_token"])

    @property
    def payment_keys(self) -> list[str]:
        return [self._kept["payment_key"]]

    @property
    def mint_keys(self) -> list[str]:
        return [self._kept["mint_key"]]

    async def start(self) -> None:
        """Raises ChainFailed or MissingProgramError."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        await self._anvil.start()
        await self._plant(self._anvil.rpc)
        self._anvil.keep()

    async def stop(self) -> None:
        await self._anvil.stop()

    async def save(self) -> None:
        """Keep the state as it is now."""
        await self._anvil.save()

    async def _plant(self, pool: Pool) -> None:
        keys = self._data_dir / "chain-keys.json"
        if keys.exists():
            self._kept = json.loads(keys.read_text("utf-8"))
            code = await pool.call("eth_getCode", self._kept["asset"], "latest")
            if code != "0x":
                return
        self._kept |= {
            "payment_key": "0x" + secrets.token_hex(32),
            "mint_key": "0x" + secrets.token_hex(32),
        }
        await pool.call("anvil_impersonateAccount", _OWNER)
        await pool.call("anvil_setBalance", _OWNER, hex(10**21))
        await pool.call("anvil_setCode", MULTICALL3, bytecode("Multicall3", deployed=True))
        minter = LocalSigner.from_key(self._kept["mint_key"]).address
        self._kept["asset"] = await self._deploy(pool, "PaymentToken")
        self._kept["mint_token"] = await self._deploy(pool, "MintableToken")
        grant = selector("grantMinter(address)") + bytes.fromhex(minter[2:]).rjust(32, b"\0")
        await pool.call(
            "eth_sendTransaction",
            {
                "from": _OWNER,
                "to": self._kept["mint_token"],
                "data": "0x" + grant.hex(),
                "gas": hex(200_000),
            },
        )
        for key in (*self.payment_keys, *self.mint_keys):
            wallet = LocalSigner.from_key(key).address
            await pool.call("anvil_setBalance", wallet, hex(10**21))
        await pool.call("anvil_mine", "0x1")
        if self._saves:
            await self.save()  # before the keys: tokens without keys are made again
        write_private(keys, json.dumps(self._kept))

    async def _deploy(self, pool: Pool, name: str) -> str:
        sent = await pool.call(
            "eth_sendTransaction",
            {
                "from": _OWNER,
                "data": bytecode(name),
                "gas": hex(8_000_000),
            },
        )
        await pool.call("anvil_mine", "0x1")
        receipt = await pool.call("eth_getTransactionReceipt", sent)
        if not isinstance(receipt, dict) or receipt.get("status") != "0x1":
            raise ChainFailed(f"{name} could not be deployed")
        return str(receipt["contractAddress"]).lower()


__all__ = ["ChainFailed", "LocalChain", "LocalTokens"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
