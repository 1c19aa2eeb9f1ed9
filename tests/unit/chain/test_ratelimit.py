"""Our own limit holds in any second, and nobody overtakes."""

import asyncio
import time

from onsettle.chain.ratelimit import RateLimiter


async def times(limiter: RateLimiter, counts: list[int]) -> list[float]:
    """When each of these, all waiting at once, was let through."""

    async def one(count: int) -> float:
        await limiter.acquire(count)
        return time.monotonic()

    return await asyncio.gather(*map(one, counts))


async def test_any_second_holds_at_most_the_rate() -> None:
    limiter = RateLimiter()
    limiter.rate = 5
    done = await times(limiter, [1] * 12)
    assert all(late - early > 1 for early, late in zip(done, done[5:], strict=False))
    assert done[-1] - done[0] < 30  # it ends, on a busy machine too


async def test_first_come_first_served() -> None:
    limiter = RateLimiter()
    limiter.rate = 5
    done = await times(limiter, [3, 4, 1])
    assert done == sorted(done)
    assert done[1] - done[0] > 1


async def test_more_than_the_rate_goes_alone() -> None:
    limiter = RateLimiter()
    limiter.rate = 2
    done = await times(limiter, [1, 10])
    assert 1 < done[1] - done[0] < 30


async def test_a_waiter_that_gives_up_holds_nobody() -> None:
    limiter = RateLimiter()
    limiter.rate = 1
    await limiter.acquire(1)
    waiter = asyncio.create_task(limiter.acquire(1))
    await asyncio.sleep(0.05)
    waiter.cancel()
    async with asyncio.timeout(30):
        await limiter.acquire(1)


async def test_zero_is_no_limit() -> None:
    """With any limit, so many would take hours."""
    async with asyncio.timeout(30):
        await times(RateLimiter(), [100] * 1000)
