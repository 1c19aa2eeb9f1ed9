"""The tokens of one network: what is known of each, and what is wrong with the others.

A token that is unknown or refused stops its own payments only.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

import structlog

from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.chain.rpc import Pool
from onsettle.chain.token import TokenError, check_mint_token, read_domain
from onsettle.domain.network import NetworkConfig, TokenDomain
from onsettle.engine.alarms import raise_alarm
from onsettle.store.database import Database

log = structlog.get_logger()

_ASSET = "asset_unavailable"
_MINT_TOKEN = "mint_token_unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a token is not used. `refused` is the code of what is the token's own fault.

    None: it could not be read yet.
    """

    message: str
    refused: str | None = None


class Tokens:
    """Read until each is known, and then kept."""

    def __init__(self, config: NetworkConfig, chain_id: int, pool: Pool) -> None:
        self._config = config
        self._chain_id = chain_id
        self._pool = pool
        #: Of assets, also of those that are configured no more.
        self.domains: dict[str, TokenDomain] = {}
        self._minting: set[str] = set()
        #: What is wrong with configured assets and mint tokens, by address.
        self.assets: dict[str, Trouble] = {}
        self.mint_tokens: dict[str, Trouble] = {}

    @property
    def usable(self) -> bool:
        """Whether of the assets, and of the mint tokens, one works at least, where any is named."""
        config = self._config
        return not (
            (config.assets and len(self.assets) == len(config.assets))
            or (config.mint_tokens and len(self.mint_tokens) == len(config.mint_tokens))
        )

    @property
    def problems(self) -> list[str]:
        found = [f"asset {trouble.message}" for trouble in self.assets.values()]
        found += [f"mint token {trouble.message}" for trouble in self.mint_tokens.values()]
        return [f"{self._config.name}: {problem}" for problem in found]

    async def read(self, db: Database) -> bool:
        """Try those that are not known yet; whether all are known now. Raises UNAVAILABLE."""
        for row in await db.fetch("assets_get", self._chain_id):
            self.domains.setdefault(row["address"], TokenDomain(**dict(row)))
        minting = [token.address for token in self._config.mint_tokens]
        await asyncio.gather(
            *(self._asset(db, each) for each in self._config.assets),
            *(self._mint_token(db, each) for each in minting if each not in self._minting),
        )
        return not (self.assets or self.mint_tokens)

    async def _asset(self, db: Database, address: str) -> None:
        trouble = None
        if address not in self.domains:
            trouble = await _trouble(address, self._learn(db, address))
        await self._note(db, self.assets, _ASSET, address, trouble)

    async def _learn(self, db: Database, address: str) -> None:
        domain = await read_domain(self._pool.best(), self._chain_id, address)
        await db.execute(
            "asset_put",
            self._chain_id,
            address,
            domain.name,
            domain.version,
            domain.decimals,
            domain.separator,
        )
        self.domains[address] = domain

    async def _mint_token(self, db: Database, address: str) -> None:
        trouble = await _trouble(address, check_mint_token(self._pool.best(), address))
        if trouble is None:
            self._minting.add(address)
        await self._note(db, self.mint_tokens, _MINT_TOKEN, address, trouble)

    async def _note(
        self,
        db: Database,
        troubles: dict[str, Trouble],
        kind: str,
        address: str,
        trouble: Trouble | None,
    ) -> None:
        before = troubles.get(address)
        if trouble is None:
            troubles.pop(address, None)
            await db.execute("alarm_clear", kind, address)
            if before is not None:
                log.info("token_usable", network=self._config.name, token=address)
            return
        troubles[address] = trouble
        if trouble != before:
            log.error(kind, network=self._config.name, problem=trouble.message)
        await raise_alarm(db, kind, address, trouble.message)


async def _trouble(address: str, reading: Awaitable[None]) -> Trouble | None:
    try:
        await reading
    except TokenError as error:
        return Trouble(message=error.message, refused=error.code)
    except (RpcError, RpcUnavailable) as error:
        return Trouble(message=f"{address} could not be read yet: {error}")
    return None
