"""Several nodes of one chain: the healthiest is asked, the others stand by."""

import asyncio
import itertools
import re
from collections.abc import Collection, Sequence
from typing import Self

import aiohttp

from onsettle import points
from onsettle.chain.answers import SendAnswer, classify
from onsettle.chain.crypto import keccak
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.endpoint_stats import EndpointStats
from onsettle.chain.identity import Identity
from onsettle.chain.jsonrpc import Call, RateLimited, RpcError, RpcUnavailable

__all__ = [
    "Call",
    "Endpoint",
    "EndpointStats",
    "Pool",
    "RateLimited",
    "RpcError",
    "RpcUnavailable",
]

#: An endpoint that is further behind the highest one is used only when there is no better one.
MAX_LAG_BLOCKS = 2
_PROBE_TIMEOUT_S = 3.0
_IDENTITY_TIMEOUT_S = 5.0
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,16}")


class Pool:
    """The endpoints of one chain behind one HTTP session.

    `async with Pool(urls) as pool`, or `start` and `close`. Every `probe_interval_s` seconds each
    endpoint is asked for its height (0: never).
    """

    def __init__(
        self, urls: Sequence[str], *, max_batch: int = 100, probe_interval_s: float = 5.0
    ) -> None:
        """Raises ValueError naming the position, never the URL, of one that can't be used."""
        if not urls:
            raise ValueError("a network needs at least one RPC endpoint")
        endpoints: list[Endpoint] = []
        for position, url in enumerate(urls, start=1):
            try:
                endpoints.append(Endpoint(url, max_batch=max_batch))
            except ValueError as error:
                raise ValueError(f"RPC endpoint {position} of {len(urls)}: {error}") from None
        _tell_apart(endpoints)
        self.endpoints = tuple(endpoints)
        self._current = self.endpoints[0]
        self._probe_interval_s = probe_interval_s
        self._session: aiohttp.ClientSession | None = None
        self._prober: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the HTTP session. No endpoint needs to be up."""
        if self._session is not None:
            return
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=32),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        for endpoint in self.endpoints:
            endpoint.session = self._session
        if self._probe_interval_s > 0:
            self._prober = asyncio.create_task(self._keep_probing(), name="onsettle-rpc-probe")

    async def close(self) -> None:
        """Close all connections."""
        if self._prober is not None:
            self._prober.cancel()
            await asyncio.gather(self._prober, return_exceptions=True)
            self._prober = None
        if self._session is not None:
            await self._session.close()
            self._session = None
        for endpoint in self.endpoints:
            endpoint.session = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def set_rate(self, requests_per_second: int) -> None:
        """`rpc_requests_per_second`, for each endpoint; 0: no limit."""
        for endpoint in self.endpoints:
            endpoint.set_rate(requests_per_second)

    @property
    def problems(self) -> list[str]:
        """Endpoints that can't be used whether they answer or not, in words."""
        return [f"{e.name}: {e.stats.foreign}" for e in self.endpoints if e.stats.foreign]

    async def identify(self, known: Collection[Identity]) -> Identity:
        """Settle which chain this is, and use no endpoint of another from now on.

        One of `known` where an endpoint is of it, or else that of the first endpoint which answers;
        not while one is silent that may be of a known one. Raises RpcUnavailable.
        """
        for endpoint in self.endpoints:
            endpoint.expect(None)
        answers = await asyncio.gather(
            *(endpoint.identity(_IDENTITY_TIMEOUT_S) for endpoint in self.endpoints),
            return_exceptions=True,
        )
        found = [answer for answer in answers if isinstance(answer, tuple)]
        silent = [answer for answer in answers if isinstance(answer, BaseException)]
        ours = next((each for each in found if each in known), None)
        if ours is None and silent and (known or not found):
            raise silent[0]
        ours = ours or found[0]
        for endpoint in self.endpoints:
            endpoint.expect(ours)
        return ours

    def best(self) -> Endpoint:
        """The endpoint to ask now. All reads of one decision belong to one endpoint: keep it."""
        self._current = self._ranked()[0]
        return self._current

    async def call(self, method: str, *params: object, timeout_s: float = 10.0) -> object:
        """The result of one read, from the first endpoint that answers.

        Raises RpcError (an answer, so no other endpoint is asked) and RpcUnavailable.
        """
        [answer] = await self.batch([Call(method, params)], timeout_s=timeout_s)
        if isinstance(answer, RpcError):
            raise answer
        return answer

    async def batch(self, calls: Sequence[Call], *, timeout_s: float = 10.0) -> list[object]:
        """The answers of the first endpoint that answers all; they never mix two endpoints.

        When none does: what the best of them answered, or RpcUnavailable when that is nothing.
        """
        partial: list[object] | None = None
        failure: RpcUnavailable | None = None
        self.best()
        for endpoint in self._ranked():
            try:
                answers = await endpoint.batch(calls, timeout_s=timeout_s)
            except RpcUnavailable as error:
                failure = failure or error
                continue
            if not any(isinstance(answer, RpcUnavailable) for answer in answers):
                self._current = endpoint
                return answers
            partial = partial or answers
        if partial is not None:
            return partial
        if failure is None:
            raise RuntimeError("a pool without endpoints")
        raise failure

    async def broadcast(
        self, raws: Sequence[bytes], *, timeout_s: float = 10.0, again: bool = False
    ) -> list[SendAnswer]:
        """Send each signed transaction to the best endpoint; one answer for each, in order.

        What no node answered for is sent, the same bytes, once more by the next endpoint. `again`
        says that they were sent before and are in no block: the next endpoint gets all of them, for
        a node may take bytes and drop them. Never raises for a fault of a node: that is
        SendKind.UNKNOWN.
        """
        calls = [Call("eth_sendRawTransaction", ("0x" + raw.hex(),)) for raw in raws]
        hashes = ["0x" + keccak(raw).hex() for raw in raws]
        self.best()
        first, *others = self._ranked()
        points.reached("broadcast:before")
        answers = await first.attempt(calls, timeout_s=timeout_s, in_order=True)
        sources = [first.name] * len(calls)
        open_ = [i for i, a in enumerate(answers) if again or isinstance(a, RpcUnavailable)]
        if open_ and others:
            rest = [calls[i] for i in open_]
            second = await others[0].attempt(rest, timeout_s=timeout_s, in_order=True)
            for i, answer in zip(open_, second, strict=True):
                if isinstance(answers[i], RpcUnavailable) and _says_more(answer, answers[i]):
                    answers[i], sources[i] = answer, others[0].name
        points.reached("broadcast:after")
        return [
            classify(answer, hash_, source)
            for answer, hash_, source in zip(answers, hashes, sources, strict=True)
        ]

    async def probe(self) -> None:
        """Ask every endpoint for its height now."""
        await asyncio.gather(*map(_probe, self.endpoints))

    async def _keep_probing(self) -> None:
        while True:
            await self.probe()
            await asyncio.sleep(self._probe_interval_s)

    def _ranked(self) -> list[Endpoint]:
        """The endpoints, best first. The current one stays first until it is worse in kind."""
        able = [
            e
            for e in self.endpoints
            if not e.stats.cooldown and not e.stats.resting and not e.stats.foreign
        ]
        top = max((e.stats.height or 0 for e in able), default=0)

        def rank(endpoint: Endpoint) -> tuple[bool, bool, bool, bool, bool, int]:
            stats = endpoint.stats
            return (
                stats.foreign is not None,
                stats.cooldown > 0,
                stats.resting > 0,
                (stats.height or 0) < top - MAX_LAG_BLOCKS,
                endpoint is not self._current,
                -(stats.height or 0),
            )

        return sorted(self.endpoints, key=rank)


def _says_more(answer: object, before: object) -> bool:
    """Whether a second node's answer is worth more than none from the first.

    A node that did not look at the bytes does not undo that another one may have taken them.
    """
    return not isinstance(answer, RpcUnavailable) or isinstance(before, RateLimited)


def _tell_apart(endpoints: Sequence[Endpoint]) -> None:
    """Two keys at one provider make two endpoints of one name: number them."""
    for _, group in itertools.groupby(sorted(endpoints, key=lambda e: e.name), lambda e: e.name):
        for number, endpoint in enumerate(group, start=1):
            if number > 1:
                endpoint.name = f"{endpoint.name}#{number}"


async def _probe(endpoint: Endpoint) -> None:
    try:
        height = await endpoint.call("eth_blockNumber", timeout_s=_PROBE_TIMEOUT_S)
    except (RpcError, RpcUnavailable):
        height = None  # it is resting or cooling down already
    known = isinstance(height, str) and _QUANTITY.fullmatch(height)
    endpoint.stats.height = int(str(height), 16) if known else None
