"""An engine's own counters: told on `SIGUSR1` as one JSON line, by an otherwise plain worker."""

import json
import resource
import signal
import sys

from onsettle.config import Config
from onsettle.runtime import Engine

_opened: list[Engine] = []


def watch() -> None:
    """From now on this process answers `SIGUSR1` on its standard output."""
    plain = Engine.open

    async def opened(config: Config, *, wait_s: float = 0) -> Engine:
        engine = await plain(config, wait_s=wait_s)
        _opened.append(engine)
        return engine

    setattr(Engine, "open", opened)  # noqa: B010
    signal.signal(signal.SIGUSR1, lambda *_: _tell())


def _tell() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    endpoints = [
        endpoint
        for engine in _opened
        for network in engine.networks.values()
        for endpoint in network.pool.endpoints
    ]
    # macOS counts bytes, Linux kibibytes.
    unit = 1 if sys.platform == "darwin" else 1024
    counters = {
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_memory_mb": round(used.ru_maxrss * unit / 1e6, 1),
        "rpc_calls": sum(endpoint.stats.requests for endpoint in endpoints),
    }
    sys.stdout.write(json.dumps(counters) + "\n")
    sys.stdout.flush()
