"""The engine in a process of its own: `onsettle worker`, which also tells what it has used.

`SIGUSR1` prints one JSON line of counters; so does the end.
"""

import asyncio
import json
import os
import resource
import signal
import sys
from pathlib import Path

from onsettle.config import load
from onsettle.log import set_up
from onsettle.runtime import Engine


def _counters(engine: Engine) -> dict[str, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    networks = engine.networks.values()
    endpoints = [endpoint for network in networks for endpoint in network.pool.endpoints]
    # macOS counts bytes, Linux kibibytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_memory_mb": round(used.ru_maxrss * unit / 1e6, 1),
        "rpc_calls": sum(endpoint.stats.requests for endpoint in endpoints),
    }


async def _work() -> None:
    set_up("json")
    engine = await Engine.open(load(os.environ, Path.cwd()), wait_s=30)
    stopped = asyncio.Event()

    def tell() -> None:
        sys.stdout.write(json.dumps(_counters(engine)) + "\n")
        sys.stdout.flush()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    loop.add_signal_handler(signal.SIGINT, stopped.set)
    loop.add_signal_handler(signal.SIGUSR1, tell)
    try:
        await engine.start()
        await stopped.wait()
        await engine.stop()
    finally:
        tell()
        await engine.close()


if __name__ == "__main__":
    asyncio.run(_work())
