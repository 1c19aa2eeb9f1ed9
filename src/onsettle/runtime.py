"""The composition root: from a configuration to a running engine."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import asyncpg
import structlog
from pydantic import SecretStr

from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.chain.rpc import Pool
from onsettle.chain.signer import LocalSigner, SignerError, assert_native, load_signers
from onsettle.config import Config, NetworkSection
from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.hints import Teller
from onsettle.engine.intake import Intake
from onsettle.engine.network import Network, NetworkRefused
from onsettle.engine.notifier import Notifier
from onsettle.engine.settings import SettingsReader
from onsettle.engine.worker import Worker
from onsettle.store.database import UNAVAILABLE, Database
from onsettle.store.migrate import MigrationError, migrate
from onsettle.store.older_own import NotUpgradable
from onsettle.store.patience import Busy

log = structlog.get_logger()

# Between two tries of what has failed, at first and at last.
_RETRY_S = 1.0
_LONGEST_RETRY_S = 5.0
_LONGEST_TOKEN_S = 30.0
# Beside the names of networks, which have no spaces.
_DATABASE = "the database"
_WORKER = "the worker"
#: What goes wrong around us, in words of its own; anything else is told with its traceback.
_EXPECTED = (
    RpcError, RpcUnavailable, NetworkRefused, MigrationError, NotUpgradable, Busy,
    asyncpg.PostgresError, *UNAVAILABLE,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A configured network: its endpoints, and its keys, loaded."""

    section: NetworkSection
    pool: Pool
    payment_signers: Sequence[LocalSigner]
    mint_signers: Sequence[LocalSigner]

    @property
    def name(self) -> str:
        return self.section.config.name

    @classmethod
    async def load(cls, section: NetworkSection, password: str | None) -> "Chain":
        """Raises SignerError. In a thread: each keystore takes a second to decrypt, on purpose."""
        signers = []
        for variable, keys in (("PAYMENT", section.payment_keys), ("MINT", section.mint_keys)):
            try:
                signers.append(await asyncio.to_thread(_signers, keys, password))
            except SignerError as error:
                name = section.config.name
                raise SignerError(f"{name}: ONSETTLE_{variable}_KEYS, {error}") from None
        return cls(
            section=section,
            pool=Pool(section.config.rpc_urls),
            payment_signers=signers[0],
            mint_signers=signers[1],
        )


