"""What every part of one run stands on: one database server, and a node that begins anew."""

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from onsettle.chain import abi
from onsettle.chain.rpc import Pool
from onsettle.chain.signer import LocalSigner
from onsettle.local.bench.durability import durability
from onsettle.local.chain import LocalChain
from onsettle.local.payers import Payer, fund
from onsettle.local.place import let_pass
from onsettle.local.postgres import EmbeddedPostgres

#: So that blocks end by time and not by gas: a block holds what the node can execute.
GAS_LIMIT = 4_000_000_000
PAYEE = "0x" + "11" * 20
PRICE = 10_000
_RICH = hex(10**24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One profile's own database, wallets and payers on the shared ground."""

    dsn: str
    keys: tuple[str, ...]
    payers: tuple[Payer, ...]
    environment: Mapping[str, str]
    block_time: int

    @property
    def wallets(self) -> list[str]:
        return [LocalSigner.from_key(key).address for key in self.keys]


class Ground:
    """PostgreSQL and anvil on loopback, in a folder that the caller removes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = EmbeddedPostgres(folder)
        self._database_url: str | None = None
        self._latest: str | None = None
        self._node: tuple[LocalChain, Pool] | None = None

    async def __aenter__(self) -> "Ground":
        let_pass(self.folder)
        try:
            self._database_url = await self.postgres.start()
            # Rows hold the time at which their transaction began; what counts is the commit.
            await self._execute("alter system set track_commit_timestamp = on")
            await self.postgres.stop()
            await self.postgres.start()
        except BaseException:
            await self.postgres.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end_node()
        await self.postgres.stop()

    @property
    def chain(self) -> LocalChain:
        """The node of the latest site."""
        return self._running()[0]

    @property
    def rpc(self) -> Pool:
        return self._running()[1]

    async def durability(self) -> dict[str, Any]:
        """Whether the server keeps what it has committed, as it says itself."""
        return await durability(str(self._database_url))

    async def block_gas_limit(self) -> int:
        block = await self.rpc.call("eth_getBlockByNumber", "latest", False)
        assert isinstance(block, dict)
        return int(str(block["gasLimit"]), 16)

    async def paid(self) -> int:
        """What the payee has got on this chain, in atomic units."""
        call = {"to": self.chain.tokens.asset, "data": "0x" + abi.balance_of(PAYEE).hex()}
        return int(str(await self.rpc.call("eth_call", call, "latest")), 16)

    async def site(self, *, wallets: int, payers: int, name: str, block_time: int = 1) -> Site:
        """A new database, a new chain, new wallets with gas, new payers with money.

        A block every `block_time` seconds; 0: one for every transaction, at once. The chain is new
        because anvil gets slower with every payment that it has seen, and the database of the site
        before goes, with all that autovacuum would do in it: a part must not pay for the parts
        before it.
        """
        await self._begin_node(f"chain_{name}_{secrets.token_hex(3)}", block_time)
        if self._latest is not None:
            await self._execute(f"drop database {self._latest} with (force)")
        self._latest = f"bench_{name}_{secrets.token_hex(3)}"
        dsn = await self._create_database(self._latest)
        keys = tuple("0x" + secrets.token_hex(32) for _ in range(wallets))
        for key in (*keys, *self.chain.mint_keys):
            await self.rpc.call("anvil_setBalance", LocalSigner.from_key(key).address, _RICH)
        people = tuple(Payer() for _ in range(payers))
        await self.fund(people)
        tokens = self.chain.tokens
        environment = {name: value for name, value in os.environ.items() if _harmless(name)} | {
            "DATABASE_URL": dsn,
            "ONSETTLE_DATA_DIR": str(self.folder),
            "ONSETTLE_RPC_URLS": self.chain.rpc_url,
            "ONSETTLE_ASSETS": tokens.asset,
            "ONSETTLE_MINT_TOKENS": tokens.mint_token,
            "ONSETTLE_PAYMENT_KEYS": ",".join(keys),
            "ONSETTLE_MINT_KEYS": ",".join(self.chain.mint_keys),
            "ONSETTLE_LOG_FORMAT": "json",
        }
        return Site(
            dsn=dsn, keys=keys, payers=people, environment=environment, block_time=block_time
        )

    async def _begin_node(self, name: str, block_time: int) -> None:
        await self._end_node()
        chain = LocalChain(
            self.folder / name, block_time=block_time, gas_limit=GAS_LIMIT, save_every_s=None
        )
        rpc = Pool([chain.rpc_url], probe_interval_s=0)
        # Known before it runs: a start that is given up half way is ended too.
        self._node = chain, rpc
        await chain.start()
        await rpc.start()

    async def _end_node(self) -> None:
        if self._node is not None:
            (chain, rpc), self._node = self._node, None
            await rpc.close()
            await chain.stop()

    def _running(self) -> tuple[LocalChain, Pool]:
        if self._node is None:
            raise RuntimeError("no site was made yet: it starts the node")
        return self._node

    async def fund(self, people: Sequence[Payer]) -> None:
        addresses = [payer.address for payer in people]
        await fund(self.chain.rpc_url, self.chain.tokens.asset, addresses, 10**12)

    async def _create_database(self, name: str) -> str:
        await self._execute(f"create database {name}")
        return urlunsplit(urlsplit(str(self._database_url))._replace(path=f"/{name}"))

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._database_url, timeout=30)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def _harmless(name: str) -> bool:
    return not name.startswith(("ONSETTLE_", "DATABASE_")) or name in (
        "ONSETTLE_ANVIL",
        "ONSETTLE_POSTGRES_BIN",
    )
