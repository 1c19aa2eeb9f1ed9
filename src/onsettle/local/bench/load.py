"""The load: payments that are signed before the clock starts, and their submission."""

import asyncio
import time
from collections.abc import Mapping, Sequence

from onsettle.domain.network import TokenDomain
from onsettle.engine.intake import MAX_BATCH, Intake
from onsettle.engine.request import Refused
from onsettle.local.bench.ground import PAYEE, PRICE
from onsettle.local.payers import Payer

Body = Mapping[str, object]
# Two at once: one is checked while the database commits the other.
_AT_ONCE = 2


class LoadRefused(Exception):
    """The service refused a payment that it should have taken."""


def sign(
    payers: Sequence[Payer], domain: TokenDomain, count: int, *, mint_token: str | None
) -> list[Body]:
    """`count` payments of these payers in turn; with a mint each where `mint_token` is given."""
    valid_before = int(time.time()) + 6 * 3600
    kind: dict[str, object] = {"payment_type": "bench"}
    if mint_token is not None:
        kind = {"payment_type": "mint", "token_address": mint_token}
    bodies: list[Body] = []
    for at in range(count):
        payer = payers[at % len(payers)]
        signed = payer.authorize(domain, PAYEE, PRICE, valid_before=valid_before)
        bodies.append({**kind, "metadata": {"quantity": 1}, "authorization": signed})
    return bodies


async def submit(intake: Intake, bodies: Sequence[Body]) -> float:
    """Submit all of them, as fast as they are taken; the seconds. Raises LoadRefused."""
    started = time.monotonic()
    chunks = iter([bodies[at : at + MAX_BATCH] for at in range(0, len(bodies), MAX_BATCH)])

    async def feed() -> None:
        for chunk in chunks:
            answers = await intake.submit_many(chunk)
            for answer in answers:
                if isinstance(answer, Refused):
                    raise LoadRefused(f"{answer.code}: {answer.message}")

    await asyncio.gather(*(feed() for _ in range(_AT_ONCE)))
    return time.monotonic() - started
