"""An emulation of the server that the upgrade guide describes; no code of it is known or used.

After its upgrade: every 4 s it takes the 50 oldest payments without regard to how many wait, sends
them at once and marks each one; every 2 s it asks for the receipts of up to 20 sent payments and
marks each one. One statement for each row. In the guide's favour, mints are left out, and its loops
begin when the first full batch waits and run while the rest is being accepted: none of them spends
its first interval on an empty queue.

Reads one JSON job from standard input, prints one JSON answer.
"""

import asyncio
import json
import sys
import time
from typing import Any

import asyncpg

from onsettle.chain import abi
from onsettle.chain.rpc import Pool
from onsettle.chain.signer import LocalSigner, UnsignedTransaction
from onsettle.domain.authorization import Authorization

BATCH_SIZE = 50
BATCH_INTERVAL_S = 4.0
CONFIRMATIONS_AT_ONCE = 20
CONFIRMATION_INTERVAL_S = 2.0

_TABLE = """
create table payment_queue (
    id uuid primary key default gen_random_uuid(), "authorization" jsonb not null,
    status text not null default 'pending', tx_hash text,
    created_at timestamptz not null default now(), processed_at timestamptz,
    completed_at timestamptz);
create index on payment_queue (status, processed_at) where status = 'sent';
"""


class Guide:
    def __init__(self, job: dict[str, Any], db: asyncpg.Pool, rpc: Pool) -> None:
        self._job = job
        self._db = db
        self._rpc = rpc
        self._signer = LocalSigner.from_key(job["key"])
        self._nonce = 0

    async def accept(self, payments: list[dict[str, str]]) -> None:
        for each in payments:
            await self._db.execute(
                'insert into payment_queue ("authorization") values ($1)', json.dumps(each)
            )

    async def send(self) -> None:
        while True:
            rows = await self._db.fetch(
                "select * from payment_queue where status = 'pending' order by created_at limit $1",
                BATCH_SIZE,
            )
            await asyncio.gather(*(self._send_one(row) for row in rows))
            await asyncio.sleep(BATCH_INTERVAL_S)

    async def _send_one(self, row: asyncpg.Record) -> None:
        nonce, self._nonce = self._nonce, self._nonce + 1
        update = "update payment_queue set status = 'processing' where id = $1"
        await self._db.execute(update, row["id"])
        tx = UnsignedTransaction(
            chain_id=self._job["chain_id"],
            nonce=nonce,
            to=self._job["asset"],
            data=abi.transfer_with_authorization(_authorization(json.loads(row["authorization"]))),
            gas_limit=150_000,
            max_fee=10**11,
            priority_fee=10**7,
        )
        signed = self._signer.sign(tx)
        await self._rpc.call("eth_sendRawTransaction", "0x" + signed.raw.hex())
        await self._db.execute(
            "update payment_queue set status = 'sent', tx_hash = $2, processed_at = now()"
            " where id = $1",
            row["id"],
            signed.hash,
        )

    async def confirm(self) -> None:
        while True:
            rows = await self._db.fetch(
                "select id, tx_hash from payment_queue where status = 'sent'"
                " order by processed_at limit $1",
                CONFIRMATIONS_AT_ONCE,
            )
            await asyncio.gather(*(self._confirm_one(row) for row in rows))
            await asyncio.sleep(CONFIRMATION_INTERVAL_S)

    async def _confirm_one(self, row: asyncpg.Record) -> None:
        receipt = await self._rpc.call("eth_getTransactionReceipt", row["tx_hash"])
        if isinstance(receipt, dict) and receipt["status"] == "0x1":
            await self._db.execute(
                "update payment_queue set status = 'completed', completed_at = now() where id = $1",
                row["id"],
            )

    async def settle(self) -> float:
        """Seconds from the first acceptance to the last completion."""
        payments = self._job["payments"]
        await self.accept(payments[:BATCH_SIZE])
        loops = [asyncio.create_task(self.send()), asyncio.create_task(self.confirm())]
        rest = asyncio.create_task(self._accept_rest(payments[BATCH_SIZE:]))
        await asyncio.wait([*loops, rest], return_when=asyncio.FIRST_COMPLETED)
        for loop in loops:
            loop.cancel()
        return await rest if rest.done() else loops[0].result() or loops[1].result()

    async def _accept_rest(self, payments: list[dict[str, str]]) -> float:
        await self.accept(payments)
        while True:
            row = await self._db.fetchrow(
                "select count(*) filter (where status <> 'completed') as open,"
                " extract(epoch from max(completed_at) - min(created_at)) as seconds"
                " from payment_queue"
            )
            if row is not None and row["open"] == 0:
                return float(row["seconds"])
            await asyncio.sleep(0.2)


def _authorization(raw: dict[str, str]) -> Authorization:
    return Authorization(
        payer=raw["from"],
        pay_to=raw["to"],
        value=int(raw["value"]),
        valid_after=int(raw["validAfter"]),
        valid_before=int(raw["validBefore"]),
        nonce=raw["nonce"],
        signature=bytes.fromhex(raw["signature"][2:]),
    )


async def main() -> None:
    job = json.load(sys.stdin)
    async with (
        asyncpg.create_pool(job["dsn"], max_size=10) as db,
        Pool([job["rpc_url"]], probe_interval_s=0) as rpc,
    ):
        await db.execute(_TABLE)
        seconds = await Guide(job, db, rpc).settle()
    answer = {
        "settled": len(job["payments"]),
        "failures": {},
        "seconds": seconds,
        "cpu_seconds": time.process_time(),
        "settings": {
            "batch_size": BATCH_SIZE,
            "batch_interval_s": BATCH_INTERVAL_S,
            "confirmations_at_once": CONFIRMATIONS_AT_ONCE,
            "confirmation_interval_s": CONFIRMATION_INTERVAL_S,
        },
    }
    print(json.dumps(answer))


asyncio.run(main())
