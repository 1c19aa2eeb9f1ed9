"""The local stack: a database and a chain with its tokens."""

from pathlib import Path

import asyncpg

from onsettle.local.chain import LocalChain
from onsettle.local.postgres import EmbeddedPostgres


class LocalStack:
    """Both, started and stopped together; `database_url` replaces the embedded database.

    The embedded one's own URL, which a shell has from `local.env`, means the embedded one.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        chain_port: int = 0,
        block_time: float = 2.0,
        database_url: str | None = None,
        save_every_s: float | None = 2.0,
    ) -> None:
        self._data_dir = data_dir
        own = database_url is None or EmbeddedPostgres.is_of(data_dir, database_url)
        self._database_url = database_url
        self._postgres = EmbeddedPostgres(data_dir) if own else None
        self.chain = LocalChain(
            data_dir, port=chain_port, block_time=block_time, save_every_s=save_every_s
        )

    async def start(self) -> None:
        if self._postgres is not None:
            self._database_url = await self._postgres.start()
        else:
            await _answers(str(self._database_url))
        await self.chain.start()

    async def stop(self) -> None:
        await self.chain.stop()
        if self._postgres is not None:
            await self._postgres.stop()

    def environment(self) -> dict[str, str]:
        """The variables with which `onsettle serve` settles on this stack."""
        return {
            "DATABASE_URL": str(self._database_url),
            "ONSETTLE_DATA_DIR": str(self._data_dir),
            "ONSETTLE_RPC_URLS": self.chain.rpc_url,
            "ONSETTLE_ASSETS": self.chain.tokens.asset,
            "ONSETTLE_MINT_TOKENS": self.chain.tokens.mint_token,
            "ONSETTLE_PAYMENT_KEYS": ",".join(self.chain.payment_keys),
            "ONSETTLE_MINT_KEYS": ",".join(self.chain.mint_keys),
        }


async def _answers(dsn: str) -> None:
    """Raises what the driver raises, where no database answers."""
    connection = await asyncpg.connect(dsn, timeout=10)
    await connection.close()
