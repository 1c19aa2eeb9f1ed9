"""Takes in a network's blocks where no worker does: a command may need what they hold."""

import asyncio
import os
import secrets
import socket
import time

from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.engine.confirmer import Confirmer
from onsettle.engine.network import Network
from onsettle.engine.settings import SettingsReader
from onsettle.store.database import UNAVAILABLE, Database, LostLease

# Longer than a lease, which a worker that was killed leaves behind.
_PATIENCE_S = 15.0
_PAUSE_S = 0.5


async def read_up(db: Database, network: Network, settings: SettingsReader, block: int) -> bool:
    """Follow the chain up to `block`, by the lease and the rules of a worker; nothing is sent.

    However far that is, as long as it gets on; False where it does not.
    """
    holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
    confirmer = Confirmer(db, network, settings, holder)
    reached, moved_at = await _cursor(db, network), time.monotonic()
    try:
        while reached < block and time.monotonic() - moved_at < _PATIENCE_S:
            try:
                pause = await confirmer.tick()
            except (RpcError, RpcUnavailable, LostLease, *UNAVAILABLE):
                pause = _PAUSE_S
            now = await _cursor(db, network)
            if now != reached:
                reached, moved_at = now, time.monotonic()
            elif reached < block:
                await asyncio.sleep(pause)
        return reached >= block
    finally:
        await confirmer.leave()


async def _cursor(db: Database, network: Network) -> int:
    row = await db.fetchrow("network_get", network.chain_id)
    return -1 if row is None or row["cursor_number"] is None else int(row["cursor_number"])
