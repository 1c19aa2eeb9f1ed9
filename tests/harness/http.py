"""The HTTP application on a real socket of this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from onsettle.cli.http import Server, bind

_PATIENCE_S = 30.0


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `app`, which listens on a port that the system chose."""
    listener = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = Server(app, lifespan="off", timeout_graceful_shutdown=2)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with httpx.AsyncClient(base_url=url, timeout=_PATIENCE_S) as client:
            yield client
    finally:
        server.should_exit = True
        await task
        listener.close()
