"""One node: JSON-RPC over HTTP in batches, with its health and its limits."""

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence

import aiohttp
import structlog

from onsettle.chain.endpoint_stats import EndpointStats
from onsettle.chain.endpoint_url import EndpointUrl
from onsettle.chain.faults import backoff, reason_of, retry_after
from onsettle.chain.identity import QUESTIONS, Identity, another, identity_of
from onsettle.chain.jsonrpc import (
    Call,
    Missing,
    RateLimited,
    RpcError,
    RpcUnavailable,
    decode,
    encode,
    is_batch_too_large,
    is_rate_limit,
)
from onsettle.chain.ratelimit import RateLimiter

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_COOLDOWN_S = 60.0
_CONCURRENT_CHUNKS = 4
# What servers that know no JSON-RPC arrays say to one, when they do not say it in JSON.
_REFUSING_STATUSES = frozenset({400, 413, 415, 422, 501})
# So long a node is believed to be of the chain that it was of, unless it fails meanwhile; one that
# was of another is left alone for so long.
_BELIEVED_S = 60.0
_LEFT_ALONE_S = 30.0

log = structlog.get_logger()


class Endpoint:
    """One JSON-RPC URL. Its `name` is scheme, host and port: keys live in the rest."""

    def __init__(
        self, url: str, session: aiohttp.ClientSession | None = None, *, max_batch: int = 100
    ) -> None:
        """Raises ValueError, which never shows `url`, when it is not an http(s) URL."""
        self._where = EndpointUrl(url)
        self.name = self._where.name
        self.session = session
        self.stats = EndpointStats()
        self._max_batch = max_batch
        self._takes_batches = True
        #: Whether it reads at a block that is named by its hash, as far as is known.
        self.reads_by_hash = True
        self._limiter = RateLimiter()
        self._ids = itertools.count(1)
        self._limited_in_a_row = 0
        self._chain: Identity | None = None
        self._believed_until = 0.0

    def __repr__(self) -> str:
        return f"Endpoint({self.name})"

    def set_rate(self, requests_per_second: int) -> None:
        """Send at most so many calls per second, counting the elements of a batch; 0: no limit."""
        self._limiter.rate = max(0, requests_per_second)

    def expect(self, chain: Identity | None) -> None:
        """From now on nothing is asked of it unless it is of this chain; None: of whichever."""
        self._chain = chain
        self._believed_until = 0.0
        self.stats.foreign = None
        self.stats.height = None

    async def identity(self, timeout_s: float = 10.0) -> Identity:
        """The chain that it is of. Raises RpcUnavailable where it does not say."""
        answers = await self._serve(QUESTIONS, timeout_s)
        for answer in answers:
            if isinstance(answer, RpcUnavailable):
                raise answer
        try:
            return identity_of(answers)
        except ValueError as error:
            raise RpcUnavailable(self.name, self._where.redact(str(error))) from None

    async def call(self, method: str, *params: object, timeout_s: float = 10.0) -> object:
        """The result of one call. Raises RpcError and RpcUnavailable."""
        [answer] = await self.batch([Call(method, params)], timeout_s=timeout_s)
        if isinstance(answer, RpcError):
            raise answer
        return answer

    async def batch(
        self, calls: Sequence[Call], *, timeout_s: float = 10.0, in_order: bool = False
    ) -> list[object]:
        """For each call its result, or an RpcError or RpcUnavailable instance.

        Raises RpcUnavailable when no call at all was answered. `timeout_s` is for each HTTP
        request; `in_order` sends these one after the other instead of up to four at once.
        """
        answers = await self.attempt(calls, timeout_s=timeout_s, in_order=in_order)
        failures = [answer for answer in answers if isinstance(answer, RpcUnavailable)]
        if failures and len(failures) == len(answers):
            raise failures[0]
        return answers

    async def attempt(
        self, calls: Sequence[Call], *, timeout_s: float = 10.0, in_order: bool = False
    ) -> list[object]:
        """Like `batch`, but where no call at all was answered, each one still says why."""
        try:
            await self._prove(timeout_s)
        except RpcUnavailable as failure:
            return [failure] * len(calls)
        size = min(self._max_batch, self._limiter.rate or self._max_batch)
        gate = asyncio.Semaphore(1 if in_order else _CONCURRENT_CHUNKS)

        async def serve(chunk: Sequence[Call]) -> list[object]:
            async with gate:
                return await self._serve(chunk, timeout_s)

        chunks = [calls[start : start + size] for start in range(0, len(calls), size)]
        answered = await asyncio.gather(*map(serve, chunks))
        return list(itertools.chain.from_iterable(answered))

    async def _prove(self, timeout_s: float) -> None:
        """Before it is asked, and again after each failure: raise RpcUnavailable unless it is of
        our chain. What answers at a URL may have become another node."""
        if self._chain is None or time.monotonic() < self._believed_until:
            return
        found = await self.identity(timeout_s)
        stats = self.stats
        if found == self._chain:
            self._believed_until = time.monotonic() + _BELIEVED_S
            stats.foreign = None
            return
        problem = another(found, self._chain)
        if stats.foreign is None:
            log.error("endpoint_of_another_chain", endpoint=self.name, problem=problem)
        stats.foreign = stats.last_error = problem
        stats.height = None
        stats.resting_until = time.monotonic() + _LEFT_ALONE_S
        raise RpcUnavailable(self.name, problem)

    async def _serve(self, chunk: Sequence[Call], timeout_s: float) -> list[object]:
        if len(chunk) > 1 and not self._takes_batches:
            return await self._serve_singly(chunk, timeout_s)
        try:
            await self._admit(len(chunk), timeout_s)
        except RateLimited as refusal:
            return [refusal] * len(chunk)
        try:
            answers = await self._exchange(chunk, timeout_s)
        except RpcUnavailable as failure:
            self._note_failure(failure, len(chunk))
            return [failure] * len(chunk)
        if isinstance(answers, RpcError):
            return await self._serve_refused(chunk, answers, timeout_s)
        return answers

    async def _serve_refused(
        self, chunk: Sequence[Call], refusal: RpcError, timeout_s: float
    ) -> list[object]:
        """The node did not take this batch: smaller ones, or no batches at all from now on."""
        if is_batch_too_large(refusal):
            half = (len(chunk) + 1) // 2
            self._max_batch = min(self._max_batch, half)
            first = await self._serve(chunk[:half], timeout_s)
            return first + await self._serve(chunk[half:], timeout_s)
        answers = await self._serve_singly(chunk, timeout_s)
        if any(not isinstance(answer, RpcUnavailable) for answer in answers):
            self._takes_batches = False
        return answers

    async def _serve_singly(self, chunk: Sequence[Call], timeout_s: float) -> list[object]:
        answers: list[object] = []
        for position, call in enumerate(chunk):
            answers += await self._serve([call], timeout_s)
            if isinstance(answers[-1], RpcUnavailable):
                # It is not the batch that fails: leave the rest unasked.
                return answers + [answers[-1]] * (len(chunk) - position - 1)
        return answers

    async def _exchange(self, chunk: Sequence[Call], timeout_s: float) -> list[object] | RpcError:
        """One HTTP request. One RpcError in place of the answers: the batch was refused."""
        ids = [next(self._ids) for _ in chunk]
        self.stats.requests += len(chunk)
        self.stats.by_method.update(call.method for call in chunk)
        begun = time.monotonic()
        status, headers, body = await self._post(encode(chunk, ids), timeout_s)
        self.stats.last_latency_ms = (time.monotonic() - begun) * 1000
        wait_s = retry_after(headers)
        if status == 429:
            raise self._limited("HTTP 429", wait_s)
        if status == 503 and wait_s is not None:
            self._cool_down(wait_s)
        try:
            answers = decode(body, ids)
        except ValueError as error:
            if status in _REFUSING_STATUSES and len(chunk) > 1:
                too_large = "batch too large" if status == 413 else f"HTTP {status}"
                return RpcError(None, too_large)
            reason = str(error) if status == 200 else f"HTTP {status}, {error}"
            raise RpcUnavailable(self.name, self._where.redact(reason)) from None
        if isinstance(answers, RpcError):
            if is_rate_limit(answers):
                raise self._limited(answers.message, backoff(answers))
            return answers
        return self._checked(answers)

    async def _admit(self, count: int, timeout_s: float) -> None:
        cooldown = self.stats.cooldown
        if cooldown > 0:
            raise RateLimited(self.name, f"not asked: it limits our rate, {cooldown:.1f} s to go")
        try:
            async with asyncio.timeout(timeout_s):
                await self._limiter.acquire(count)
        except TimeoutError:
            rate = self._limiter.rate
            raise RateLimited(self.name, f"not asked: our own limit of {rate} per second") from None

    async def _post(self, body: bytes, timeout_s: float) -> tuple[int, Mapping[str, str], bytes]:
        if self.session is None:
            raise RuntimeError("the pool of this endpoint is not started")
        try:
            async with self.session.post(
                self._where.url,
                data=body,
                headers=self._where.headers,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
            ) as response:
                return response.status, response.headers, await _read(response)
        except TimeoutError:
            reason = f"no answer within {timeout_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = reason_of(error)
        # Raised out here, so that no traceback carries an aiohttp exception: those quote the URL.
        raise RpcUnavailable(self.name, reason)

    def _checked(self, answers: list[object]) -> list[object]:
        checked = [self._check(answer) for answer in answers]
        failures = [answer for answer in checked if isinstance(answer, RpcUnavailable)]
        if not any(isinstance(failure, RateLimited) for failure in failures):
            self._limited_in_a_row = 0
        if len(failures) == len(checked):
            raise failures[0]
        self.stats.errors += len(failures)
        self.stats.consecutive_failures = 0
        self.stats.resting_until = 0.0
        return checked

    def _check(self, answer: object) -> object:
        if isinstance(answer, Missing):
            return RpcUnavailable(self.name, answer.reason)
        if not isinstance(answer, RpcError):
            return answer
        if is_rate_limit(answer):
            return self._limited(answer.message, backoff(answer))
        return self._where.redact_error(answer)

    def _limited(self, reason: str, wait_s: float | None) -> RateLimited:
        self._cool_down(wait_s)
        return RateLimited(self.name, self._where.redact(f"it limits our rate: {reason}"))

    def _cool_down(self, wait_s: float | None) -> None:
        """Ask nothing for `wait_s`, or when the node names no time 1, 2, 4, ... seconds."""
        stats = self.stats
        if wait_s is None:
            if stats.cooldown > 0:
                return  # answers to requests that were under way: one refusal, not several
            wait_s = 2.0 ** min(self._limited_in_a_row, 6)
            self._limited_in_a_row += 1
        until = time.monotonic() + min(max(wait_s, 0.0), MAX_COOLDOWN_S)
        stats.cooldown_until = max(stats.cooldown_until, until)

    def _note_failure(self, failure: RpcUnavailable, count: int) -> None:
        stats = self.stats
        stats.errors += count
        stats.last_error = failure.reason
        if isinstance(failure, RateLimited):
            return
        self._believed_until = 0.0
        stats.consecutive_failures += 1
        rest = 0.5 * 2 ** min(stats.consecutive_failures - 1, 6)
        stats.resting_until = time.monotonic() + rest


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise ValueError("too large")
        parts.append(part)
    return b"".join(parts)
