"""Evidence of a landed payment, and what follows it, in one commit."""

import uuid
from collections.abc import Sequence

from onsettle.domain.delivery import message_id
from onsettle.engine.adoption import link_mints
from onsettle.engine.named import Block
from onsettle.store.database import Connection, sql

COMPLETED = "payment.completed"


async def write_landed(
    connection: Connection,
    block: Block,
    landed: Sequence[tuple[uuid.UUID, str, int]],
    *,
    deep: bool,
) -> int:
    """Store the evidence of one block; complete and fulfil where it is deep enough."""
    if not landed:
        return 0
    ids, hashes, indexes = (list(column) for column in zip(*landed, strict=True))
    rows = await connection.fetch(
        sql("payments_landed"), ids, block.number, block.hash, deep, hashes, indexes
    )
    await connection.execute(sql("transactions_mined"), list(set(hashes)), block.number, block.hash)
    if not deep:
        return 0
    await fulfil(connection, [r["id"] for r in rows])
    return len(rows)


async def fulfil(connection: Connection, ids: Sequence[uuid.UUID]) -> None:
    """Fulfilment rows, in the commit that completes the payment."""
    if not ids:
        return
    await link_mints(connection, ids)
    await connection.execute(sql("payments_fulfil"), list(ids))
    if not await connection.fetchval(sql("channels_any")):
        return
    await connection.execute(
        sql("payments_outbox"),
        list(ids),
        [message_id(each, COMPLETED, "webhook") for each in ids],
        [message_id(each, COMPLETED, "handler") for each in ids],
    )
