"""Work that one process commits is looked at by the others at once."""

import asyncio

from onsettle.engine.hints import Listener, Teller
from onsettle.store.database import Database
from onsettle.store.migrate import migrate
from tests.harness.stack import eventually


async def test_another_process_is_woken_when_work_is_committed(dsn: str) -> None:
    """A hint crosses from one pool of connections to another, also after the listener's
    connection was cut."""
    await migrate(dsn)
    async with await Database.connect(dsn) as here, await Database.connect(dsn) as there:
        woken = asyncio.Event()
        listener, teller = Listener(there, woken.set), Teller(here)
        listener.start()
        await asyncio.wait_for(woken.wait(), 10)
        woken.clear()
        teller.tell()
        await asyncio.wait_for(woken.wait(), 10)
        woken.clear()
        await here.pool.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where query ilike 'listen%' and datname = current_database()"
        )

        async def heard() -> bool:
            teller.tell()
            return woken.is_set()

        await eventually(heard)
        await teller.close()
        await listener.stop()
