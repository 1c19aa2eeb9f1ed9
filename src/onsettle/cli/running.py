"""How long-running commands run: on uvloop where there is one, and with memory given back."""

import asyncio
import contextlib
import ctypes
import sys
from collections.abc import Coroutine
from typing import Any

# Of malloc.h: blocks from so many bytes on are mapped alone, and unmapped when they are freed.
_M_MMAP_THRESHOLD = -3
_MAPPED_ALONE = 256 * 1024


def run(work: Coroutine[Any, Any, None]) -> None:
    if sys.platform == "win32":
        asyncio.run(work)
        return
    import uvloop

    _give_memory_back()

    uvloop.run(work)


def _give_memory_back() -> None:
    """Keep glibc from holding on to the answers about full blocks.

    Each takes some ten megabytes for a moment. Unless told a threshold, glibc raises its own to
    what was freed last, and then cuts small blocks out of what such an answer leaves behind.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _MAPPED_ALONE)
