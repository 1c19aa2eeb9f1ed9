"""What the database says about one network, read at one moment."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from onsettle.domain.settings import DEFAULTS, RuntimeSettings, read
from onsettle.store.database import Database, Record, sql

Identity = tuple[str, str, str]

# Years of payments take a while to read.
_LONG_S = 900


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """`cursor` is the last block that the confirmer has acted on; None: none yet."""

    chain_id: int
    cursor: int | None
    cursor_hash: str | None
    payments: list[Record]
    mints: list[Record]
    wallets: list[str]
    transactions: list[Record]
    attempts: list[Record]
    missing_nonces: list[Record]
    bad_journals: list[Record]
    outbox: list[Record]
    #: Keys of mints that other programs queued, linked to no payment.
    other_keys: frozenset[str]
    settings: RuntimeSettings

    @property
    def judged_until(self) -> int:
        """The last block in which a transfer must have completed its payment by now."""
        if self.cursor is None:
            return -1
        return self.cursor - self.settings.payment_confirmations + 1

    @cached_property
    def every_wallet(self) -> frozenset[str]:
        return frozenset({*self.wallets, *(row["wallet"] for row in self.transactions)})

    @cached_property
    def identities(self) -> dict[Identity, Record]:
        return {identity(row): row for row in self.payments}

    @cached_property
    def payments_by_id(self) -> dict[UUID, Record]:
        return {row["id"]: row for row in self.payments}

    @cached_property
    def attempts_by_transaction(self) -> dict[int, list[Record]]:
        found: dict[int, list[Record]] = defaultdict(list)
        for row in self.attempts:
            found[row["transaction_id"]].append(row)
        return found

    @cached_property
    def our_hashes(self) -> dict[str, Record]:
        """Every hash that one of our transactions may have on the chain."""
        rows = {row["id"]: row for row in self.transactions}
        found = {row["mined_hash"]: row for row in self.transactions if row["mined_hash"]}
        return found | {a["hash"]: rows[a["transaction_id"]] for a in self.attempts}

    def hashes(self) -> list[str]:
        """Every transaction whose receipt tells something about these books."""
        found = set(self.our_hashes)
        found.update(row["tx_hash"].lower() for row in self.payments if row["tx_hash"])
        found.update(row["mint_tx_hash"].lower() for row in self.mints if row["mint_tx_hash"])
        return sorted(found)


def identity(row: Record) -> Identity:
    return row["payment_token_address"], row["payer"], row["authorization_nonce"]


async def read_ledger(db: Database, chain_id: int) -> Ledger:
    async with (
        db.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        # Everything is read, once: whatever statistics say, no table is searched row by row.
        await connection.execute(
            f"set local enable_nestloop = off; set local statement_timeout = '{_LONG_S}s'"
        )

        async def read_all(name: str) -> list[Record]:
            return await connection.fetch(sql(name), chain_id, timeout=_LONG_S)

        network = await connection.fetchrow(sql("network_get"), chain_id)
        rows = {row["key"]: row["value"] for row in await connection.fetch(sql("settings_read"))}
        return Ledger(
            chain_id=chain_id,
            cursor=network["cursor_number"] if network else None,
            cursor_hash=network["cursor_hash"] if network else None,
            payments=await read_all("verify_payments"),
            mints=await read_all("verify_mints"),
            wallets=[row["address"] for row in await read_all("wallets_list")],
            transactions=await read_all("verify_transactions"),
            attempts=await read_all("verify_attempts"),
            missing_nonces=await read_all("verify_nonces"),
            bad_journals=await read_all("verify_events"),
            outbox=await read_all("verify_outbox"),
            other_keys=frozenset(row["key"] for row in await read_all("verify_keys")),
            settings=read(rows, DEFAULTS)[0],
        )
