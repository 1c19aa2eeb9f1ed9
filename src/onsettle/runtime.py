"""The composition root: from a configuration to a running engine."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

import asyncpg
import structlog
from pydantic import SecretStr

from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.chain.rpc import Pool
from onsettle.chain.signer import LocalSigner, assert_native, load_signers
from onsettle.chain.token import TokenError
from onsettle.config import Config, NetworkSection
from onsettle.engine.hints import Teller
from onsettle.engine.intake import Intake
from onsettle.engine.network import Network, NetworkRefused
from onsettle.engine.notifier import Notifier
from onsettle.engine.settings import SettingsReader
from onsettle.engine.worker import Worker
from onsettle.store.database import UNAVAILABLE, Database
from onsettle.store.migrate import MigrationError, migrate

log = structlog.get_logger()

_RETRY_S = 1.0
_DATABASE = "database"


class Engine:
    """Everything of one process. `open`, `start`, `stop`, `close`."""

    def __init__(self, config: Config, db: Database) -> None:
        self.config = config
        self.db = db
        self.networks: dict[int, Network] = {}
        self.settings = SettingsReader(db)
        self._notifiers = _notifiers(config, db)
        #: Of all networks, open or not; one that is an asset of two networks is here twice.
        self.assets = [asset for section in config.networks for asset in section.config.assets]
        self.worker = Worker(db, self.networks, self.settings, self._notifiers, assets=self.assets)
        self._others = Teller(db)
        self.intake = Intake(
            db, self.networks, self.settings, len(config.networks), self._hint, assets=self.assets
        )
        #: Whether the database has answered once, and has the tables of this version.
        self.prepared = False
        self._problems: dict[str, str] = {}
        self._pools = [Pool(section.config.rpc_urls) for section in config.networks]
        self._opening: list[asyncio.Task[None]] = []
        self._started = False

    @property
    def problems(self) -> list[str]:
        """What is not ready, in plain words."""
        return list(self._problems.values())

    @classmethod
    async def open(cls, config: Config, *, wait_s: float | None = 0) -> "Engine":
        """Connect, migrate, and open the networks; those whose node is down are tried again.

        Waits up to `wait_s` seconds for a database that is not up, and raises what it says then.
        None: does not wait and does not give up; what is missing is in `problems` meanwhile.
        """
        assert_native()
        if config.database_url is None:
            raise RuntimeError("DATABASE_URL is not set: `onsettle local` starts a database")
        engine = cls(config, await Database.connect(config.database_url, lazy=True))
        for pool in engine._pools:
            await pool.start()
        try:
            await engine._prepare(config.database_url, wait_s)
        except BaseException:
            await engine.close()
            raise
        return engine

    async def _prepare(self, dsn: str, wait_s: float | None) -> None:
        deadline = time.monotonic() + (wait_s or 0)
        while True:
            try:
                await migrate(dsn)
                break
            except UNAVAILABLE as error:
                self._report(_DATABASE, f"the database does not answer: {_reason(error)}")
                if wait_s is None:
                    self._opening.append(asyncio.create_task(self._keep_preparing(dsn)))
                    return
                if time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(_RETRY_S)
        await self._open_all()

    async def _keep_preparing(self, dsn: str) -> None:
        """The database was down at the start: whatever it says now, it is asked again."""
        while True:
            await asyncio.sleep(_RETRY_S)
            try:
                await migrate(dsn)
            except (MigrationError, asyncpg.PostgresError, *UNAVAILABLE) as error:
                self._report(_DATABASE, f"the database does not answer: {_reason(error)}")
            else:
                log.info("database_ready")
                return await self._open_all()

    async def _open_all(self) -> None:
        self._problems.pop(_DATABASE, None)
        self.prepared = True
        for section, pool in zip(self.config.networks, self._pools, strict=True):
            if not await self._open(section, pool):
                task = asyncio.create_task(self._keep_opening(section, pool))
                self._opening.append(task)
        if self._started:
            await self._begin()

    def _report(self, subject: str, problem: str) -> None:
        if self._problems.get(subject) != problem:
            log.warning("not_ready", problem=problem)
        self._problems[subject] = problem

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
            self._report(section.config.name, f"{section.config.name}: {error}")
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

    def _hint(self) -> None:
        """New work was committed here: this process looks at once, and so do the others."""
        self.worker.hint()
        self._others.tell()

    async def start(self) -> None:
        """Start settling, as soon as the database has answered."""
        self._started = True
        if self.prepared:
            await self._begin()

    async def _begin(self) -> None:
        for notifier in self._notifiers:
            # Before anything completes; where the database is down again it is done later.
            with contextlib.suppress(*UNAVAILABLE):
                await notifier.open()
        self.worker.start()

    async def stop(self) -> None:
        """Finish what is signed, give leases back."""
        if self._started and self.prepared:
            await self.worker.stop()
        self._started = False

    async def close(self) -> None:
        for task in self._opening:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._others.close()
        for pool in self._pools:
            await pool.close()
        await self.db.close()


def _notifiers(config: Config, db: Database) -> list[Notifier]:
    if config.webhook_url is None or config.webhook_secret is None:
        return []
    return [Notifier(db, config.webhook_url, config.webhook_secret.get_secret_value())]


def _signers(keys: Sequence[SecretStr], password: str | None) -> list[LocalSigner]:
    return load_signers([key.get_secret_value() for key in keys], password)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
