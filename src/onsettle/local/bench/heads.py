"""When each block could be seen: the node's own announcements, heard in a thread of their own.

The thread keeps the times right while the load generator is busy with signatures.
"""

import asyncio
import contextlib
import json
import threading
import time

import aiohttp


class Heads:
    """`seen[number]` is when the node announced that block, epoch seconds."""

    def __init__(self, rpc_url: str) -> None:
        self._url = rpc_url.replace("http", "ws", 1)
        self.seen: dict[int, float] = {}
        self._listening = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Heads":
        self._thread.start()
        if not self._listening.wait(10):
            raise TimeoutError("the local chain announces no blocks")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(10)
        self._loop.close()

    def _run(self) -> None:
        self._task = self._loop.create_task(self._listen())
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)

    async def _listen(self) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(self._url) as socket:
            call = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
            await socket.send_str(json.dumps(call))
            async for message in socket:
                content = json.loads(message.data)
                if content.get("method") == "eth_subscription":
                    number = int(content["params"]["result"]["number"], 16)
                    self.seen.setdefault(number, time.time())
                else:
                    self._listening.set()