class Engine:
    """Everything of one process. `open`, `start`, `stop`, `close`."""

    def __init__(self, config: Config, db: Database, chains: Sequence[Chain]) -> None:
        self.config = config
        self.db = db
        self.networks: dict[int, Network] = {}
        self.settings = SettingsReader(db, self._limit_rate)
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
        self._chains = chains
        self._opened: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._started = False
        #: Whether it settles: what `start` asks for has begun.
        self.working = False

    @property
    def problems(self) -> list[str]:
        """What is not as it should be, in plain words."""
        found = list(self._problems.values())
        if not self.prepared:
            return found
        told = self._opened | set(self._problems)
        closed = [chain.name for chain in self._chains if chain.name not in told]
        found += [f"{name}: not open yet" for name in closed]
        for network in self.networks.values():
            found += network.tokens.problems
        for chain in self._chains:
            found += [f"{chain.name}: {problem}" for problem in chain.pool.problems]
        return found

    @property
    def ready(self) -> bool:
        """Whether it settles for every network; a bad token beside good ones does not count."""
        return (
            self.working
            and not self._problems
            and len(self._opened) == len(self._chains)
            and all(network.tokens.usable for network in self.networks.values())
        )

    @classmethod
    async def open(cls, config: Config, *, wait_s: float | None = 0) -> "Engine":
        """Load the keys, connect, migrate, open the networks; those whose node is down later.

        Waits up to `wait_s` seconds for a database that is not up, and raises what it says then.
        None: does not wait and does not give up; what is missing is in `problems` meanwhile.
        Raises SignerError: a key that can't be used ends the start, whatever else is down.
        """
        assert_native()
        if config.database_url is None:
            raise RuntimeError("DATABASE_URL is not set: `onsettle local` starts a database")
        secret = config.keystore_password
        password = None if secret is None else secret.get_secret_value()
        chains = [await Chain.load(section, password) for section in config.networks]
        engine = cls(config, await Database.connect(config.database_url, lazy=True), chains)
        for chain in chains:
            await chain.pool.start()
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
                return await self._migrate(dsn)
            except UNAVAILABLE as error:
                self._report(_DATABASE, error)
                if wait_s is None:
                    return self._spawn(_DATABASE, partial(self._migrate, dsn))
                if time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(_RETRY_S)

    async def _migrate(self, dsn: str) -> None:
        await migrate(dsn)
        if self._problems.pop(_DATABASE, None) is not None:
            log.info("database_ready")
        self.prepared = True
        for chain in self._chains:
            await self._now_or_later(chain.name, partial(self._open, chain))
        if self._started:
            await self._now_or_later(_WORKER, self._begin)

    async def _open(self, chain: Chain) -> None:
        network = await Network.open(
            self.db,
            config=chain.section.config,
            pool=chain.pool,
            payment_signers=chain.payment_signers,
            mint_signers=chain.mint_signers,
        )
        self.networks[network.chain_id] = network
        self._opened.add(chain.name)
        self._tasks.append(
            asyncio.create_task(self._read_tokens(network), name=f"tokens of {chain.name}")
        )
        if self.working:
            self.worker.wake.set()

    async def _read_tokens(self, network: Network) -> None:
        """Those that could not be read, or were refused, until each is known."""
        subject = f"tokens of {network.config.name}"
        wait = _RETRY_S
        while network.tokens.problems:
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_TOKEN_S)
            await self._try(subject, partial(network.tokens.read, self.db))

    async def _now_or_later(self, subject: str, attempt: Callable[[], Awaitable[object]]) -> None:
        """Try it; what fails is told, and tried again beside everything else."""
        if not await self._try(subject, attempt):
            self._spawn(subject, attempt)

    def _spawn(self, subject: str, attempt: Callable[[], Awaitable[object]]) -> None:
        task = asyncio.create_task(self._keep_trying(subject, attempt), name=f"open {subject}")
        self._tasks.append(task)

    async def _keep_trying(self, subject: str, attempt: Callable[[], Awaitable[object]]) -> None:
        wait = _RETRY_S
        await asyncio.sleep(wait)
        while not await self._try(subject, attempt):
            wait = min(2 * wait, _LONGEST_RETRY_S)
            await asyncio.sleep(wait)

    async def _try(self, subject: str, attempt: Callable[[], Awaitable[object]]) -> bool:
        try:
            await attempt()
        except Exception as error:
            # Whatever it is: a task that ended here would end in silence.
            self._report(subject, error)
            return False
        self._problems.pop(subject, None)
        return True

    def _report(self, subject: str, error: Exception) -> None:
        problem = _words(subject, error)
        if self._problems.get(subject) != problem:
            log.warning(
                "not_ready",
                problem=problem,
                exc_info=None if isinstance(error, _EXPECTED) else error,
            )
        self._problems[subject] = problem

    def _limit_rate(self, settings: RuntimeSettings) -> None:
        for chain in self._chains:
            chain.pool.set_rate(settings.rpc_requests_per_second)

    def _hint(self) -> None:
        """New work was committed here: this process looks at once, and so do the others."""
        self.worker.hint()
        self._others.tell()

    async def start(self) -> None:
        """Start settling, as soon as the database has answered."""
        self._started = True
        if self.prepared:
            await self._now_or_later(_WORKER, self._begin)

    async def _begin(self) -> None:
        for notifier in self._notifiers:
            # Before anything completes; where the database is down again it is done later.
            with contextlib.suppress(*UNAVAILABLE):
                await notifier.open()
        # It may have been stopped meanwhile, and is never started twice.
        if self._started and not self.working:
            self.working = True
            self.worker.start()

    async def stop(self) -> None:
        """Finish what is signed, give leases back."""
        self._started = False
        if self.working:
            self.working = False
            await self.worker.stop()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._others.close()
        for chain in self._chains:
            await chain.pool.close()
        await self.db.close()


def _notifiers(config: Config, db: Database) -> list[Notifier]:
    if config.webhook_url is None or config.webhook_secret is None:
        return []
    return [Notifier(db, config.webhook_url, config.webhook_secret.get_secret_value())]


def _signers(keys: Sequence[SecretStr], password: str | None) -> list[LocalSigner]:
    return load_signers([key.get_secret_value() for key in keys], password)


def _words(subject: str, error: Exception) -> str:
    reason = str(error) or type(error).__name__
    if not isinstance(error, _EXPECTED):
        reason = f"{type(error).__name__}: {error}"
    if subject == _DATABASE:
        what = "does not answer" if isinstance(error, UNAVAILABLE) else "can't be prepared"
        return f"the database {what}: {reason}"
    if subject == _WORKER:
        return f"the worker can't be started: {reason}"
    return f"{subject}: {reason}"
