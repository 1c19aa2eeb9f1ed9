import asyncio
from typing import TYPE_CHECKING

import click

from onsettle.cli.session import dsn_of, json_option, plain, print_json
from onsettle.config import Config, NetworkSection, load
from onsettle.domain.settings import DEFAULTS, read
from onsettle.local.database import configured

if TYPE_CHECKING:
    from onsettle.chain.rpc import Pool
    from onsettle.engine.doctor.findings import Findings
    from onsettle.store.database import Database

_MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Check the set-up: database, chain, tokens, keys, gas, clocks, settings, files.

    Exit code 0: nothing to do; 1: something does not work; 3: it works, somebody should look.
    """
    found = asyncio.run(_examine())
    if as_json:
        print_json(
            {
                "state": found.worst.value,
                "findings": [
                    {name: plain(getattr(each, name)) for name in each.__slots__}
                    for each in found.all
                ],
            }
        )
    else:
        _print(found)
    if code := {"fail": 1, "warn": 3}.get(found.worst.value):
        raise SystemExit(code)


async def _examine() -> "Findings":
    from onsettle.cli.doctor_files import check_files
    from onsettle.cli.problems import explain
    from onsettle.engine.doctor.findings import Findings
    from onsettle.store.database import UNAVAILABLE, Database

    found = Findings()
    config = load()
    check_files(found, config)
    async with (
        configured(config) as whole,
        await Database.connect(dsn_of(whole), size=2, lazy=True) as db,
    ):
        try:
            ready = await _database(found, whole, db)
        except UNAVAILABLE as error:
            ready = False
            found.fail("database", explain(error), "start it, or check DATABASE_URL")
        await _chains(found, whole, db if ready else None)
    return found


async def _database(found: "Findings", config: Config, db: "Database") -> bool:
    from onsettle.engine.doctor import database

    await database.check_server(found, db)
    await database.check_locks(found, db)
    ready = await database.check_migrations(found, dsn_of(config))
    if ready:
        await database.check_state(found, db)
    return ready


async def _chains(found: "Findings", config: Config, db: "Database | None") -> None:
    from onsettle.chain.rpc import Pool

    if not config.networks:
        found.fail("network", "none is configured", "set ONSETTLE_RPC_URLS")
    for section in config.networks:
        async with Pool(section.config.rpc_urls, probe_interval_s=0) as pool:
            await _chain(found, config, section, pool, db)


async def _chain(
    found: "Findings",
    config: Config,
    section: NetworkSection,
    pool: "Pool",
    db: "Database | None",
) -> None:
    from onsettle.engine.doctor.nodes import check_endpoints
    from onsettle.engine.doctor.tokens import check_tokens
    from onsettle.engine.doctor.wallets import check_wallets

    wallets = _wallets(found, config, section)
    known = {}
    confirmations = DEFAULTS.payment_confirmations
    if db is not None:
        known = {row["chain_id"]: row["genesis_hash"] for row in await db.fetch("networks_all")}
        rows = {row["key"]: row["value"] for row in await db.fetch("settings_read")}
        confirmations = read(rows, DEFAULTS)[0].payment_confirmations
    chain_id = await check_endpoints(found, section.config.name, pool, known, confirmations)
    if chain_id is None:
        return
    endpoint = pool.best()
    minters = [address for address, role in wallets if role == "mint"]
    await check_tokens(found, endpoint, section.config, chain_id, minters, db)
    await check_wallets(found, endpoint, chain_id, wallets, db)


def _wallets(found: "Findings", config: Config, section: NetworkSection) -> list[tuple[str, str]]:
    """(address, role) of each key."""
    from onsettle.chain.signer import SignerError, load_signers

    password = config.keystore_password
    wallets: list[tuple[str, str]] = []
    for role, keys in (("payment", section.payment_keys), ("mint", section.mint_keys)):
        try:
            signers = load_signers(
                [key.get_secret_value() for key in keys],
                None if password is None else password.get_secret_value(),
            )
        except SignerError as error:
            found.fail("keys", f"{role}: {error}", "check the keys", section.config.name)
            continue
        wallets += [(signer.address, role) for signer in signers]
        if not signers and (role == "payment" or section.config.mint_tokens):
            remedy = f"set ONSETTLE_{role.upper()}_KEYS"
            found.warn("keys", f"no {role} key: this machine sends none", remedy)
    return wallets


def _print(found: "Findings") -> None:
    for each in found.all:
        subject = f" {each.subject}" if each.subject else ""
        click.echo(f"{_MARKS[each.state.value]} {each.check}{subject}: {each.found}")
        if each.remedy:
            click.echo(f"       do: {each.remedy}")
    click.echo(
        {"ok": "All is well.", "warn": "It works; see WARN.", "fail": "See FAIL."}[
            found.worst.value
        ]
    )
