"""Bytes on their way out. Commit before broadcast: no node sees what is not stored.

Everything here runs under the wallet's lease. Each commit checks its term with the wallet's row
locked, so that a holder that was stopped for too long writes nothing.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import structlog

from onsettle.chain.signer import Signer
from onsettle.chain.transaction import SignedTransaction, UnsignedTransaction, decode_transaction
from onsettle.domain.fees import Fees
from onsettle.engine.lease import Lease
from onsettle.engine.network import Network
from onsettle.engine.unit import Feed, Unit, View
from onsettle.store.database import Connection, Database, LostLease, Record, changed, sql

log = structlog.get_logger()

NOOP_GAS = 21_000


class Outgoing:
    """Signs, stores and broadcasts for one wallet."""

    def __init__(
        self,
        db: Database,
        network: Network,
        signer: Signer,
        feed: Feed,
        lease: Lease,
        worker: str,
    ) -> None:
        self._db = db
        self._network = network
        self._signer = signer
        self._feed = feed
        self._lease = lease
        self._worker = worker
        self._key = (network.chain_id, signer.address)

    async def sign(self, units: Sequence[Unit], fees: Fees, view: View) -> list[SignedTransaction]:
        """In one commit: re-check, take nonces, sign, store. Nothing is broadcast in here."""
        async with self._fenced("sign") as (connection, wallet):
            if wallet["paused"]:
                return []
            free = await self._feed.lock(connection, units)
            ready = [unit for unit in units if free.issuperset(unit.items)]
            if not ready:
                return []
            first = max(wallet["next_nonce"] or 0, view.latest)
            signed = [
                self._sign(unit, first + at, fees, legacy=view.base_fee is None)
                for at, unit in enumerate(ready)
            ]
            nonces = list(range(first, first + len(ready)))
            ids = await self._store(connection, ready, signed, nonces, fees)
            items = [
                (item, id_, transaction.hash)
                for unit, transaction, id_ in zip(ready, signed, ids, strict=True)
                for item in unit.items
            ]
            if await self._feed.signed(connection, items) != len(items):
                raise LostLease(f"{self._signer.address}: rows moved while they were locked")
            tag = await connection.execute(
                sql("wallet_took"), *self._key, self._lease.term, first + len(ready)
            )
            if changed(tag) != 1:
                raise LostLease(self._signer.address)
        return signed

    async def replace(self, row: Record, fees: Fees, *, noop: bool) -> None:
        """A new attempt on the nonce of `row`, committed and then broadcast."""
        old = decode_transaction(bytes(row["raw"]))
        gas = NOOP_GAS if noop else old.gas_limit
        signed = self._signer.sign(
            UnsignedTransaction(
                chain_id=old.chain_id,
                nonce=old.nonce,
                to=self._signer.address if noop else old.to,
                value=0,
                data=b"" if noop else old.data,
                gas_limit=gas,
                max_fee=fees.max_fee,
                priority_fee=fees.priority,
                legacy=old.legacy,
            )
        )
        async with self._fenced("replace") as (connection, _):
            await self._insert(connection, [signed], [row["id"]], [noop], [gas], fees)
            if not noop:
                for query, ids in (
                    ("payments_rehashed", row["payment_ids"]),
                    ("mints_rehashed", row["mint_ids"]),
                ):
                    await connection.execute(sql(query), ids, row["id"], signed.hash)
        log.info(
            "replaced", wallet=self._signer.address, nonce=old.nonce, tx=signed.hash, noop=noop
        )
        await self.broadcast([(signed.raw, signed.hash)])

    async def fill(self, nonces: Sequence[int], fees: Fees, view: View) -> None:
        """No-ops for nonces that nothing of ours carries and the chain waits for."""
        noop = Unit(to=self._signer.address, data=b"", gas_limit=NOOP_GAS)
        units = [noop] * len(nonces)
        signed = [self._sign(noop, n, fees, legacy=view.base_fee is None) for n in nonces]
        async with self._fenced("fill") as (connection, _):
            await self._store(connection, units, signed, nonces, fees)
        log.warning("nonce_gap_closed", wallet=self._signer.address, nonces=list(nonces))
        await self.broadcast([(s.raw, s.hash) for s in signed])

    async def broadcast(
        self, attempts: Sequence[tuple[bytes, str]], *, again: bool = False
    ) -> None:
        """Offer stored bytes to a node, and write down what it said.

        `again`: they were offered before, so another node gets them too.
        """
        if not attempts:
            return
        hashes = [hash_ for _, hash_ in attempts]
        answers = await self._network.pool.broadcast([raw for raw, _ in attempts], again=again)
        sent = await self._db.fetch(
            "attempts_answered",
            hashes,
            [a.kind.value for a in answers],
            [a.text[:500].replace("\0", " ") for a in answers],
            [a.kind.has_bytes for a in answers],
        )
        tell = log.bind()  # once: thousands of lines that nobody may listen to
        for row in sent:
            tell.debug("payment_sent", payment=str(row["id"]), nonce=row["nonce"], tx=row["hash"])
        taken = 0
        for hash_, answer in zip(hashes, answers, strict=True):
            taken += answer.kind.has_bytes
            if not answer.kind.has_bytes:
                log.warning("broadcast", tx=hash_, answer=answer.kind.value, text=answer.text[:200])
        if taken:
            log.info(
                "batch_sent",
                wallet=self._signer.address,
                transactions=taken,
                of=len(hashes),
                payments=len(sent),
            )

    @asynccontextmanager
    async def _fenced(self, point: str) -> AsyncIterator[tuple[Connection, Record]]:
        """A transaction that commits only under this term, with the nonce sequence locked."""
        async with self._db.transaction(point) as connection:
            wallet = await connection.fetchrow(
                sql("wallet_lock"), *self._key, self._lease.term, self._worker
            )
            if wallet is None or not self._lease.held:
                raise LostLease(self._signer.address)
            yield connection, wallet

    def _sign(self, unit: Unit, nonce: int, fees: Fees, *, legacy: bool) -> SignedTransaction:
        return self._signer.sign(
            UnsignedTransaction(
                chain_id=self._network.chain_id,
                nonce=nonce,
                to=unit.to,
                value=0,
                data=unit.data,
                gas_limit=unit.gas_limit,
                max_fee=fees.max_fee,
                priority_fee=fees.priority,
                legacy=legacy,
            )
        )

    async def _store(
        self,
        connection: Connection,
        units: Sequence[Unit],
        signed: Sequence[SignedTransaction],
        nonces: Sequence[int],
        fees: Fees,
    ) -> list[int]:
        """The transactions and their first attempts; the ids, in order."""
        rows = await connection.fetch(
            sql("transactions_insert"),
            *self._key,
            list(nonces),
            [self._feed.kind if unit.items else "noop" for unit in units],
            [_joined(unit.payment_ids) for unit in units],
            [_joined(unit.mint_ids) for unit in units],
        )
        by_nonce = {row["nonce"]: row["id"] for row in rows}
        ids = [by_nonce[nonce] for nonce in nonces]
        noops = [not unit.items for unit in units]
        await self._insert(connection, signed, ids, noops, [u.gas_limit for u in units], fees)
        return ids

    async def _insert(
        self,
        connection: Connection,
        signed: Sequence[SignedTransaction],
        ids: Sequence[int],
        noops: Sequence[bool],
        gas: Sequence[int],
        fees: Fees,
    ) -> None:
        await connection.execute(
            sql("attempts_insert"),
            [s.hash for s in signed],
            list(ids),
            list(noops),
            [s.raw for s in signed],
            [fees.max_fee] * len(signed),
            [fees.priority] * len(signed),
            list(gas),
        )


def _joined(ids: Sequence[UUID]) -> str:
    return ",".join(map(str, ids))
