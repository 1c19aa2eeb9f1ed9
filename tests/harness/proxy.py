"""A lying node: a JSON-RPC proxy that misbehaves by script.

    async with FaultProxy(stack.chain.rpc_url) as proxy:
        stack.rpc_url = proxy.url
        proxy.script("accept_but_error", "eth_sendRawTransaction", times=1)

By hand: `python -m tests.harness.proxy --upstream http://127.0.0.1:8545 --faults drop,behind:3`.
The faults by name are in `tests/harness/faults.py`.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Self

import aiohttp
from aiohttp import web

from tests.harness.faults import (
    FAULTS,
    Abort,
    Answer,
    Fault,
    Handler,
    Hit,
    Raw,
    Request,
    error,
)
from tests.harness.geth import GethRules


@dataclass(slots=True, kw_only=True)
class Rule:
    """One fault, for some methods (none named: all), so often (None: always)."""

    name: str
    fault: Fault
    methods: frozenset[str]
    times: int | None
    chance: float


class FaultProxy:
    """One node in front of `upstream`. Its rules are tried in order, each around the next."""

    def __init__(self, upstream: str, *, seed: int = 0, geth: bool = False) -> None:
        self.random = Random(seed)
        #: How often each fault was injected.
        self.injected: Counter[str] = Counter()
        #: How many calls of each method arrived.
        self.seen: Counter[str] = Counter()
        self.port = 0
        #: Called with each call of a method before the node is asked.
        self.watch: dict[str, Callable[[Request], Awaitable[None]]] = {}
        self._upstream = upstream
        self._rules: list[Rule] = []
        self._geth = GethRules() if geth else None
        self._ids = itertools.count(1)
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/faults", self._show)
        app.router.add_put("/faults", self._change)
        app.router.add_post("/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        [address] = self._runner.addresses
        self.port = address[1]
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def script(
        self,
        name: str,
        *methods: str,
        times: int | None = None,
        chance: float = 1.0,
        amount: float | None = None,
    ) -> Rule:
        """From now on this fault happens; what it returns can be given to `stop`.

        `amount` is what the fault counts: seconds of a delay, blocks of a lag.
        """
        rule = self._rule(name, methods, times, chance, amount)
        self._rules.append(rule)
        return rule

    def _rule(
        self,
        name: str,
        methods: Sequence[str] = (),
        times: int | None = None,
        chance: float = 1.0,
        amount: float | None = None,
    ) -> Rule:
        return Rule(
            name=name,
            fault=FAULTS[name](self.random, amount),
            methods=frozenset(methods),
            times=times,
            chance=chance,
        )

    def lie(
        self, where: Callable[[Request], bool], answer: Callable[[Request, Answer], Answer]
    ) -> Rule:
        """From now on calls that are meant are answered so; with them comes the honest answer."""

        async def fault(calls: Sequence[Request], *, then: Handler, hit: Hit) -> list[Answer]:
            told = zip(calls, await then(calls), strict=True)
            return [answer(call, a) if where(call) and hit(call) else a for call, a in told]

        rule = Rule(name="lie", fault=fault, methods=frozenset(), times=None, chance=1.0)
        self._rules.append(rule)
        return rule

    def refuse(self, where: Callable[[Request], bool], message: str = "internal error") -> Rule:
        """From now on calls that are meant are answered by an error of the node's own."""
        return self.lie(where, lambda call, _honest: error(call, -32000, message))

    def stop(self, rule: Rule) -> None:
        self._rules = [r for r in self._rules if r is not rule]

    def clear(self) -> None:
        """From now on this node is honest."""
        self._rules.clear()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        calls: list[Request] = body if isinstance(body, list) else [body]
        self.seen.update(str(call.get("method")) for call in calls)
        for call in calls:
            if (watcher := self.watch.get(str(call.get("method")))) is not None:
                await watcher(call)
        handler = self._forward
        if self._geth is not None:
            handler = partial(self._geth.answer, then=handler)
        for rule in reversed(self._rules):
            handler = partial(rule.fault, then=handler, hit=partial(self._hit, rule))
        try:
            answers = await handler(calls)
        except Abort:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        except Raw as raw:
            return web.Response(body=raw.body, status=raw.status, headers=raw.headers)
        content = answers if isinstance(body, list) else answers[0] if answers else None
        return web.Response(body=json.dumps(content), content_type="application/json")

    def _hit(self, rule: Rule, call: Request) -> bool:
        """Whether this rule strikes this call; it counts."""
        if rule.methods and call.get("method") not in rule.methods:
            return False
        if rule.times is not None and rule.times <= 0:
            return False
        if rule.chance < 1.0 and self.random.random() >= rule.chance:
            return False
        if rule.times is not None:
            rule.times -= 1
        self.injected[rule.name] += 1
        return True

    async def _forward(self, calls: Sequence[Request]) -> list[Answer]:
        """The honest answers, in the order of the calls and under their ids."""
        if not calls:
            return []
        if self._session is None:
            raise RuntimeError("the proxy is not started")
        numbered = [dict(call, id=next(self._ids)) for call in calls]
        async with self._session.post(self._upstream, json=numbered) as response:
            answers = {answer["id"]: answer for answer in await response.json(content_type=None)}
        return [
            dict(answers[sent["id"]], id=call.get("id"))
            for call, sent in zip(calls, numbered, strict=True)
        ]

    async def _show(self, _request: web.Request) -> web.Response:
        rules = [{"fault": r.name, "methods": sorted(r.methods)} for r in self._rules]
        return web.json_response({"rules": rules, "injected": self.injected, "seen": self.seen})

    async def _change(self, request: web.Request) -> web.Response:
        """PUT a list of {fault, methods, times, chance, amount}: it replaces all rules, or none."""
        try:
            wanted = [dict(each) for each in await request.json()]
            rules = [self._rule(known(each.pop("fault", "")), **each) for each in wanted]
        except (TypeError, ValueError) as error:
            raise web.HTTPUnprocessableEntity(text=f"{error}\n") from None
        self._rules = rules
        return await self._show(request)


def known(name: str) -> str:
    """`name` where there is such a fault; raises ValueError otherwise."""
    if name not in FAULTS:
        raise ValueError(f"no such fault: {name}; there are: {', '.join(sorted(FAULTS))}")
    return name


def add_by_text(proxy: FaultProxy, text: str, chance: float) -> None:
    """Script `name` or `name:amount`; raises ValueError where that can't be."""
    name, _, amount = text.partition(":")
    proxy.script(known(name), chance=chance, amount=float(amount) if amount else None)


async def _serve(options: argparse.Namespace) -> None:
    proxy = FaultProxy(options.upstream, seed=options.seed, geth=options.geth)
    proxy.port = options.port
    try:
        for text in filter(None, options.faults.split(",")):
            add_by_text(proxy, text, options.chance)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    async with proxy:
        where = f"{proxy.url} in front of {options.upstream}; rules and counts: {proxy.url}/faults"
        print(where, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.harness.proxy",
        description="A JSON-RPC proxy that misbehaves. PUT /faults changes the rules.",
        epilog="Faults: " + ", ".join(sorted(FAULTS)) + ".",
    )
    parser.add_argument("--upstream", required=True, help="the honest node")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chance", type=float, default=0.2, help="of each fault, for each call")
    parser.add_argument("--faults", default="", help="name or name:amount, comma-separated")
    parser.add_argument("--geth", action="store_true", help="enforce the rules of geth's pool")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
