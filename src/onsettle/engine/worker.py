"""A worker: all loops of one process, and the fair sharing of wallets between workers."""

import asyncio
import os
import secrets
import socket
from collections import defaultdict
from collections.abc import Mapping, Sequence

import structlog

from onsettle.engine.adoption import Adoption
from onsettle.engine.confirmer import Confirmer
from onsettle.engine.hints import Listener
from onsettle.engine.janitor import Janitor
from onsettle.engine.loop import Loop
from onsettle.engine.minter import MintFeed
from onsettle.engine.network import Network
from onsettle.engine.sender import PaymentFeed, Share
from onsettle.engine.settings import SettingsReader
from onsettle.engine.wallet import WalletLoop
from onsettle.store.database import Database

log = structlog.get_logger()


class Worker(Loop):
    """Starts the loops of every network, says that it is alive, takes its share of wallets."""

    def __init__(
        self,
        db: Database,
        networks: Mapping[int, Network],
        settings: SettingsReader,
        more: Sequence[Loop] = (),
        *,
        assets: Sequence[str] = (),
    ) -> None:
        """`more` are loops that are started and stopped with this one.

        `assets` are those of all networks that are configured, open or not.
        """
        super().__init__("worker")
        self._more = more
        self._assets = assets
        self.id = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._db = db
        self._networks = networks
        self._settings = settings
        self._started: set[int] = set()
        self._loops: list[Loop] = []
        self._wallets: list[WalletLoop] = []
        self._feeds: dict[int, PaymentFeed] = {}

    def hint(self) -> None:
        """New work was committed: look at once."""
        for wallet in self._wallets:
            wallet.wake.set()

    async def tick(self) -> float:
        if not self._loops:
            self._loops = [
                Janitor(self._db),
                Listener(self._db, self.hint),
                Adoption(self._db, self._networks, self._settings, self._assets, self.hint),
                *self._more,
            ]
            for loop in self._loops:
                loop.start()
        for chain_id in set(self._networks) - self._started:
            self._open(self._networks[chain_id])
        # In every process, whatever else it does: the limit on its own endpoints is among them.
        await self._settings.get()
        await self._db.execute(
            "worker_seen",
            self.id,
            list(self._started),
            [wallet.address for wallet in self._wallets],
        )
        await self._share()
        return 1.0

    def _open(self, network: Network) -> None:
        payments, mints = PaymentFeed(self._db, network), MintFeed(self._db, network)
        self._feeds[network.chain_id] = payments
        wallets = [
            WalletLoop(self._db, network, signer, payments, self._settings, self.id)
            for signer in network.payment_signers.values()
        ] + [
            WalletLoop(self._db, network, signer, mints, self._settings, self.id)
            for signer in network.mint_signers.values()
        ]
        for wallet in wallets:
            wallet.wanted = False
        confirmer = Confirmer(self._db, network, self._settings, self.id)
        confirmer.wakes(wallets)
        for wallet in wallets:
            wallet.tells([confirmer])
        self._wallets += wallets
        self._loops += [confirmer, *wallets]
        self._started.add(network.chain_id)
        for loop in (confirmer, *wallets):
            loop.start()

    async def _share(self) -> None:
        """Each live worker wants every k-th of the wallets that it has a key for."""
        live = await self._db.fetch("workers_live")
        acting: dict[int, set[str]] = defaultdict(set)
        for wallet in self._wallets:
            able = sorted(row["id"] for row in live if wallet.address in row["addresses"])
            peers = sorted(
                w.address
                for w in self._wallets
                if w.kind == wallet.kind and w.chain_id == wallet.chain_id
            )
            if self.id not in able:
                continue
            holder = able[peers.index(wallet.address) % len(able)]
            if wallet.kind == PaymentFeed.kind:
                acting[wallet.chain_id].add(holder)
            if (holder == self.id) != wallet.wanted:
                wallet.wanted = holder == self.id
                wallet.wake.set()
        for chain_id, holders in acting.items():
            if self.id in holders:
                place = sorted(holders).index(self.id)
                self._feeds[chain_id].share = Share(index=place, workers=len(holders))

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Everything at once, so that one node that does not answer costs its time only once."""
        await super().stop(2.0)
        await asyncio.gather(*(loop.stop(timeout_s) for loop in self._loops))

    async def leave(self) -> None:
        await self._db.execute("worker_gone", self.id)
