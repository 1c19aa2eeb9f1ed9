"""Rows that another program wrote: the older server's, and whatever is INSERTed by plain SQL.

They are taken over in two steps. Every row gets its chain and the one form of its identity, so
that an authorization is known by whoever meets it next; what waits to be sent is then checked as
intake checks a request, and settles like any other payment or fails with the reason.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

import structlog

from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.admission import check_catalogue, check_window, now
from onsettle.engine.alarms import raise_alarm
from onsettle.engine.choice import FAR
from onsettle.engine.loop import Loop
from onsettle.engine.network import Network
from onsettle.engine.request import Refused, Request, parse
from onsettle.engine.settings import SettingsReader
from onsettle.engine.signatures import by_contract, by_key
from onsettle.store.database import Connection, Database, Record, sql

log = structlog.get_logger()

_BATCH = 500
_PAUSE_S = 0.5
#: In this order: of two copies of an authorization the one that got furthest is met first.
_OPEN = (["processing", "sent"], ["pending"], ["failed", "confirmation_failed"])
_FINISHED = ["completed"]

#: Why a row of another program is not taken over. `awaits_network` is none of them: it will be.
REFUSALS = (
    "unreadable", "asset_not_allowed", "asset_ambiguous", "amount_mismatch", "payer_mismatch",
)  # fmt: skip
# Between two counts of what was refused: each reads all of it.
_TELL_S = 5.0


class Adoption(Loop):
    """Takes over what other programs write. Safe to run in any number of processes."""

    def __init__(
        self,
        db: Database,
        networks: Mapping[int, Network],
        settings: SettingsReader,
        configured: Sequence[str] = (),
        checked: Callable[[], None] = lambda: None,
    ) -> None:
        """`configured` are the assets of all networks, also of those that are not open yet.

        `checked` is called when payments may be sent that could not before.
        """
        super().__init__("adoption")
        self._db = db
        self._networks = networks
        self._settings = settings
        self._configured = configured
        self._checked = checked
        self._asked_again: set[tuple[int, str]] = set()
        self._untold = True
        self._told_at = float("-inf")

    async def leave(self) -> None:
        """It holds nothing between two ticks."""

    async def tick(self) -> float:
        if not self._networks:
            return _PAUSE_S
        taken = await self._ask_again()
        taken += await take_over_open(self._db, self._configured)
        for network in list(self._networks.values()):
            taken += await self._check(network)
        # Nobody waits for these: whoever asks for one of them takes it over at once.
        finished = await take_over(self._db, self._configured, _FINISHED, _BATCH)
        await self._tell(taken + finished)
        return 0.0 if taken else _PAUSE_S / 5 if finished else _PAUSE_S

    async def _ask_again(self) -> int:
        """After each token that can be read: what was refused, or waits, because of its asset."""
        assets = {(n.chain_id, asset) for n in self._networks.values() for asset in n.domains}
        if assets == self._asked_again:
            return 0
        taken = await take_over_again(self._db, self._configured)
        if taken == 0:
            self._asked_again = assets
        return taken or 0

    async def _tell(self, moved: int) -> None:
        self._untold = self._untold or moved > 0
        if self._untold and time.monotonic() - self._told_at > _TELL_S:
            await tell_refused(self._db)
            self._untold, self._told_at = False, time.monotonic()

    async def _check(self, network: Network) -> int:
        """Check what waits as intake would; the number of rows that were decided."""
        rows = await self._db.fetch("unchecked_due", network.chain_id, _BATCH)
        if not rows:
            return 0
        settings = await self._settings.get()
        at = await now(network)
        checks = [_checked(row, network, settings, at) for row in rows]
        checks = await _ask_contracts(network, checks)
        passed = [
            (row["id"], "0x" + item.authorization.signature.hex(), item.quantity, expired)
            for row, (item, _, expired) in zip(rows, checks, strict=True)
            if isinstance(item, Request)
        ]
        failed = [
            (row["id"], item.code, item.message, False)
            for row, (item, _, _) in zip(rows, checks, strict=True)
            if isinstance(item, Refused) and item.status < 500
        ]
        if passed:
            await self._db.execute("unchecked_passed", *_columns(passed))
            self._checked()
        if failed:
            await self._db.execute("payments_fail_pending", *_columns(failed))
            counted = Counter(code for _, code, _, _ in failed)
            log.warning("strange_payments_refused", **counted)
        return len(passed) + len(failed)


async def take_over_open(db: Database, configured: Sequence[str]) -> int:
    """Rows whose outcome is open, and mints that are owed; how many were taken over."""
    taken = 0
    for statuses in _OPEN:
        taken += await take_over(db, configured, statuses, _BATCH)
    return taken + await _take_over_mints(db, configured)


async def take_over(
    db: Database, configured: Sequence[str], statuses: Sequence[str], limit: int
) -> int:
    """Some rows with these statuses; how many there were."""
    async with db.transaction() as connection:
        if not await connection.fetchval(sql("adoption_lock")):
            return 0
        rows = await connection.fetch(sql("adoption_pick"), list(statuses), limit)
        await _take(connection, configured, [row["id"] for row in rows])
        return len(rows)


async def take_over_again(db: Database, configured: Sequence[str]) -> int | None:
    """Some rows whose asset was not known and is now; None: another process is at it."""
    async with db.transaction() as connection:
        if not await connection.fetchval(sql("adoption_lock")):
            return None
        rows = await connection.fetch(sql("adoption_again"), list(configured), _BATCH)
        await _take(connection, configured, [row["id"] for row in rows])
        return len(rows)


async def take_over_known(db: Database, configured: Sequence[str], nonces: Sequence[str]) -> None:
    """Older rows with these authorization nonces, before the same is taken as something new."""
    async with db.transaction() as connection:
        await connection.execute(sql("adoption_lock_wait"))
        rows = await connection.fetch(sql("adoption_known"), list(nonces))
        await _take(connection, configured, [row["id"] for row in rows])


async def tell_refused(db: Database) -> list[Record]:
    """An alarm for each reason for which rows are refused, with their number; the numbers."""
    rows = await db.fetch("adoption_refused")
    counts = {row["problem"]: row["count"] for row in rows}
    for problem in REFUSALS:
        if problem not in counts:
            await db.execute("alarm_clear", "not_taken_over", problem)
            continue
        await raise_alarm(
            db,
            "not_taken_over",
            problem,
            f"{counts[problem]} rows of another program can't be taken over ({problem}): see"
            " `select id, status, refused, error from payment_queue"
            f" where refused = '{problem}'`",
        )
    return rows


async def _take_over_mints(db: Database, configured: Sequence[str]) -> int:
    async with db.transaction() as connection:
        if not await connection.fetchval(sql("adoption_lock")):
            return 0
        rows = await connection.fetch(sql("adoption_mints_due"), _BATCH)
        ids = [row["id"] for row in rows]
        await _take(connection, configured, ids)
        return await _link_mints(connection, ids)


async def _take(connection: Connection, configured: Sequence[str], ids: Sequence[UUID]) -> None:
    if not ids:
        return
    rows = await connection.fetch(sql("adoption_take"), list(ids), list(configured))
    if not rows:
        return
    problems = Counter(row["problem"] for row in rows if row["problem"])
    waiting = problems.pop("awaits_network", 0)
    doubled = sum(row["doubled"] for row in rows)
    await _link_mints(connection, [row["id"] for row in rows if not row["problem"]])
    log.info(
        "taken_over",
        payments=len(rows) - waiting - problems.total(),
        doubled=doubled,
        refused=problems.total(),
        waiting=waiting,
    )


async def _link_mints(connection: Connection, ids: Sequence[UUID]) -> int:
    if not ids:
        return 0
    await connection.execute(sql("adoption_history"), list(ids))
    return len(await connection.fetch(sql("adoption_mints"), list(ids)))


async def link_mints(connection: Connection, ids: Sequence[UUID]) -> None:
    """Mints that another program queued for these payments count, before any is added."""
    rows = await connection.fetch(sql("payments_by_hand"), list(ids))
    await _link_mints(connection, [row["id"] for row in rows])


_Check = tuple[Request | Refused, bool, bool]


def _checked(row: Record, network: Network, settings: RuntimeSettings, at: int) -> _Check:
    """(the request or why it is refused, whether the payer's key signed it, whether it expired)"""
    try:
        request = _read(row, network)
        check_catalogue(network, request)
        expired = _expired(request, settings, at)
    except Refused as refused:
        return refused, False, False
    signed = by_key(request, network.domains[request.asset].separator)
    return signed or request, signed is not None, expired


def _read(row: Record, network: Network) -> Request:
    if row["payment_token_address"] not in network.config.assets:
        asset = row["payment_token_address"]
        raise Refused("asset_not_allowed", f"{asset} is not one of ONSETTLE_ASSETS")
    metadata = dict(row["metadata"] or {})
    if isinstance(metadata.get("quantity"), str) and metadata["quantity"].isdigit():
        metadata["quantity"] = int(metadata["quantity"])
    names = ("from", "to", "value", "validAfter", "validBefore", "nonce", "signature")
    request = parse(
        {
            "payment_type": row["payment_type"],
            "token_address": row["token_address"],
            "metadata": metadata,
            # In any spelling: the signature vouches for them, as no checksum could.
            "authorization": {name: (row[name] or "").lower() for name in names},
        },
        chain_id=network.chain_id,
        asset=row["payment_token_address"],
    )
    _same_content(row, request)
    return request


def _same_content(row: Record, request: Request) -> None:
    """The columns say what was signed: it is they that are sent and judged."""
    auth = request.authorization
    signed = {
        "payer": auth.payer,
        "pay_to": auth.pay_to,
        "amount": auth.value,
        "authorization_nonce": auth.nonce,
        "valid_after": min(auth.valid_after, FAR),
        "valid_before": min(auth.valid_before, FAR),
    }
    for name, value in signed.items():
        if row[name] != value:
            raise Refused(f"{name}_mismatch", f"{name} of the row is not what was signed")


def _expired(request: Request, settings: RuntimeSettings, at: int) -> bool:
    """Raises Refused. What is not valid yet waits; what has expired may have landed."""
    try:
        check_window(request, at, settings)
    except Refused as refused:
        if refused.code not in ("expired", "not_yet_valid"):
            raise
        return refused.code == "expired"
    return False


async def _ask_contracts(network: Network, checks: Sequence[_Check]) -> list[_Check]:
    """Signatures that are not a key's may be a contract's."""
    answered = list(checks)
    places = [
        at
        for at, (item, signed, _) in enumerate(checks)
        if isinstance(item, Request) and not signed
    ]
    asked = [item for at in places if isinstance(item := checks[at][0], Request)]
    if asked:
        verdicts = await by_contract(network, asked)
        for at, refusal in zip(places, verdicts, strict=True):
            answered[at] = (refusal or checks[at][0], True, checks[at][2])
    return answered


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
