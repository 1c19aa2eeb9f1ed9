"""The loops of an engine in this process: which there are, and when they have looked."""

from onsettle.engine.loop import Loop
from onsettle.engine.wallet import WalletLoop
from onsettle.runtime import Engine
from tests.harness.stack import eventually


def wallet_of(engine: Engine, kind: str) -> WalletLoop:
    [wallet] = [wallet for wallet in engine.worker._wallets if wallet.kind == kind]
    return wallet


async def ticked(loop: Loop) -> None:
    """A whole tick of this loop has passed: it began and ended after the call."""

    async def began() -> bool:
        return not loop.wake.is_set()

    for _ in range(2):
        loop.wake.set()
        await eventually(began, every_s=0.005)
