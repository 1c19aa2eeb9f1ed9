"""Contracts of one network: assets and their domains, Multicall3, mint tokens and who may mint."""

import secrets
from collections.abc import Iterable

from onsettle.chain import abi
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.chain.token import TokenError, check_mint_token, read_domain
from onsettle.domain.network import NetworkConfig
from onsettle.engine.doctor.findings import Findings
from onsettle.store.database import Database

_SOMEBODY = "0x" + "00" * 19 + "01"


async def check_tokens(
    found: Findings,
    endpoint: Endpoint,
    config: NetworkConfig,
    chain_id: int,
    minters: Iterable[str],
    db: Database | None,
) -> None:
    await _assets(found, endpoint, config, chain_id, db)
    await _multicall(found, endpoint, config)
    for token in config.mint_tokens:
        await _mint_token(found, endpoint, token.address, list(minters))


async def _assets(
    found: Findings,
    endpoint: Endpoint,
    config: NetworkConfig,
    chain_id: int,
    db: Database | None,
) -> None:
    if not config.assets:
        found.fail("asset", "none is configured", "set ONSETTLE_ASSETS", config.name)
    kept = {}
    if db is not None:
        kept = {row["address"]: row for row in await db.fetch("assets_get", chain_id)}
    for address in config.assets:
        try:
            domain = await read_domain(endpoint, chain_id, address)
        except TokenError as error:
            found.fail("asset", str(error), "remove it from ONSETTLE_ASSETS", address)
            continue
        except RpcUnavailable as error:
            found.fail("asset", str(error), "check the endpoint", address)
            continue
        if address in kept and bytes(kept[address]["separator"]) != domain.separator:
            found.fail(
                "asset",
                "its domain is not the one that this database knows: signatures would not fit",
                "has the token been replaced? ask its issuer before going on",
                address,
            )
        else:
            found.ok(
                "asset", f"{domain.name}, version {domain.version}, {domain.decimals} decimals",
                address,
            )  # fmt: skip


async def _multicall(found: Findings, endpoint: Endpoint, config: NetworkConfig) -> None:
    try:
        code = await endpoint.call("eth_getCode", config.multicall, "latest")
    except (RpcError, RpcUnavailable) as error:
        found.warn("multicall", str(error), "check the endpoint", config.multicall)
        return
    if isinstance(code, str) and len(code) > 4:
        found.ok("multicall", "there", config.multicall)
    else:
        found.warn(
            "multicall",
            "no contract at this address: nothing is packed, and simulation costs more calls",
            "set ONSETTLE_MULTICALL to the chain's Multicall3",
            config.multicall,
        )


async def _mint_token(
    found: Findings, endpoint: Endpoint, address: str, minters: list[str]
) -> None:
    try:
        await check_mint_token(endpoint, address)
    except TokenError as error:
        found.fail("mint token", str(error), "remove it from ONSETTLE_MINT_TOKENS", address)
        return
    except RpcUnavailable as error:
        found.fail("mint token", str(error), "check the endpoint", address)
        return
    if not minters:
        found.fail("mint token", "no wallet can mint", "set ONSETTLE_MINT_KEYS", address)
    for wallet in minters:
        # A key that nobody has minted: it must pass, from this wallet.
        data = abi.mint(_SOMEBODY, "0x" + secrets.token_hex(32))
        try:
            await endpoint.call(
                "eth_call", {"from": wallet, "to": address, "data": "0x" + data.hex()}, "latest"
            )
        except RpcError as error:
            found.fail(
                "mint role",
                f"a mint by {wallet} would revert: {error}",
                "grant it the minter role; or see why the token refuses",
                address,
            )
        except RpcUnavailable as error:
            found.fail("mint role", str(error), "check the endpoint", address)
        else:
            found.ok("mint role", f"{wallet} may mint", address)
