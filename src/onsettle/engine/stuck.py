"""What waits for more than its turn, read from the database alone: an outage does not hide it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from onsettle.domain.payment import PaymentStatus
from onsettle.domain.settings import DEFAULTS, RuntimeSettings, read
from onsettle.domain.stuck import (
    Carrying,
    Diagnosis,
    Surroundings,
    Waiting,
    diagnose,
    diagnose_mint,
    diagnose_mint_adrift,
)
from onsettle.store.database import Database, Record

#: Rows of each kind that are shown unless more are asked for: enough to see the cause.
SHOWN = 500
#: No more of each kind at once, whatever is asked for.
AT_MOST = 10_000

_MESSAGE = ("id", "payment_id", "channel", "event", "tries", "last_error", "created_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """Everything that needs a look, each with why, since when, and what happens next."""

    payments: list[dict[str, Any]]
    mints: list[dict[str, Any]]
    wallets: list[dict[str, Any]]
    networks: list[dict[str, Any]]
    webhooks: list[dict[str, Any]]
    alarms: list[dict[str, Any]]
    settings: list[str]
    workers: int
    #: How many there are of payments, mints and webhooks, shown or not.
    totals: dict[str, int]

    @property
    def nothing(self) -> bool:
        lists: tuple[Sequence[object], ...] = (
            self.payments, self.mints, self.wallets, self.networks, self.webhooks, self.alarms,
            self.settings,
        )  # fmt: skip
        return not any(lists)


async def read_stuck(db: Database, older_than_s: float, limit: int = SHOWN) -> Stuck:
    """The oldest `limit` of each kind, and how many there are.

    `older_than_s` is how long is too long for what is sent or queued.
    """
    rows = {row["key"]: row["value"] for row in await db.fetch("settings_read")}
    settings, refused = read(rows, DEFAULTS)
    workers = len(await db.fetch("workers_live"))
    wallets = await db.fetch("wallets_keyed")
    networks = {row["chain_id"]: row for row in await db.fetch("networks_all")}
    now = datetime.now(UTC)

    def around(chain_id: int | None, role: str) -> Surroundings:
        return _surroundings(now, settings, workers, networks.get(chain_id or 0), wallets, role)

    payments = await db.fetch("stuck_payments", older_than_s, limit)
    mints = await db.fetch("stuck_mints", older_than_s, limit)
    webhooks = await db.fetch("stuck_outbox", limit)
    return Stuck(
        payments=[_payment(row, around(row["chain_id"], "payment")) for row in payments],
        mints=[_mint(row, around(row["chain_id"], "mint")) for row in mints],
        wallets=[w for row in wallets if (w := _wallet(row, workers))],
        networks=[n for row in networks.values() if (n := _network(row, workers))],
        webhooks=[{name: row[name] for name in _MESSAGE} for row in webhooks],
        alarms=[dict(row) for row in await db.fetch("alarms_open")],
        settings=list(refused),
        workers=workers,
        totals={
            name: rows[0]["total"] if rows else 0
            for name, rows in (("payments", payments), ("mints", mints), ("webhooks", webhooks))
        },
    )


def _surroundings(
    now: datetime,
    settings: RuntimeSettings,
    workers: int,
    network: Record | None,
    wallets: Sequence[Record],
    role: str,
) -> Surroundings:
    chain_id = network["chain_id"] if network else None
    own = [w for w in wallets if w["chain_id"] == chain_id and w["role"] == role]
    words = {w["address"]: trouble_of(w) for w in own}
    return Surroundings(
        now=now,
        settings=settings,
        workers=workers,
        known=network is not None,
        following=network is not None and network["following_since"] is not None,
        cursor=network["cursor_number"] if network else None,
        able=sum(1 for trouble in words.values() if trouble is None),
        unable=tuple(f"{a}: {trouble}" for a, trouble in words.items() if trouble),
    )


def trouble_of(wallet: Mapping[str, Any] | Record) -> str | None:
    """Why this wallet sends nothing; None where it can."""
    if not wallet["keyed"]:
        return "no running worker has its key"
    if wallet["paused"]:
        return "it is paused"
    if wallet["needs_balance"] is not None:
        return f"it needs {wallet['needs_balance']} wei for gas and has {wallet['balance']}"
    return None


def _carrying(row: Record) -> Carrying | None:
    if row["wallet"] is None:
        return None
    return Carrying(
        wallet=row["wallet"],
        nonce=row["nonce"],
        state=row["state"],
        lowest=row["lowest"],
        answer=row["answer"],
        tries=row["tries"] or 0,
        tried_at=row["tried_at"],
        keyed=row["keyed"],
        arrived=row["arrived"] is not None and row["answer"] != "unknown",
        signed_at=row["signed_at"],
        max_fee=int(row["max_fee"] or 0),
        noop=bool(row["noop"]),
    )


def _payment(row: Record, around: Surroundings) -> dict[str, Any]:
    completed = row["completed_at"] if row["status"] == PaymentStatus.COMPLETED else None
    since = completed or row["processed_at"] or row["created_at"]
    said = diagnose(
        Waiting(
            id=str(row["id"]),
            status=PaymentStatus(row["status"]),
            reason=row["reason"],
            error=row["error"],
            valid_after=row["valid_after"],
            valid_before=row["valid_before"],
            hold_until=row["hold_until"],
            needs_lookup=row["needs_lookup"],
            block_number=row["block_number"],
            carrying=_carrying(row),
        ),
        around,
    )
    facts = {k: row[k] for k in ("id", "status", "payer", "tx_hash", "processed_at")}
    return {**facts, **_told(said, since, around.now)}


def _mint(row: Record, around: Surroundings) -> dict[str, Any]:
    if row["adrift"]:
        said = diagnose_mint_adrift(row["payment_tx_hash"], row["paid_by"])
    else:
        said = diagnose_mint(
            mint_id=str(row["id"]),
            status=row["status"],
            error=row["error_message"],
            retries=row["retry_count"],
            hold_until=row["hold_until"],
            paid=row["paid"],
            carrying=_carrying(row),
            around=around,
        )
    facts = {k: row[k] for k in ("id", "payment_id", "unit", "status", "mint_tx_hash")}
    return {**facts, **_told(said, row["created_at"], around.now)}


def _told(said: Diagnosis, since: datetime, now: datetime) -> dict[str, Any]:
    waiting = int((now - since).total_seconds())
    return {"since": since, "seconds_waiting": waiting, **asdict(said)}


def _wallet(row: Record, workers: int) -> dict[str, Any] | None:
    """A wallet that can't do what is asked of it. Without workers that is said once, not here."""
    trouble = trouble_of(row)
    if trouble is None or (not row["keyed"] and (not workers or not row["live"])):
        return None
    command = f"onsettle wallets resume {row['address']}" if row["paused"] else None
    facts = {k: row[k] for k in ("chain_id", "address", "role", "live", "balance", "needs_balance")}
    return {**facts, "why": trouble, "command": command}


def _network(row: Record, workers: int) -> dict[str, Any] | None:
    if not workers:
        why = "no worker is running"
    elif row["following_since"] is None:
        why = "the confirmer has not reached the head of the chain"
    else:
        return None
    facts = {k: row[k] for k in ("chain_id", "name", "cursor_number", "looked_at")}
    return {**facts, "why": why}
