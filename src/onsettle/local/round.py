"""One round of the demo: all payers pay at once, and it is written down when what happened."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from onsettle.chain.jsonrpc import Call
from onsettle.domain.payment import UNFINISHED, PaymentStatus
from onsettle.engine.intake import MAX_BATCH, Accepted
from onsettle.engine.network import Network, number
from onsettle.engine.request import Refused
from onsettle.local.screen import Screen
from onsettle.runtime import Engine

_PATIENCE_S = 180


class DemoFailed(Exception):
    """The demo did not end as it must; the text says where it stood."""


@dataclass(slots=True, kw_only=True)
class Round:
    """What was answered, and the rows when all is decided."""

    name: str
    started: datetime
    start_height: int
    accepted: list[UUID] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    duplicates: int = 0
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    sent: int = 0
    sent_height: int = 0
    minted: int = 0
    gas: int = 0

    @property
    def completed(self) -> list[Mapping[str, Any]]:
        return [row for row in self.rows if row["status"] == PaymentStatus.COMPLETED]

    @property
    def failed(self) -> list[Mapping[str, Any]]:
        return [row for row in self.rows if row["status"] != PaymentStatus.COMPLETED]

    def seconds(self, column: str) -> float:
        """From the submission to the last payment's `column`."""
        last = max((row[column] for row in self.completed if row[column]), default=self.started)
        return round((last - self.started).total_seconds(), 2)

    @property
    def blocks_to_sent(self) -> int:
        return self.sent_height - self.start_height

    @property
    def blocks_to_completed(self) -> int:
        last = max((row["block_number"] or 0 for row in self.completed), default=0)
        return max(int(last) - self.start_height, 0)

    @property
    def per_minute(self) -> float:
        return round(len(self.completed) * 60 / max(self.seconds("completed_at"), 0.001), 1)


async def run_round(
    engine: Engine,
    network: Network,
    screen: Screen,
    name: str,
    bodies: Sequence[Mapping[str, object]],
    minted_before: int,
) -> Round:
    """Submit everything just after a block, and wait until all is decided and minted."""
    height = await next_block(engine, network)
    this = Round(name=name, started=datetime.now(UTC), start_height=height)
    for start in range(0, len(bodies), MAX_BATCH):
        for answer in await engine.intake.submit_many(bodies[start : start + MAX_BATCH]):
            _note(this, answer)
    deadline = time.monotonic() + _PATIENCE_S
    while not await _look(engine, network, screen, this, minted_before):
        if time.monotonic() > deadline:
            counts = dict(Counter(row["status"] for row in this.rows))
            raise DemoFailed(
                f"after {_PATIENCE_S} s the payments are {counts}, {this.minted} minted"
            )
        await asyncio.sleep(0.1)
    screen.clear()
    this.gas = await _gas(network, this)
    return this


def _note(this: Round, answer: Accepted | Refused) -> None:
    if isinstance(answer, Refused):
        this.refused.append(answer)
    elif answer.known:
        this.duplicates += 1
    else:
        this.accepted.append(answer.id)


async def _look(
    engine: Engine, network: Network, screen: Screen, this: Round, minted_before: int
) -> bool:
    """Whether every payment is decided, and every completed one minted."""
    this.rows = [dict(row) for row in await engine.db.fetch("payments_progress", this.accepted)]
    mints = {row["status"]: row["count"] for row in await engine.db.fetch("stats_mints")}
    this.minted = int(mints.get("completed", 0)) - minted_before
    counts = Counter(row["status"] for row in this.rows)
    screen.progress(this.name, counts, len(this.rows), this.minted)
    sent = sum(row["sent_at"] is not None for row in this.rows)
    if sent > this.sent:
        this.sent, this.sent_height = sent, await height_of(network)
    return not set(UNFINISHED) & set(counts) and this.minted >= len(this.completed)


async def _gas(network: Network, this: Round) -> int:
    """Gas for each completed payment, as the receipts say."""
    hashes = {row["tx_hash"] for row in this.completed}
    used = 0
    for answer in await network.pool.batch(
        [Call("eth_getTransactionReceipt", (each,)) for each in sorted(hashes)]
    ):
        if isinstance(answer, Exception):
            raise answer
        used += int(cast("dict[str, str]", answer)["gasUsed"], 16)
    return used // max(len(this.completed), 1)


async def height_of(network: Network) -> int:
    return number(await network.pool.call("eth_blockNumber"))


async def next_block(engine: Engine, network: Network) -> int:
    """Wait until the engine has taken in a new block, so that every round has the same start.

    Its height. A round that began when only the node had the block would, by chance, find the
    engine still at work on it.
    """
    before = await height_of(network)
    deadline = time.monotonic() + _PATIENCE_S
    while (height := await _taken_in(engine, network)) <= before:
        if time.monotonic() > deadline:
            raise DemoFailed(f"no block came within {_PATIENCE_S} s")
        await asyncio.sleep(0.02)
    return height


async def _taken_in(engine: Engine, network: Network) -> int:
    row = await engine.db.fetchrow("network_get", network.chain_id)
    return -1 if row is None or row["cursor_number"] is None else int(row["cursor_number"])
