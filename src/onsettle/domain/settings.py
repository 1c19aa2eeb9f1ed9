"""The registry of runtime settings (`system_settings`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any

Value = int | bool | str | Decimal

#: For so many blocks below the head nodes keep state that are not archive nodes.
NODES_KEEP = 128


class InvalidSetting(ValueError):
    """A value outside the allowed range; the text names the setting and the range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What one setting may be."""

    description: str
    low: Decimal | None = None
    high: Decimal | None = None
    choices: tuple[str, ...] = ()

    def allowed(self) -> str:
        """The allowed range, in words."""
        if self.choices:
            return " or ".join(self.choices)
        return f"{self.low} to {self.high}"


def _number(default: int | Decimal, description: str, low: str, high: str) -> Any:
    spec = Spec(description=description, low=Decimal(low), high=Decimal(high))
    return field(default=default, metadata={"spec": spec})


def _choice(default: str | bool, description: str, *choices: str) -> Any:
    return field(default=default, metadata={"spec": Spec(description=description, choices=choices)})


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeSettings:
    """What an operator may change while the engine runs. Times as their names say."""

    payment_batch_interval_ms: int = _number(
        4000, "the longest a payment waits for company, ms", "10", "600000"
    )
    payment_batch_size: int = _number(50, "payments signed in one commit", "1", "5000")
    payment_pack_size: int = _number(1, "payments in one transaction; 1: no packing", "1", "500")
    payment_mode: str = _choice(
        "async", "async, or sync: wait for confirmation before the next batch", "async", "sync"
    )
    payments_paused: bool = _choice(
        False, "true: nothing new is accepted or sent; confirming goes on", "true", "false"
    )
    payment_confirmation_interval_ms: int = _number(
        2000, "the longest gap between looks at the chain, ms", "10", "600000"
    )
    payment_confirmation_timeout_ms: int = _number(
        300000,
        "sent and unseen for this long, ms: confirmation_failed, still watched",
        "1000",
        "604800000",
    )
    payment_confirmations: int = _number(
        1,
        "blocks a transfer must stand in and under; 1: its own block;"
        f" above {NODES_KEEP} archive nodes are needed",
        "1",
        "1000",
    )
    finality_blocks: int = _number(
        0, "blocks until a block is final; 0: the chain's finalized tag", "0", "100000"
    )
    payment_max_validity_s: int = _number(
        604800, "authorizations valid for longer are refused, s", "60", "31536000"
    )
    payment_max_pending_per_payer: int = _number(
        100, "unfinished payments of one payer", "1", "1000000"
    )
    payment_queue_limit: int = _number(
        1000000, "pending payments before new ones are refused", "1", "100000000"
    )
    priority_fee_gwei: Decimal = _number(
        Decimal("0.01"), "least tip per gas, gwei; more where the node asks for it", "0", "10000"
    )
    max_fee_gwei: Decimal = _number(
        Decimal(500), "fee per gas that is never exceeded, gwei", "0.000000001", "1000000"
    )
    fee_bump_after_ms: int = _number(
        15000, "unmined for this long: resend, then pay more, ms", "100", "86400000"
    )
    wallet_max_in_flight: int = _number(64, "unmined transactions of one wallet", "1", "10000")
    rpc_requests_per_second: int = _number(
        0, "per endpoint, counting elements of batches; 0: no limit of ours", "0", "1000000"
    )
    mint_batch_interval_ms: int = _number(
        1500, "the longest a mint waits for company, ms", "10", "600000"
    )
    mint_batch_size: int = _number(100, "mints in one transaction", "1", "500")


SPECS: dict[str, Spec] = {f.name: f.metadata["spec"] for f in fields(RuntimeSettings)}
DEFAULTS = RuntimeSettings()


def render(value: Value) -> str:
    """The text that `system_settings.value` holds for this value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def parse(key: str, text: str) -> Value:
    """Read one setting; raises InvalidSetting."""
    spec = SPECS.get(key)
    if spec is None:
        raise InvalidSetting(f"{key} is not a setting; `onsettle settings` lists them")
    text = text.strip()
    refusal = InvalidSetting(f"{key} = {text[:40]!r} is not valid: allowed is {spec.allowed()}")
    if spec.choices:
        if text.lower() not in spec.choices:
            raise refusal
        return text.lower() == "true" if spec.choices == ("true", "false") else text.lower()
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise refusal from None
    if not number.is_finite() or spec.low is None or spec.high is None:
        raise refusal
    if not spec.low <= number <= spec.high:
        raise refusal
    if isinstance(getattr(DEFAULTS, key), Decimal):
        return number
    if number != number.to_integral_value():
        raise refusal
    return int(number)


def read(
    rows: Mapping[str, str], last_good: RuntimeSettings
) -> tuple[RuntimeSettings, tuple[str, ...]]:
    """The settings in force, and a sentence for each value that is not valid.

    A value that is not valid keeps the last good one; a missing row means the default.
    """
    values: dict[str, Any] = {}
    refused: list[str] = []
    for key in SPECS:
        if key not in rows:
            continue
        try:
            values[key] = parse(key, rows[key])
        except InvalidSetting as error:
            values[key] = getattr(last_good, key)
            refused.append(f"{error}; {render(values[key])} stays in force")
    return RuntimeSettings(**values), tuple(refused)
