"""Whether the database that is measured keeps what it has committed when the power goes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import psutil

SETTINGS = ("fsync", "synchronous_commit", "full_page_writes")
_IN_MEMORY = ("tmpfs", "ramfs")


async def durability(dsn: str) -> dict[str, Any]:
    """What the server says of itself, and what its files are on. `dsn` is a superuser's."""
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        settings = {name: await connection.fetchval(f"show {name}") for name in SETTINGS}
        version = await connection.fetchval("show server_version")
        folder = Path(await connection.fetchval("show data_directory"))
    finally:
        await connection.close()
    kind = filesystem(folder)
    missing = lost(settings, kind)
    return {
        "version": version,
        "settings": settings,
        "filesystem": kind,
        "durable": not missing,
        "not_durable_because": missing,
    }


def lost(settings: Mapping[str, str], kind: str) -> list[str]:
    """Why commits would not be kept, in words; empty when they are."""
    why = [f"{name} is {settings[name]}" for name in SETTINGS if settings[name] == "off"]
    if kind in _IN_MEMORY:
        why.append(f"its data folder is on {kind}, which is memory: TMPDIR chooses another place")
    return why


def filesystem(folder: Path) -> str:
    """The type of the file system that holds this folder, as the system calls it."""
    found = {Path(each.mountpoint): each.fstype for each in psutil.disk_partitions(all=True)}
    folder = folder.resolve()
    return next((found[at] for at in (folder, *folder.parents) if at in found), "unknown")


def told(found: Mapping[str, Any]) -> str:
    """One line for people; it calls nothing durable that is not."""
    settings = ", ".join(f"{name} {value}" for name, value in found["settings"].items())
    line = f"PostgreSQL {found['version']} on {found['filesystem']}: {settings}"
    if found["durable"]:
        return f"{line}; what it has committed is kept"
    return f"{line}; NOT DURABLE, so no figure here is that of a durable database: " + "; ".join(
        found["not_durable_because"]
    )
