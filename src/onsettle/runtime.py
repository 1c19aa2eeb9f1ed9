"""The composition root: from a configuration to a running engine."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

import structlog
from pydantic import SecretStr

from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.chain.rpc import Pool
from onsettle.chain.signer import LocalSigner, assert_native, load_signers
from onsettle.chain.token import TokenError
from onsettle.config import Config, NetworkSection
from onsettle.engine.intake import Intake
from onsettle.engine.network import Network, NetworkRefused
from onsettle.engine.settings import SettingsReader
from onsettle.engine.worker import Worker
from onsettle.store.database import UNAVAILABLE, Database
from onsettle.store.migrate import migrate

log = structlog.get_logger()

_RETRY_S = 1.0


class Engine:
    """Everything of one process. `open`, `start`, `stop`, `close`."""

    def __init__(self, config: Config, db: Database) -> None:
        self.config = config
        self.db = db
        self.networks: dict[int, Network] = {}
        self.settings = SettingsReader(db)
        self.worker = Worker(db, self.networks, self.settings)
        self.intake = Intake(
            db, self.networks, self.settings, len(config.networks), self.worker.hint
        )
        self._problems: dict[str, str] = {}
        self._pools: list[Pool] = []
        self._opening: list[asyncio.Task[None]] = []
        self._started = False

    @property
    def problems(self) -> list[str]:
        """What is not ready, in plain words."""
        return list(self._problems.values())

    @classmethod
    async def open(cls, config: Config, *, wait_s: float = 0) -> "Engine":
        """Connect, migrate, and open the networks; those whose node is down are tried again.

        Waits up to `wait_s` seconds for a database that is not up. Raises what the database says.
        """
        assert_native()
        if config.database_url is None:
            raise RuntimeError("DATABASE_URL is not set: `onsettle local` starts a database")
        db = await _connect(config.database_url, wait_s)
        engine = cls(config, db)
        for section in config.networks:
            pool = Pool(section.config.rpc_urls)
            await pool.start()
            engine._pools.append(pool)
            if not await engine._open(section, pool):
                task = asyncio.create_task(engine._keep_opening(section, pool))
                engine._opening.append(task)
        return engine

    async def _open(self, section: NetworkSection, pool: Pool) -> bool:
        password = self.config.keystore_password
        secret = None if password is None else password.get_secret_value()
        try:
            network = await Network.open(
                self.db,
                config=section.config,
                pool=pool,
                payment_signers=_signers(section.payment_keys, secret),
                mint_signers=_signers(section.mint_keys, secret),
            )
        except (RpcError, RpcUnavailable, TokenError, NetworkRefused, *UNAVAILABLE) as error:
            problem = f"{section.config.name}: {error}"
            if self._problems.get(section.config.name) != problem:
                log.warning("network_not_ready", problem=problem)
            self._problems[section.config.name] = problem
            return False
        self._problems.pop(section.config.name, None)
        self.networks[network.chain_id] = network
        if self._started:
            self.worker.wake.set()
        return True

    async def _keep_opening(self, section: NetworkSection, pool: Pool) -> None:
        while True:
            await asyncio.sleep(_RETRY_S)
            if await self._open(section, pool):
                return

    async def start(self) -> None:
        """Start settling."""
        self._started = True
        self.worker.start()

    async def stop(self) -> None:
        """Finish what is signed, give leases back."""
        if self._started:
            await self.worker.stop()
            self._started = False

    async def close(self) -> None:
        for task in self._opening:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for pool in self._pools:
            await pool.close()
        await self.db.close()


def _signers(keys: Sequence[SecretStr], password: str | None) -> list[LocalSigner]:
    return load_signers([key.get_secret_value() for key in keys], password)


async def _connect(dsn: str, wait_s: float) -> Database:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            await migrate(dsn)
            return await Database.connect(dsn)
        except UNAVAILABLE as error:
            if time.monotonic() >= deadline:
                raise
            log.warning("database_unavailable", problem=f"{type(error).__name__}: {error}")
            await asyncio.sleep(_RETRY_S)
