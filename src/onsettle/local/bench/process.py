"""An engine's own counters: told on `SIGUSR1` as one JSON line, by an otherwise plain worker.

`SIGUSR2` begins to sample where its processor time goes; that is told beside them.
"""

import json
import resource
import signal
import sys
from pathlib import Path

from onsettle.config import Config
from onsettle.local.bench.sampling import Sampler
from onsettle.runtime import Engine

_opened: list[Engine] = []
_sampler = Sampler()


def watch() -> None:
    """From now on this process answers `SIGUSR1` on its standard output."""
    plain = Engine.open

    async def opened(config: Config, *, wait_s: float = 0) -> Engine:
        engine = await plain(config, wait_s=wait_s)
        _opened.append(engine)
        return engine

    setattr(Engine, "open", opened)  # noqa: B010
    signal.signal(signal.SIGUSR1, lambda *_: _tell())
    signal.signal(signal.SIGUSR2, lambda *_: _sampler.start())


def _tell() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    endpoints = [
        endpoint
        for engine in _opened
        for network in engine.networks.values()
        for endpoint in network.pool.endpoints
    ]
    counters = {
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_memory_mb": round(_peak_bytes() / 1e6, 1),
        "rpc_calls": sum(endpoint.stats.requests for endpoint in endpoints),
        "samples": _sampler.seen,
    }
    sys.stdout.write(json.dumps(counters) + "\n")
    sys.stdout.flush()


def _peak_bytes() -> int:
    """The most that this program has held. Linux's `ru_maxrss` begins with its parent's share."""
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    [peak] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peak) * 1024
