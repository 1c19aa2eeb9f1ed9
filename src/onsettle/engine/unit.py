"""What a wallet's loop and its source of work say to each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from onsettle.chain.endpoint import Endpoint
from onsettle.domain.settings import RuntimeSettings
from onsettle.engine.named import Block
from onsettle.store.database import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What one transaction will do, simulated and ready to be signed."""

    to: str
    data: bytes
    gas_limit: int
    payment_ids: tuple[UUID, ...] = ()
    mint_ids: tuple[UUID, ...] = ()

    @property
    def items(self) -> tuple[UUID, ...]:
        """What it carries; a no-op carries nothing."""
        return self.payment_ids + self.mint_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The chain as one endpoint shows it to one wallet. Wei, wei per gas, epoch seconds.

    `latest` and `pending` are the wallet's nonce counts. `behind` says that this node has not
    reached the block that the confirmer stands on: it decides nothing.
    """

    endpoint: Endpoint
    number: int
    hash: str
    time: int
    base_fee: int | None
    gas_price: int
    gas_limit: int
    latest: int
    pending: int
    balance: int
    behind: bool

    @property
    def block(self) -> Block:
        """The block that was the newest one: what is judged is read at it."""
        return Block(number=self.number, hash=self.hash, time=self.time)


class Feed(Protocol):
    """Where a wallet's work comes from: payments or mints."""

    kind: str

    async def waiting(self, settings: RuntimeSettings, /) -> tuple[int, float]:
        """How many items wait (capped at a batch), and the age of the oldest in seconds."""
        ...

    def limits(self, settings: RuntimeSettings, /) -> tuple[int, float]:
        """The batch size in items, and the longest wait for company in seconds."""
        ...

    def per_commit(self, settings: RuntimeSettings, /) -> int:
        """The most items that are signed in one commit."""
        ...

    def per_transaction(self, settings: RuntimeSettings, /) -> int:
        """The most items that one transaction carries."""
        ...

    def paused(self, settings: RuntimeSettings, /) -> bool: ...

    async def units(
        self, view: View, address: str, count: int, settings: RuntimeSettings, /
    ) -> list[Unit]:
        """Transactions for up to `count` waiting items, simulated for the wallet `address`."""
        ...

    def give_back(self, units: Sequence[Unit], /) -> None:
        """These were not signed: somebody else may take them."""
        ...

    async def lock(self, connection: Connection, units: Sequence[Unit], /) -> set[UUID]:
        """Lock what is still free of these units, inside the signing commit."""
        ...

    async def signed(self, connection: Connection, rows: Sequence[tuple[UUID, int, str]], /) -> int:
        """Mark (item, transaction id, hash) as signed; the number of rows that changed."""
        ...

    async def settled(self, ids: Sequence[UUID], now: int, /) -> bool:
        """Whether no item of a transaction can succeed any more."""
        ...
