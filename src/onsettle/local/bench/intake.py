"""What `onsettle serve` takes over HTTP on one core: signature checked, committed durably.

`python -m onsettle.local.bench.intake` measures it alone. The service has no payment key, so
nothing but intake uses its core; the load and the database share the others.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import asyncpg
import orjson
import psutil

from onsettle.chain.token import read_domain
from onsettle.local.bench.conditions import conditions, in_force
from onsettle.local.bench.ground import Ground, Site
from onsettle.local.bench.load import Body, LoadRefused, sign

_CONNECTIONS = 32
_BATCH = 500
_SERVE = "from onsettle.cli import main; main()"
_START_S = 30.0
_CHAIN_ID = 84532


async def measure_intake(ground: Ground, *, singles: int, batched: int) -> dict[str, Any]:
    """Payments per second through `POST /v1/payments` and through `/batch`, and the times."""
    site = await ground.site(wallets=1, payers=500, name="intake")
    domain = await read_domain(ground.rpc.best(), _CHAIN_ID, ground.chain.tokens.asset)
    bodies = sign(site.payers, domain, singles + batched, mint_token=ground.chain.tokens.mint_token)
    async with _service(site) as (port, process):
        await _raise_limits(site)
        alone = [_post("/v1/payments", body) for body in bodies[:singles]]
        # One core of two: the first tenth warms up connections, statements and caches.
        await _drive(port, alone[: singles // 10], _CONNECTIONS, 202)
        before = _cpu(process)
        single = await _drive(port, alone[singles // 10 :], _CONNECTIONS, 202)
        single_cpu = (_cpu(process) - before) / (singles - singles // 10)
        rest = bodies[singles:]
        packs = [
            _post("/v1/payments/batch", {"payments": rest[at : at + _BATCH]})
            for at in range(0, len(rest), _BATCH)
        ]
        before = _cpu(process)
        batch = await _drive(port, packs, 2, 200)
        batch_cpu = (_cpu(process) - before) / batched
    settings = await in_force(site.dsn)
    return {
        "about": "HTTP, one `onsettle serve` on one core, no payment wallet",
        **await conditions(ground, site, payments=singles + batched, settings=settings, wallets=0),
        "payments_per_second": round(single["per_second"], 1),
        "cpu_ms_per_payment": round(single_cpu * 1000, 3),
        "ms": single["ms"],
        "connections": _CONNECTIONS,
        "batch_payments_per_second": round(batch["per_second"] * _BATCH, 1),
        "batch_cpu_ms_per_payment": round(batch_cpu * 1000, 3),
        "batch_ms": batch["ms"],
        "batch_size": _BATCH,
    }


@asynccontextmanager
async def _service(site: Site) -> AsyncIterator[tuple[int, psutil.Process]]:
    port = _free_port()
    environment = {
        **site.environment,
        "ONSETTLE_PAYMENT_KEYS": "",
        "ONSETTLE_MINT_KEYS": "",
        "ONSETTLE_PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SERVE, "serve", env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        if hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(process.pid, cores[:1])
        await _until_ready(port)
        yield port, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def _until_ready(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            status, _ = await _Connection.once(port, b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
            if status == 200:
                return
        if time.monotonic() > deadline:
            raise LoadRefused("the service did not get ready")
        await asyncio.sleep(0.1)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def _raise_limits(site: Site) -> None:
    connection = await asyncpg.connect(site.dsn)
    try:
        await connection.execute(
            "update system_settings set value = '1000000'"
            " where key = 'payment_max_pending_per_payer'"
        )
    finally:
        await connection.close()
    await asyncio.sleep(1)


def _post(path: str, body: Mapping[str, Any] | Body) -> bytes:
    content = orjson.dumps(body)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


class _Connection:
    """Just enough HTTP to send a prepared request and read its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "_Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=2**20))

    @classmethod
    async def once(cls, port: int, request: bytes) -> tuple[int, bytes]:
        connection = await cls.open(port)
        try:
            return await connection.ask(request)
        finally:
            connection.close()

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        at = head.index(b"content-length: ") + 16
        length = int(head[at : head.index(b"\r\n", at)])
        return status, await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


async def _drive(
    port: int, requests: Sequence[bytes], connections: int, expected: int
) -> dict[str, Any]:
    """Send all of them over so many connections at once."""
    waiting = iter(requests)
    times: list[float] = []

    async def client() -> None:
        connection = await _Connection.open(port)
        try:
            for request in waiting:
                started = time.perf_counter()
                status, answer = await connection.ask(request)
                times.append(time.perf_counter() - started)
                if status != expected or b'"problem"' in answer:
                    raise LoadRefused(f"HTTP {status}: {answer[:300].decode()}")
        finally:
            connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(connections)))
    spent = time.perf_counter() - started
    cuts = quantiles(times, n=100) if len(times) > 1 else [times[0]] * 99
    return {
        "per_second": len(requests) / spent,
        "ms": {f"p{p}": round(cuts[p - 1] * 1000, 2) for p in (50, 95, 99)},
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Ground(Path(folder)) as ground:
            found = await measure_intake(ground, singles=5000, batched=20_000)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    asyncio.run(_main())
