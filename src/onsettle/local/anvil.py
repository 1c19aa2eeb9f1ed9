"""anvil under a supervisor: its state is kept on disk, and it comes back when it dies.

anvil's own way of keeping its state may be cut off in the middle of the file. So it is asked for
its state, and the file is replaced as a whole.
"""

import asyncio
import contextlib
import fcntl
import gzip
import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import IO

import structlog

from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.chain.rpc import Pool
from onsettle.local.binaries import find_anvil
from onsettle.local.processes import runs

log = structlog.get_logger()

_START_S = 30.0
_STOP_S = 10.0
_DUMP_S = 60.0
#: Of its time, the node spends at most a twentieth on telling its state.
_SHARE = 20


class ChainFailed(RuntimeError):
    """The local chain can't be used; the text says why."""


class Anvil:
    """One anvil on loopback. `block_time` 0 mines every transaction at once."""

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int,
        block_time: float,
        chain_id: int,
        gas_limit: int,
        save_every_s: float | None,
    ) -> None:
        """`save_every_s` None keeps no state; otherwise it is also kept when the chain stops."""
        self.rpc_url = f"http://127.0.0.1:{port}"
        self.rpc = Pool([self.rpc_url], probe_interval_s=0)
        self._data_dir = data_dir
        self._port = port
        self._save_every_s = save_every_s
        self._arguments = [
            "--host", "127.0.0.1", "--port", str(port), "--silent",
            "--chain-id", str(chain_id), "--gas-limit", str(gas_limit),
            "--cache-path", str(data_dir / "chain-cache"),
        ]  # fmt: skip
        if block_time:
            self._arguments += ["--block-time", str(block_time), "--slots-in-an-epoch", "32"]
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._lock: IO[str] | None = None
        self._saved_height: object = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ChainFailed("the local chain is not running")
        return self._process.pid

    async def start(self) -> None:
        """Raises ChainFailed or MissingProgramError."""
        self._stopping.clear()
        self._lock = _own(self._data_dir)
        await self.rpc.start()
        await self._take_over()
        await self._launch()

    def keep(self) -> None:
        """From now on keep the state, and the chain running."""
        self._keeper = asyncio.create_task(self._keep(), name="onsettle-chain")

    async def stop(self) -> None:
        self._stopping.set()
        if self._keeper is not None:
            await self._keeper
            self._keeper = None
        if self._process is not None and self._process.returncode is None:
            if self._save_every_s is not None:
                await self._save_the_last()
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_S)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._process = None
        await self.rpc.close()
        if self._lock is not None:
            (self._data_dir / "chain.pid").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    async def save(self) -> None:
        """Keep the state as it is now. Raises RpcUnavailable or RpcError."""
        height = await self.rpc.call("eth_blockNumber")
        state = await self.rpc.call("anvil_dumpState", timeout_s=_DUMP_S)
        await asyncio.to_thread(_replace, self._data_dir / "chain.json", str(state))
        self._saved_height = height

    async def _save_the_last(self) -> None:
        """Keep the state while no block is made any more; what is not mined is sent again."""
        try:
            await self.rpc.call("evm_setAutomine", False)
            await self.rpc.call("evm_setIntervalMining", 0)
            await self.save()
        except (RpcError, RpcUnavailable) as error:
            log.warning("chain_state_not_kept", problem=str(error))

    async def _launch(self) -> None:
        self._check_port()
        state = self._data_dir / "chain.json"
        known = ["--load-state", str(state)] if state.exists() else []
        with (self._data_dir / "chain.log").open("w") as said:
            self._process = await asyncio.create_subprocess_exec(
                str(find_anvil()),
                *self._arguments,
                *known,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        (self._data_dir / "chain.pid").write_text(json.dumps([self.pid, self._port]))
        deadline = time.monotonic() + _START_S
        while True:
            if self._process.returncode is not None:
                raise ChainFailed(self._why())
            with contextlib.suppress(RpcUnavailable, RpcError):
                await self.rpc.call("eth_chainId")
                return
            if time.monotonic() > deadline:
                raise ChainFailed(f"anvil did not answer within {_START_S:.0f} s")
            await asyncio.sleep(0.05)

    def _check_port(self) -> None:
        # Asked before, since whoever listens there might answer as if it were our chain.
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self._port))
            except OSError as error:
                raise ChainFailed(
                    f"Port {self._port} can't be used ({error.strerror}): choose one with --port"
                ) from None

    def _why(self) -> str:
        lines = (self._data_dir / "chain.log").read_text(errors="replace").strip().splitlines()
        return f"anvil ended at once: {lines[-1].strip() if lines else 'it said nothing'}"

    async def _take_over(self) -> None:
        """End the anvil that a killed process left behind, and keep where it stood."""
        try:
            pid, port = json.loads((self._data_dir / "chain.pid").read_text())
        except (OSError, ValueError):
            return
        if not self._is_ours(pid):
            return
        if self._save_every_s is not None:
            async with Pool([f"http://127.0.0.1:{port}"], probe_interval_s=0) as pool:
                with contextlib.suppress(RpcError, RpcUnavailable):
                    await pool.call("evm_setAutomine", False)
                    await pool.call("evm_setIntervalMining", 0)
                    state = await pool.call("anvil_dumpState", timeout_s=_DUMP_S)
                    _replace(self._data_dir / "chain.json", str(state))
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            for _ in range(int(_STOP_S / 0.05)):
                if not self._is_ours(pid):
                    return
                await asyncio.sleep(0.05)

    def _is_ours(self, pid: int) -> bool:
        return runs(pid, find_anvil().name, str(self._data_dir / "chain-cache"))

    async def _keep(self) -> None:
        pause = self._save_every_s or 3600.0
        while not await self._ended_or(pause):
            if self._process is not None and self._process.returncode is not None:
                await self._revive()
            elif self._save_every_s is not None:
                started = time.monotonic()
                try:
                    if await self.rpc.call("eth_blockNumber") != self._saved_height:
                        await self.save()
                except (RpcError, RpcUnavailable, OSError) as error:
                    log.warning("chain_state_not_kept", problem=str(error))
                pause = max(self._save_every_s, _SHARE * (time.monotonic() - started))

    async def _ended_or(self, pause_s: float) -> bool:
        """Wait until the chain dies or the pause is over; whether to stop."""
        assert self._process is not None, "not started"
        died = asyncio.create_task(self._process.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        first = asyncio.FIRST_COMPLETED
        await asyncio.wait({died, stopping}, timeout=pause_s, return_when=first)
        for task in (died, stopping):
            task.cancel()
        return self._stopping.is_set()

    async def _revive(self) -> None:
        log.warning("chain_ended", next="starting it again as it was when its state was last kept")
        try:
            await self._launch()
        except (ChainFailed, OSError) as error:
            log.error("chain_does_not_start", problem=str(error))
            await asyncio.sleep(1)


def _own(data_dir: Path) -> IO[str]:
    """One process at a time runs the chain of a data folder; the kernel frees a dead one's lock."""
    lock = (data_dir / "chain.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise ChainFailed(
            f"The chain of {data_dir} runs already: use the environment in"
            f" {data_dir / 'local.env'}, or set ONSETTLE_DATA_DIR to another folder"
        ) from None
    return lock


def _replace(path: Path, dumped: str) -> None:
    """`dumped` is as `anvil_dumpState` answers; `--load-state` reads what is packed in it."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(gzip.decompress(bytes.fromhex(dumped.removeprefix("0x"))))
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
