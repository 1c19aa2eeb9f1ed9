"""What the database says about one network, read at one moment."""

from dataclasses import dataclass

from onsettle.domain.settings import DEFAULTS, RuntimeSettings, read
from onsettle.store.database import Database, Record, sql


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """`cursor` is the last block that the confirmer has acted on; None: none yet."""

    chain_id: int
    cursor: int | None
    first_block: int
    transactions: int
    payments: list[Record]
    mints: list[Record]
    mined: list[Record]
    missing_nonces: list[Record]
    bad_journals: list[Record]
    settings: RuntimeSettings

    @property
    def judged_until(self) -> int:
        """The last block in which a transfer must have completed its payment by now."""
        if self.cursor is None:
            return -1
        return self.cursor - self.settings.payment_confirmations + 1


async def read_ledger(db: Database, chain_id: int) -> Ledger:
    async with (
        db.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        network = await connection.fetchrow(sql("verify_network"), chain_id)
        rows = {row["key"]: row["value"] for row in await connection.fetch(sql("settings_read"))}
        return Ledger(
            chain_id=chain_id,
            cursor=network["cursor_number"] if network else None,
            first_block=(network["first_block"] or 0) if network else 0,
            transactions=network["transactions"] if network else 0,
            payments=await connection.fetch(sql("verify_payments"), chain_id),
            mints=await connection.fetch(sql("verify_mints"), chain_id),
            mined=await connection.fetch(sql("verify_transactions"), chain_id),
            missing_nonces=await connection.fetch(sql("verify_nonces"), chain_id),
            bad_journals=await connection.fetch(sql("verify_events"), chain_id),
            settings=read(rows, DEFAULTS)[0],
        )
