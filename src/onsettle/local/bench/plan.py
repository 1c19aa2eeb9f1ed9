"""What is measured: one profile is one set of settings under one load."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One measured load of the engine. `block_time` in seconds.

    Of `repeats` runs the middle one counts: whether the last payments make it into one block or
    into the next, seconds later, is luck. After the last one of an `audited` profile its books are
    compared with its chain.
    """

    name: str
    about: str
    payments: int
    settings: Mapping[str, object] = field(default_factory=dict)
    wallets: int = 1
    workers: int = 1
    payers: int = 500
    block_time: int = 2
    mints: bool = True
    repeats: int = 1
    audited: bool = False


PACKED: Mapping[str, object] = {
    "payment_batch_interval_ms": 1000,
    "payment_batch_size": 1000,
    "payment_pack_size": 100,
    "wallet_max_in_flight": 200,
}

SINGLE: Mapping[str, object] = {
    "payment_batch_interval_ms": 1000,
    "payment_batch_size": 250,
    "wallet_max_in_flight": 2000,
}

#: Every one accepts its payments as fast as it can and waits for the last to complete.
PROFILES: tuple[Profile, ...] = (
    Profile(
        name="sync",
        about="the guide's before: batches of 10, the next waits for the one before it",
        payments=100,
        settings={"payment_mode": "sync", "payment_batch_size": 10},
    ),
    Profile(name="default", about="default settings", payments=1000),
    Profile(
        name="guide_values",
        about="the guide's values for high volume, and nothing else",
        payments=1000,
        settings={"payment_batch_interval_ms": 1000, "payment_batch_size": 100},
    ),
    Profile(
        name="one_wallet",
        about="as `single`, with one wallet",
        payments=10_000,
        settings=SINGLE,
    ),
    Profile(
        name="single",
        about="one payment per transaction, four wallets",
        payments=10_000,
        wallets=4,
        repeats=3,
        audited=True,
        settings=SINGLE,
    ),
    Profile(
        name="packed",
        about="packs of 100, two wallets",
        payments=20_000,
        wallets=2,
        settings=PACKED,
        repeats=3,
        audited=True,
    ),
    Profile(
        name="payments_only",
        about="packs of 100, two wallets, nothing to mint: what the floor and the peers do",
        payments=20_000,
        wallets=2,
        settings=PACKED,
        mints=False,
        repeats=3,
        audited=True,
    ),
    Profile(
        name="packed_50",
        about="packs of 50",
        payments=20_000,
        settings={**PACKED, "payment_pack_size": 50, "wallet_max_in_flight": 400},
    ),
    Profile(
        name="small_batches",
        about="as `packed`, with batches of one pack",
        payments=20_000,
        wallets=2,
        settings={**PACKED, "payment_batch_size": 100},
    ),
    Profile(
        name="two_workers",
        about="packs of 100, two wallets, two workers",
        payments=20_000,
        wallets=2,
        workers=2,
        settings=PACKED,
    ),
)


def profile(name: str) -> Profile:
    """The one of this name."""
    return next(each for each in PROFILES if each.name == name)
