"""Where an authorization was used: its log, also on a node that answers for few blocks at a time.

A search is bounded by time: a use lies between validAfter and validBefore, and most often soon
after the payment was taken in. What was read is remembered, so that the next try goes on from
there; authorizations of one asset share the ranges that are read.
"""

import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from onsettle.chain import abi
from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import RateLimited, RpcError, RpcUnavailable
from onsettle.chain.logs import decode_logs
from onsettle.domain.evidence import AuthorizationCanceled, AuthorizationUsed, ChainEvent
from onsettle.engine.network import number
from onsettle.store.database import Record

#: Requests of one try. What was not found is left for the next.
REQUESTS = 64

# Blocks of one request, where a node has refused all at once.
_WIDEST = 10_000
# How long a node's limit is taken for granted.
_WIDTH_KEPT_S = 600.0
# Authorizations in one filter.
_AT_ONCE = 50
# Searches and block times that are remembered; the oldest are begun anew.
_REMEMBERED = 10_000
# Nobody's clock is exact, and a payment may land before it is written down here.
_MARGIN_S = 600
# The longest validity that intake admits by default, and a day.
_LONG_S = 8 * 86_400
# Bounds are looked for once an hour of chain time, and to so many blocks.
_HOUR_S = 3600
_NEAR = 16
_BISECTIONS = 64
_PAUSE_S, _LONGEST_PAUSE_S = 2.0, 60.0
# So many answers in a row, and a node is asked for more again: it may have been a hiccup.
_GOOD = 16


@dataclass(slots=True)
class _Progress:
    """Blocks that are still to be read for one authorization, the likeliest part first."""

    parts: list[tuple[int, int]]
    tries: int = 0

    def read(self, high: int) -> None:
        """The first part was read up to this block."""
        _, end = self.parts[0]
        if high >= end:
            del self.parts[0]
        else:
            self.parts[0] = (high + 1, end)


