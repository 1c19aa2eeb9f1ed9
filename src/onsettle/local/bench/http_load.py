"""Payments over HTTP, offered at a steady rate: what somebody who pays would feel."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from onsettle.local.bench.load import Body, LoadRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What came of an offer: when each id was acknowledged (epoch s), and after how long."""

    acknowledged: dict[str, float]
    waits_s: list[float]
    seconds: float


async def offer(url: str, bodies: Sequence[Body], *, per_second: float) -> Offered:
    """POST each one at its time, whether or not the earlier ones are answered."""
    acknowledged: dict[str, float] = {}
    waits: list[float] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200)) as session:

        async def post(body: Body, due: float) -> None:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            answer = await _post(session, url, body)
            waits.append(time.monotonic() - due)
            acknowledged[answer["id"]] = time.time()

        started = time.monotonic()
        await asyncio.gather(
            *(post(body, started + at / per_second) for at, body in enumerate(bodies))
        )
    return Offered(acknowledged=acknowledged, waits_s=waits, seconds=time.monotonic() - started)


async def _post(session: aiohttp.ClientSession, url: str, body: Body) -> dict[str, Any]:
    async with session.post(f"{url}/v1/payments", json=body) as response:
        answer: dict[str, Any] = await response.json(content_type=None)
        if response.status != 202:
            raise LoadRefused(f"HTTP {response.status}: {answer.get('detail', answer)}")
        return answer
