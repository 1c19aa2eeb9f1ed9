"""Under which settings and load a figure was found: read from what ran, not from what was meant."""

from collections.abc import Mapping
from typing import Any

import asyncpg

from onsettle.domain.settings import DEFAULTS, SPECS, read, render
from onsettle.local.bench.ground import Ground, Site

#: What throughput and latency depend on; the others are told where they are not the default.
MATTER = (
    "payment_batch_size",
    "payment_batch_interval_ms",
    "payment_pack_size",
    "payment_mode",
    "payment_confirmations",
    "wallet_max_in_flight",
    "mint_batch_size",
    "mint_batch_interval_ms",
)


async def in_force(dsn: str) -> dict[str, Any]:
    """The runtime settings that an engine on this database goes by."""
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        rows = await connection.fetch("select key, value from system_settings")
    finally:
        await connection.close()
    settings, _ = read({row["key"]: row["value"] for row in rows}, DEFAULTS)
    values = {name: getattr(settings, name) for name in SPECS}
    return {
        name: value if isinstance(value, int | str) else render(value)
        for name, value in values.items()
        if name in MATTER or value != getattr(DEFAULTS, name)
    }


async def conditions(
    ground: Ground,
    site: Site,
    *,
    payments: int | None,
    settings: Mapping[str, Any],
    workers: int = 1,
    wallets: int | None = None,
) -> dict[str, Any]:
    """The load, the wallets and the chain of one part; `wallets` None: all of the site's."""
    return {
        "payments": payments,
        "settings": dict(settings),
        "wallets": len(site.keys) if wallets is None else wallets,
        "workers": workers,
        "payers": len(site.payers),
        "block_time_s": site.block_time,
        "block_gas_limit": await ground.block_gas_limit(),
    }


def told(found: Mapping[str, Any]) -> str:
    """The same in a few words."""
    blocks = found["block_time_s"]
    parts = [
        *(
            f"{found[word]:,} {word if found[word] != 1 else word.removesuffix('s')}"
            for word in ("payments", "wallets", "workers", "payers")
            if found[word] is not None
        ),
        f"a block every {blocks} s" if blocks else "a block for each transaction",
        f"block gas limit {found['block_gas_limit']:,}",
        *(f"{name}={value}" for name, value in found["settings"].items()),
    ]
    return ", ".join(parts)
