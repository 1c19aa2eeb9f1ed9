"""A Python program with a handler: it notes each payment, and ends when none is left to be told.

`python -m tests.crash.program <file>`, configured by its environment as every other process.
"""

import asyncio
import sys
from pathlib import Path

from onsettle import Onsettle, Payment
from onsettle.config import load
from onsettle.store.database import Database

_LEFT = "select count(*) from outbox where channel = 'handler' and status <> 'delivered'"


async def main(notes: Path) -> None:
    onsettle = Onsettle.from_env(settle=False)

    @onsettle.on_completed
    def note(payment: Payment) -> None:
        with notes.open("a") as file:
            file.write(f"{payment.id}\n")

    url = load().database_url
    assert url is not None
    async with onsettle, await Database.connect(url, size=1) as db:
        while await db.pool.fetchval(_LEFT):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
