"""Alarms: what an operator must know. Each is a row until it is cleared, and a line of the log."""

import structlog

from onsettle.store.database import Connection, Database, sql

log = structlog.get_logger()


async def raise_alarm(db: Database, kind: str, subject: str, message: str) -> None:
    """Raise it, or say that it still holds; the log has it when it is new."""
    tell(await db.fetchval("alarm_raise", kind, subject, message), kind, subject, message)


async def raise_alarm_in(connection: Connection, kind: str, subject: str, message: str) -> None:
    """The same within a transaction."""
    new = await connection.fetchval(sql("alarm_raise"), kind, subject, message)
    tell(new, kind, subject, message)


def tell(new: bool, kind: str, subject: str, message: str) -> None:
    if new:
        log.error("alarm", kind=kind, subject=subject, detail=message)
