"""A network that the engine works on: its node, its tokens, its keys."""

import asyncio
import re
import time
from collections.abc import Sequence
from contextlib import suppress

from onsettle.chain import codec
from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.chain.rpc import Pool
from onsettle.chain.signer import Signer
from onsettle.domain.network import NetworkConfig, TokenDomain
from onsettle.engine.tokens import Tokens
from onsettle.store.database import Database

# Python's own readers also take spaces and underscores, and say ValueError to the rest.
_QUANTITY = re.compile(r"0x[0-9a-fA-F]+")


class NetworkRefused(Exception):
    """This network must not be used as configured; the text says why and what to do."""


class Network:
    """One chain, opened: identity checked, tokens read as far as possible, wallets registered."""

    def __init__(
        self,
        *,
        config: NetworkConfig,
        chain_id: int,
        pool: Pool,
        payment_signers: Sequence[Signer],
        mint_signers: Sequence[Signer],
        has_multicall: bool,
    ) -> None:
        self.config = config
        self.chain_id = chain_id
        self.pool = pool
        self.payment_signers = {s.address: s for s in payment_signers}
        self.mint_signers = {s.address: s for s in mint_signers}
        self.has_multicall = has_multicall
        self.tokens = Tokens(config, chain_id, pool)
        self._time = 0
        self._time_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        db: Database,
        *,
        config: NetworkConfig,
        pool: Pool,
        payment_signers: Sequence[Signer],
        mint_signers: Sequence[Signer],
    ) -> "Network":
        """Raises RpcUnavailable, RpcError or NetworkRefused; a token's fault raises nothing."""
        named = [row for row in await db.fetch("networks_all") if row["name"] == config.name]
        chain_id, genesis = await pool.identify(
            {(row["chain_id"], row["genesis_hash"]) for row in named}
        )
        known = await db.fetchval("network_register", chain_id, config.name, genesis)
        if known != genesis:
            raise NetworkRefused(
                f"{config.name}: chain {chain_id} has another genesis block ({genesis})"
                f" than this database knows ({known}): use the database of that chain"
            )
        code = await pool.call("eth_getCode", config.multicall, "latest")
        network = cls(
            config=config,
            chain_id=chain_id,
            pool=pool,
            payment_signers=payment_signers,
            mint_signers=mint_signers,
            has_multicall=isinstance(code, str) and len(code) > 4,
        )
        await network.tokens.read(db)
        for role, signers in (("payment", payment_signers), ("mint", mint_signers)):
            for signer in signers:
                await db.execute("wallet_register", chain_id, signer.address, role)
        return network

    @property
    def domains(self) -> dict[str, TokenDomain]:
        """Of the assets that are known."""
        return self.tokens.domains

    async def chain_time(self) -> int:
        """The newest block time known here, epoch seconds; 0 while no node has answered.

        Read every two seconds, beside whoever asks: a slow node holds nobody up but the first.
        """
        if self._reading is None and time.monotonic() - self._time_at > 2:
            self._reading = asyncio.create_task(self._read_time(), name="chain time")
        if self._reading is not None and not self._time:
            await asyncio.shield(self._reading)
        return self._time

    async def _read_time(self) -> None:
        try:
            block = await self.pool.call("eth_getBlockByNumber", "latest", False)
            if isinstance(block, dict):
                self._time = max(self._time, number(block.get("timestamp")))
        except (RpcError, RpcUnavailable):
            pass  # the last one known will do
        finally:
            self._time_at = time.monotonic()
            self._reading = None


def number(answer: object) -> int:
    """A JSON-RPC quantity; raises RpcError where the node answered something else."""
    if isinstance(answer, str) and _QUANTITY.fullmatch(answer):
        return int(answer, 16)
    if isinstance(answer, Exception):
        raise answer
    raise RpcError(None, f"not a quantity: {str(answer)[:60]}")


def unhex(answer: object) -> bytes:
    """JSON-RPC data; raises RpcError where the node answered something else."""
    if isinstance(answer, Exception):
        raise answer
    if isinstance(answer, str):
        with suppress(ValueError):
            return codec.unhex(answer)
    raise RpcError(None, f"not data: {str(answer)[:60]}")


__all__ = ["Network", "NetworkRefused", "number", "unhex"]
