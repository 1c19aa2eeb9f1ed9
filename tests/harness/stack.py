"""A whole product for one test: its own database, its own chain, real keys, real signatures."""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from onsettle.chain.rpc import Pool
from onsettle.chain.signer import LocalSigner
from onsettle.config import load
from onsettle.domain.network import TokenDomain
from onsettle.engine.intake import Accepted
from onsettle.engine.network import Network
from onsettle.engine.request import Refused
from onsettle.engine.verify import Report, verify
from onsettle.local.chain import LocalChain
from onsettle.local.payers import Payer, fund
from onsettle.runtime import Engine
from onsettle.store.database import Database
from tests.harness.contracts import deploy

T = TypeVar("T")

PAYEE = "0x" + "11" * 20
PRICE = 10_000
#: `make mutants` waits less: what is broken does not come right by waiting.
_PATIENCE_S = float(os.environ.get("ONSETTLE_TEST_PATIENCE_S", "45"))


async def eventually(
    question: Callable[[], Awaitable[T]], *, within_s: float = _PATIENCE_S, every_s: float = 0.05
) -> T:
    """The first answer that is true; an assertion error with the last one when none was."""
    deadline = time.monotonic() + within_s
    while True:
        answer = await question()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {within_s} s; the last answer: {answer!r}"
        await asyncio.sleep(every_s)