@dataclass(slots=True)
class _Width:
    """Blocks that one node answers for at once."""

    blocks: int = _WIDEST
    good: int = 0
    #: It refused once: asked for the same again, it may answer.
    doubted: bool = False
    until: float = 0.0

    def answered(self) -> None:
        self.doubted = False
        self.good += 1
        if self.good >= _GOOD:
            self.good, self.blocks = 0, min(2 * self.blocks, _WIDEST)

    def refused(self, asked: int) -> None:
        self.good = 0
        self.until = time.monotonic() + _WIDTH_KEPT_S
        if self.doubted:
            self.blocks = max(1, asked // 2)
        self.doubted = not self.doubted


class Search:
    """Finds the logs of used authorizations. Remembers how far it came, and what nodes answer."""

    def __init__(self) -> None:
        self._progress: OrderedDict[UUID, _Progress] = OrderedDict()
        self._widths: dict[str, _Width] = {}
        self._times: list[tuple[int, int]] = []

    def pause(self, payment: UUID) -> float:
        """Seconds until the next try is worth its requests; longer each time."""
        progress = self._progress.get(payment)
        tries = progress.tries if progress is not None else 0
        return min(_LONGEST_PAUSE_S, _PAUSE_S * (1 << min(tries, 6)))

    async def run(
        self,
        endpoint: Endpoint,
        rows: Sequence[Record],
        head: tuple[int, int],
        requests: int = REQUESTS,
    ) -> dict[UUID, ChainEvent]:
        """One try: the first use or cancellation of each row's authorization that was found.

        `head` is the number and time of the newest block to be looked at.
        """
        run = _Run(self, endpoint, head, requests)
        try:
            if self.width(endpoint) is not None or not await run.everything(rows):
                await run.by_parts(rows)
        except RpcUnavailable:
            pass  # no try; what was found until then counts
        except RpcError:
            run.tried.update(row["id"] for row in rows)
        for row in rows:
            if row["id"] in run.found:
                self._progress.pop(row["id"], None)
            elif row["id"] in run.tried:
                self.known(row["id"]).tries += 1
        return run.found

    def width(self, endpoint: Endpoint) -> _Width | None:
        """What this node answers for at once; None: it has refused nothing lately."""
        width = self._widths.get(endpoint.name)
        return width if width is not None and time.monotonic() < width.until else None

    def narrow(self, endpoint: Endpoint) -> None:
        """This node does not answer for everything at once."""
        self._widths[endpoint.name] = _Width(until=time.monotonic() + _WIDTH_KEPT_S)

    def known(self, payment: UUID) -> _Progress:
        """How far the search for this one came; without parts where it is to begin."""
        progress = self._progress.setdefault(payment, _Progress(parts=[]))
        self._progress.move_to_end(payment)
        while len(self._progress) > _REMEMBERED:
            self._progress.popitem(last=False)
        return progress

    def bracket(self, at: int, head: tuple[int, int]) -> tuple[int, int]:
        """Numbers of the nearest known blocks before and after this time."""
        place = bisect_left(self._times, (at, 0))
        before = self._times[place - 1][1] if place else 0
        after = self._times[place][1] if place < len(self._times) else head[0]
        return before, after

    def seen(self, at: int, height: int) -> None:
        """The time of a block is remembered."""
        if len(self._times) >= _REMEMBERED:
            self._times.clear()
        place = bisect_left(self._times, (at, height))
        if self._times[place : place + 1] != [(at, height)]:
            self._times.insert(place, (at, height))


class _Run:
    """One try on one endpoint, with what it may still spend."""

    def __init__(
        self, search: Search, endpoint: Endpoint, head: tuple[int, int], requests: int
    ) -> None:
        self._search = search
        self._endpoint = endpoint
        self._head = head
        self._left = requests
        self.found: dict[UUID, ChainEvent] = {}
        #: Those that requests were spent on.
        self.tried: set[UUID] = set()

    async def everything(self, rows: Sequence[Record]) -> bool:
        """Where the node has no limit, one request; False where it has."""
        for group in _groups(rows):
            try:
                await self._read(group, 0, self._head[0])
            except RateLimited:
                raise
            except RpcUnavailable:
                self._search.narrow(self._endpoint)
                raise
            except RpcError:
                self._search.narrow(self._endpoint)
                return False
        return True

    async def by_parts(self, rows: Sequence[Record]) -> None:
        groups = _groups([row for row in rows if row["id"] not in self.found])
        # Those that were tried least go first, and none takes all.
        groups.sort(key=lambda group: min(self._search.known(r["id"]).tries for r in group))
        for at, group in enumerate(groups):
            spare = self._left - max(4, self._left // (len(groups) - at))
            waiting = {row["id"]: (row, await self._progress(row)) for row in group}
            while self._left > max(0, spare) and waiting:
                await self._step(waiting)

    async def _step(self, waiting: dict[UUID, tuple[Record, _Progress]]) -> None:
        """Read one range, for all of these that are at a part of it."""
        # All of them are brought to their next part before one goes to a farther one.
        _, low = min((-len(p.parts), p.parts[0][0]) for _, p in waiting.values())
        width = self._search.width(self._endpoint) or _Width()
        high = min(low + width.blocks - 1, self._head[0])
        near = [id_ for id_, (_, p) in waiting.items() if low <= p.parts[0][0] <= high]
        try:
            await self._read([waiting[id_][0] for id_ in near], low, high)
        except RateLimited:
            raise
        except RpcUnavailable:
            # Down, or busy with a range that is too wide for it.
            width.refused(high - low + 1)
            raise
        except RpcError:
            if high == low and width.doubted:
                raise
            width.refused(high - low + 1)
            return
        width.answered()
        for id_ in near:
            _, progress = waiting[id_]
            progress.read(high)
            if id_ in self.found or not progress.parts:
                del waiting[id_]

    async def _read(self, rows: Sequence[Record], low: int, high: int) -> None:
        """Read a range for these rows of one asset."""
        self._left -= 1
        self.tried.update(row["id"] for row in rows)
        query = {
            "address": rows[0]["payment_token_address"],
            "topics": [
                [abi.TOPIC_AUTHORIZATION_USED, abi.TOPIC_AUTHORIZATION_CANCELED],
                sorted({"0x" + row["payer"][2:].rjust(64, "0") for row in rows}),
                sorted({row["authorization_nonce"] for row in rows}),
            ],
            "fromBlock": hex(low),
            "toBlock": hex(high),
        }
        events = decode_logs(await self._endpoint.call("eth_getLogs", query))
        ids = {(row["payer"], row["authorization_nonce"]): row["id"] for row in rows}
        for event in events:
            if isinstance(event, AuthorizationUsed | AuthorizationCanceled):
                id_ = ids.get((event.payer, event.nonce))
                if id_ is not None:
                    self.found.setdefault(id_, event)

    async def _progress(self, row: Record) -> _Progress:
        progress = self._search.known(row["id"])
        if not progress.parts:
            progress.parts = await self._parts(row)
        return progress

    async def _parts(self, row: Record) -> list[tuple[int, int]]:
        """After it was taken in; before that; after its deadline (a cancellation); before all."""
        top = self._head[0]
        opens, closes = row["valid_after"] or 0, row["valid_before"]
        taken_in = int(row["created_at"].timestamp()) - _MARGIN_S
        _, last = await self._around(closes - closes % _HOUR_S + _HOUR_S)
        first, _ = await self._around(_hour(max(opens, taken_in)))
        early, _ = await self._around(_hour(max(opens, closes - _LONG_S)))
        first = min(first, last + 1)
        early = min(early, first)
        parts = [(first, last), (early, first - 1), (last + 1, top), (0, early - 1)]
        return [(low, high) for low, high in parts if low <= high]

    async def _around(self, at: int) -> tuple[int, int]:
        """Numbers of two blocks that are near each other, with this time between them."""
        if at >= self._head[1]:
            return self._head[0], self._head[0]
        for _ in range(_BISECTIONS):
            low, high = self._search.bracket(at, self._head)
            if high - low <= _NEAR:
                return min(low, self._head[0]), min(high, self._head[0])
            self._left -= 1
            middle = (low + high) // 2
            block = await self._endpoint.call("eth_getBlockByNumber", hex(middle), False)
            if not isinstance(block, dict):
                raise RpcError(None, f"no block {middle}")
            self._search.seen(number(block.get("timestamp")), middle)
        raise RpcError(None, f"block times that do not rise, at {at}")


def _hour(at: int) -> int:
    return at - at % _HOUR_S


def _groups(rows: Sequence[Record]) -> list[list[Record]]:
    """Of one asset each, those next to each other in time together."""
    groups: list[list[Record]] = []
    for row in sorted(rows, key=lambda r: (r["payment_token_address"], r["created_at"])):
        last = groups[-1] if groups else []
        asset = row["payment_token_address"]
        if last and len(last) < _AT_ONCE and last[0]["payment_token_address"] == asset:
            last.append(row)
        else:
            groups.append([row])
    return groups
