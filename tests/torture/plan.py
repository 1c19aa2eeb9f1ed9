"""What one seed draws: which faults, when, and each with dice of its own.

Nothing here depends on how long something took, so the same seed always draws the same.
"""

from dataclasses import dataclass
from random import Random

KINDS = (
    "SIGSTOP past the lease",
    "base fee spike",
    "kill -9 of PostgreSQL",
    "kill -9 of a worker",
    "lying node",
    "reorg",
    "wallet drained",
)
LIES = (
    "delay",
    "drop",
    "reset",
    "rate_limit",
    "server_error",
    "malformed_after",
    "wrong_id",
    "truncated",
    "shuffled",
    "internal_error",
    "accept_but_error",
    "accept_but_timeout",
    "ok_but_dropped",
    "already_known",
    "nonce_too_low",
    "underpriced_replacement",
    "pool_full",
    "behind",
    "wobbling",
    "frozen",
    "no_receipts",
    "no_logs",
    "old_receipts",
    "old_nonce",
)
#: Blocks that a reorg drops at most.
DEEPEST_REORG = 3
_AMOUNTS = {"delay": 0.5, "accept_but_timeout": 12.0, "rate_limit": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One fault: seconds after the start, its kind, and the seed of what it draws itself."""

    at_s: float
    kind: str
    dice: int

    def throw(self) -> Random:
        """Its dice, from the first throw on."""
        return Random(self.dice)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """What a node does wrong, which of the two, how often and for how long."""

    name: str
    node: int
    chance: float
    seconds: float
    amount: float | None


def dice(seed: int, who: str) -> Random:
    """The dice of one task: what others throw meanwhile changes nothing."""
    return Random(f"{seed} {who}")


def strikes(seed: int, seconds: float) -> list[Strike]:
    """At least two of the kinds, so that each seed is a mixture of its own."""
    random = dice(seed, "storm")
    kinds = sorted(random.sample(KINDS, random.randint(2, len(KINDS))))
    found: list[Strike] = []
    at_s = random.uniform(0.5, 4)
    while at_s < seconds:
        found.append(Strike(at_s=at_s, kind=random.choice(kinds), dice=random.getrandbits(64)))
        at_s += random.uniform(0.5, 4)
    return found


def lie(random: Random) -> Lie:
    name = random.choice(LIES)
    return Lie(
        name=name,
        node=random.randrange(2),
        chance=random.choice((0.1, 0.3, 1.0)),
        seconds=random.uniform(2, 8),
        amount=_AMOUNTS.get(name),
    )
