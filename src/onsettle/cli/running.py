"""The event loop of long-running commands: uvloop where there is one, for it spends less."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any


def run(work: Coroutine[Any, Any, None]) -> None:
    if sys.platform == "win32":
        asyncio.run(work)
        return
    import uvloop

    uvloop.run(work)
