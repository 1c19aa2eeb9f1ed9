"""Fee arithmetic: pure, in wei per gas."""

from dataclasses import dataclass
from decimal import Decimal

GWEI = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """EIP-1559 fees of one attempt, wei per gas. A legacy transaction pays `max_fee`."""

    max_fee: int
    priority: int


def wei(gwei: Decimal) -> int:
    return int(gwei * GWEI)


def suggest(*, base_fee: int, priority: int, cap: int) -> Fees:
    """Room for the base fee to double before the transaction is priced out."""
    max_fee = min(2 * base_fee + priority, cap)
    return Fees(max_fee=max_fee, priority=min(priority, max_fee))


def raised(fee: int) -> int:
    """12.5 % more, rounded up: above the 10 % that nodes ask of a replacement."""
    return -(-fee * 9 // 8) if fee else 1


def bump(*, last: Fees, suggestion: Fees, cap: int) -> Fees | None:
    """The fees of a replacement: both at least 12.5 % up; None where the cap forbids it."""
    priority = max(raised(last.priority), suggestion.priority)
    max_fee = max(raised(last.max_fee), suggestion.max_fee, priority)
    if max_fee > cap:
        return None
    return Fees(max_fee=max_fee, priority=priority)
