"""A local chain: anvil, supervised, with a payment token, a mintable token and Multicall3."""

import asyncio
import contextlib
import json
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from onsettle.chain.codec import selector
from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.chain.rpc import Pool
from onsettle.chain.signer import LocalSigner
from onsettle.domain.network import MULTICALL3
from onsettle.local.binaries import find_anvil
from onsettle.local.contracts import bytecode

_START_S = 30.0
_OWNER = "0x" + "0e" * 20


class ChainFailed(RuntimeError):
    """The local chain did not start; the text says why."""


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
        keep_state: bool = True,
    ) -> None:
        self._data_dir = data_dir
        self._port = port or _free_port()
        self._block_time = block_time
        self._chain_id = chain_id
        self._gas_limit = gas_limit
        self._keep_state = keep_state
        self._process: asyncio.subprocess.Process | None = None
        self._kept: dict[str, str] = {}

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ChainFailed("the local chain is not running")
        return self._process.pid

    @property
    def rpc_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

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
        self._data_dir.mkdir(parents=True, exist_ok=True)
        args = [
            "--host",
            "127.0.0.1",
            "--port",
            str(self._port),
            "--silent",
            "--chain-id",
            str(self._chain_id),
            "--gas-limit",
            str(self._gas_limit),
        ]
        if self._keep_state:
            args += ["--state", str(self._data_dir / "chain.json"), "--state-interval", "10"]
        if self._block_time:
            args += ["--block-time", str(self._block_time), "--slots-in-an-epoch", "32"]
        self._process = await asyncio.create_subprocess_exec(
            str(find_anvil()),
            *args,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        async with Pool([self.rpc_url], probe_interval_s=0) as pool:
            await self._wait(pool)
            await self._plant(pool)

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), 10)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._process = None

    async def _wait(self, pool: Pool) -> None:
        deadline = asyncio.get_running_loop().time() + _START_S
        while True:
            with contextlib.suppress(RpcUnavailable, RpcError):
                await pool.call("eth_chainId")
                return
            if self._process is None or self._process.returncode is not None:
                raise ChainFailed(f"anvil ended at once: is port {self._port} in use?")
            if asyncio.get_running_loop().time() > deadline:
                raise ChainFailed("anvil did not answer within 30 s")
            await asyncio.sleep(0.05)

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
        keys.touch(mode=0o600)
        keys.write_text(json.dumps(self._kept), encoding="utf-8")

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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
