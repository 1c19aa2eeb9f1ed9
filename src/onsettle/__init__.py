"""Settle signed EIP-3009 payments from Python.

async with Onsettle.from_env() as onsettle:
    payment = await onsettle.submit(authorization)
    await payment.completed()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onsettle.client import Onsettle, Payment, PaymentFailed
    from onsettle.domain.payment import PaymentStatus
    from onsettle.engine.request import Refused

__all__ = ["Onsettle", "Payment", "PaymentFailed", "PaymentStatus", "Refused"]

# Where each name lives: `import onsettle` loads none of it, so that commands answer at once.
_HOMES = {
    "Onsettle": "onsettle.client",
    "Payment": "onsettle.client",
    "PaymentFailed": "onsettle.client",
    "PaymentStatus": "onsettle.domain.payment",
    "Refused": "onsettle.engine.request",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'onsettle' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
