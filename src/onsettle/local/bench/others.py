"""Programs that are not ours, under the same load: the guide's emulation and the x402 peers.

They are scripts of the checkout's `bench/` folder: a JSON job on standard input, a JSON answer.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onsettle.chain.token import read_domain
from onsettle.local.bench.conditions import conditions
from onsettle.local.bench.ground import Ground
from onsettle.local.bench.load import sign

AT_ONCE = 50
_PATIENCE_S = 600.0


class NotInstalled(Exception):
    """A program that the comparison needs is not here; the text says what to do."""


class OtherFailed(Exception):
    """A script ended with an error; the text is the end of what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """One program to compare with; `script` is in the checkout's `bench/` folder."""

    name: str
    about: str
    script: str

    def command(self) -> list[str]:
        """How to start it; raises NotInstalled."""
        folder = _folder()
        if self.script.endswith(".mjs"):
            node = shutil.which("node", path=_path()) or _missing("Node")
            if not (folder / "node_modules").is_dir():
                _missing("bench/node_modules")
            return [node, str(folder / self.script)]
        if self.script == "guide.py":
            return [sys.executable, str(folder / self.script)]
        python = folder / ".venv" / "bin" / "python"
        if not python.exists():
            _missing("bench/.venv")
        return [str(python), str(folder / self.script)]


GUIDE = Other(
    name="guide",
    about="an emulation of the guide's server: 50 every 4 s, 20 receipts every 2 s",
    script="guide.py",
)
PEERS = (
    Other(name="x402_python", about="official facilitator, Python", script="peers/facilitator.py"),
    Other(
        name="x402_typescript",
        about="official facilitator, TypeScript, with viem's nonce manager",
        script="peers/facilitator.mjs",
    ),
)


async def compare(
    ground: Ground, other: Other, *, payments: int, block_time: int
) -> dict[str, Any]:
    """Let it settle as many payments, from one wallet; raises NotInstalled and OtherFailed."""
    command = other.command()
    site = await ground.site(wallets=1, payers=50, name=other.name, block_time=block_time)
    endpoint = ground.rpc.best()
    chain_id = int(str(await endpoint.call("eth_chainId")), 16)
    asset = ground.chain.tokens.asset
    domain = await read_domain(endpoint, chain_id, asset)
    bodies = sign(site.payers, domain, payments, mint_token=None)
    job = {
        "dsn": site.dsn,
        "rpc_url": ground.chain.rpc_url,
        "chain_id": chain_id,
        "key": site.keys[0],
        "asset": asset,
        "name": domain.name,
        "version": domain.version,
        "at_once": AT_ONCE,
        "payments": [body["authorization"] for body in bodies],
    }
    told = await _run(command, job)
    settings = told.get("settings", {"at_once": AT_ONCE})
    return {
        "about": other.about,
        **await conditions(ground, site, payments=payments, settings=settings),
        "completed": told["settled"],
        "failures": told["failures"],
        "seconds": round(told["seconds"], 2),
        "payments_per_second": round(told["settled"] / told["seconds"], 2),
        "cpu_seconds": {"engine": round(told["cpu_seconds"], 2)},
    }


async def _run(command: Sequence[str], job: object) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        work = process.communicate(json.dumps(job).encode())
        answer, errors = await asyncio.wait_for(work, _PATIENCE_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise OtherFailed(f"{command[-1]}: {errors.decode(errors='replace')[-1000:]}")
    told: dict[str, Any] = json.loads(answer)
    return told


def _folder() -> Path:
    for parent in Path(__file__).resolve().parents:
        if (parent / "bench" / GUIDE.script).is_file():
            return parent / "bench"
    raise NotInstalled("the comparisons need a checkout of the project")


def _path() -> str:
    """Where Node may be: on the PATH, or in this environment's own folder."""

    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def _missing(what: str) -> str:
    raise NotInstalled(f"{what} is missing: `make bench` sets the peers up")