class Stack:
    """The chain and the database of one test, and what a test does with them.

    `block_time` 0 mines every transaction at once; call `hold_blocks` to mine by hand.
    """

    def __init__(self, dsn: str, folder: Path, *, block_time: float = 0, wallets: int = 1) -> None:
        self.dsn = dsn
        self.folder = folder
        self.chain = LocalChain(folder, block_time=block_time, save_every_s=None)
        self.rpc: Pool
        self.keys = ["0x" + secrets.token_hex(32) for _ in range(wallets)]
        #: The address that the engine uses; a fault proxy may be put in front of the chain.
        self.rpc_url = self.chain.rpc_url

    async def __aenter__(self) -> "Stack":
        await self.chain.start()
        self.rpc = Pool([self.chain.rpc_url], probe_interval_s=0)
        await self.rpc.start()
        for wallet in self.wallets:
            await self.rpc.call("anvil_setBalance", wallet, hex(10**21))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.rpc.close()
        await self.chain.stop()

    @property
    def asset(self) -> str:
        return self.chain.tokens.asset

    @property
    def mint_token(self) -> str:
        return self.chain.tokens.mint_token

    @property
    def wallets(self) -> list[str]:
        """Addresses of the payment wallets."""
        return [LocalSigner.from_key(key).address for key in self.keys]

    def environment(self, **more: str) -> dict[str, str]:
        """What a process needs to settle here; names in `more` come without `ONSETTLE_`."""
        values = {
            "DATABASE_URL": self.dsn,
            "ONSETTLE_DATA_DIR": str(self.folder),
            "ONSETTLE_RPC_URLS": self.rpc_url,
            "ONSETTLE_ASSETS": self.asset,
            "ONSETTLE_MINT_TOKENS": self.mint_token,
            "ONSETTLE_PAYMENT_KEYS": ",".join(self.keys),
            "ONSETTLE_MINT_KEYS": ",".join(self.chain.mint_keys),
            "ONSETTLE_LOG_FORMAT": "json",
        }
        for name, value in more.items():
            values["DATABASE_URL" if name == "database_url" else f"ONSETTLE_{name.upper()}"] = value
        return {name: value for name, value in values.items() if value}

    def process_environment(self, **more: str) -> dict[str, str]:
        """The same for a process of its own, with what a process needs besides."""
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("ONSETTLE_", "DATABASE_"))}
        anvil = os.environ.get("ONSETTLE_ANVIL")
        return kept | ({"ONSETTLE_ANVIL": anvil} if anvil else {}) | self.environment(**more)

    @asynccontextmanager
    async def engine(self, *, start: bool = True, **more: str) -> AsyncIterator[Engine]:
        """An engine in this process, with its network open; stopped and closed at the end."""
        engine = await Engine.open(load(self.environment(**more), self.folder))
        try:
            if start:
                await engine.start()
            yield engine
            await engine.stop()
        finally:
            await engine.close()

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        async with await Database.connect(self.dsn, size=2) as db:
            yield db

    async def payers(self, count: int, amount: int = 100 * PRICE) -> list[Payer]:
        """New payers that hold `amount` each."""
        found = [Payer() for _ in range(count)]
        await fund(self.chain.rpc_url, self.asset, [payer.address for payer in found], amount)
        return found

    def body(
        self,
        engine: Engine,
        payer: Payer,
        *,
        value: int = PRICE,
        pay_to: str = PAYEE,
        lifetime_s: int = 3600,
        nonce: str | None = None,
        payment_type: str = "mint",
        quantity: int = 1,
        asset: str | None = None,
    ) -> dict[str, Any]:
        """A request as a client would post it, freshly signed."""
        asset = asset or self.asset
        body: dict[str, Any] = {
            "payment_type": payment_type,
            "asset": asset,
            "metadata": {"quantity": quantity},
            "authorization": payer.authorize(
                domain_of(engine, asset),
                pay_to,
                value,
                valid_before=int(time.time()) + lifetime_s,
                nonce=nonce,
            ),
        }
        if payment_type == "mint":
            body["token_address"] = self.mint_token
        return body

    async def set(self, engine: Engine, **settings: object) -> None:
        """Write runtime settings; they are in force within the time that is promised."""
        for key, value in settings.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            await engine.db.execute("setting_write", key, text)

    async def statuses(self, engine: Engine, ids: Sequence[UUID]) -> list[str]:
        rows = await engine.db.fetch("payments_by_ids", list(ids))
        by_id = {row["id"]: row["status"] for row in rows}
        return [by_id[each] for each in ids]

    async def all_are(
        self, engine: Engine, ids: Sequence[UUID], *statuses: str, within_s: float = _PATIENCE_S
    ) -> None:
        """Wait until every one of these payments has one of these statuses."""

        async def there() -> bool:
            found = await self.statuses(engine, ids)
            return all(status in statuses for status in found)

        try:
            await eventually(there, within_s=within_s)
        except AssertionError:
            rows = await engine.db.fetch("payments_by_ids", list(ids))
            seen = [(r["status"], r["reason"], r["error"]) for r in rows]
            raise AssertionError(f"wanted {statuses}, found {seen[:10]}") from None

    async def all_minted(
        self, engine: Engine, count: int, *, within_s: float = _PATIENCE_S
    ) -> None:
        async def done() -> bool:
            rows = await engine.db.fetch("stats_mints")
            return bool(sum(r["count"] for r in rows if r["status"] == "completed") >= count)

        await eventually(done, within_s=within_s)

    async def audited(self, engine: Engine) -> Report:
        return await verify(engine.db, engine.networks)

    async def verified(self, engine: Engine) -> Report:
        """The audit; an assertion error with its differences when it is not clean.

        Beside it the mint token is asked how much of it there is: each key once, and no other.
        """
        report = await self.audited(engine)
        assert report.ok, report.differences + report.not_checked
        rows = await engine.db.pool.fetch(
            "select status from mint_queue where token_address = $1", self.mint_token
        )
        done = sum(row["status"] == "completed" for row in rows)
        assert done <= await self.minted() <= len(rows)
        return report

    async def deploy(self, name: str, *args: object) -> str:
        """Deploy a contract of `contracts/` (FeeToken, ContractWallet, ...); where it is."""
        return await deploy(self.rpc, name, *args)

    async def hold_blocks(self) -> None:
        """From now on a block is made only by `mine`."""
        await self.rpc.call("evm_setAutomine", False)
        with contextlib.suppress(Exception):
            await self.rpc.call("evm_setIntervalMining", 0)

    async def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            await self.rpc.call("evm_mine")

    async def release_blocks(self) -> None:
        """Mine every transaction at once again, beginning with those that wait."""
        await self.rpc.call("evm_setAutomine", True)
        await self.mine()

    async def height(self) -> int:
        return int(str(await self.rpc.call("eth_blockNumber")), 16)

    async def nonce(self, address: str) -> int:
        return int(str(await self.rpc.call("eth_getTransactionCount", address, "latest")), 16)

    async def token_balance(self, address: str, asset: str | None = None) -> int:
        data = "0x70a08231" + address[2:].rjust(64, "0")
        answer = await self.rpc.call(
            "eth_call", {"to": asset or self.asset, "data": data}, "latest"
        )
        return int(str(answer), 16)

    async def minted(self) -> int:
        """How many units of the mint token there are."""
        call = {"to": self.mint_token, "data": "0x18160ddd"}
        return int(str(await self.rpc.call("eth_call", call, "latest")), 16)

    async def send_as(self, sender: str, to: str, data: bytes | str, *, gas: int = 500_000) -> str:
        """A transaction of any account (impersonated), its hash; nobody's nonce of ours is used."""
        await self.rpc.call("anvil_impersonateAccount", sender)
        await self.rpc.call("anvil_setBalance", sender, hex(10**21))
        text = data if isinstance(data, str) else "0x" + data.hex()
        call = {"from": sender, "to": to, "data": text, "gas": hex(gas)}
        return str(await self.rpc.call("eth_sendTransaction", call))


def only_network(engine: Engine) -> Network:
    [network] = engine.networks.values()
    return network


def domain_of(engine: Engine, asset: str) -> TokenDomain:
    return only_network(engine).domains[asset]


def ids_of(answers: Sequence[Accepted | Refused]) -> list[UUID]:
    """The ids of payments that were all accepted."""
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert not refused, [(r.code, r.message) for r in refused[:5]]
    return [answer.id for answer in answers if isinstance(answer, Accepted)]


def environment_of(lines: str) -> Mapping[str, str]:
    """The variables of `export NAME=value` lines."""
    pairs = (line.removeprefix("export ").split("=", 1) for line in lines.splitlines())
    return {pair[0]: pair[1].strip("'\"") for pair in pairs if len(pair) == 2}
