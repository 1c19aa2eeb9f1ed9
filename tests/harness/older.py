"""The older server, as far as its database and the chain can see it."""

import json
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from onsettle.chain import abi
from onsettle.chain.signer import LocalSigner
from onsettle.chain.token import read_domain
from onsettle.domain.authorization import Authorization
from onsettle.domain.network import MULTICALL3, TokenDomain
from onsettle.local.payers import Payer
from tests.harness.rows import Connection
from tests.harness.stack import PAYEE, PRICE, Stack

#: What sends its transactions: an account that is none of ours.
SENDER = "0x" + "5e" * 20

_FOLDER = Path(__file__).parent / "older_tables"


def _tables() -> str:
    return (_FOLDER / "schema.sql").read_text("utf-8")


async def make_older_tables(dsn: str) -> None:
    """The tables that the older server makes, without rows."""
    hand = await asyncpg.connect(dsn)
    try:
        await hand.execute(_tables())
    finally:
        await hand.close()


class OlderServer:
    """It writes with its own statements: text for everything, and no column that it doesn't know.

    Addresses are written as `spelled` makes them; its databases hold them in mixed case.
    """

    def __init__(self, stack: Stack, hand: Connection, domain: TokenDomain) -> None:
        self._stack = stack
        self.hand = hand
        self.domain = domain

    @classmethod
    @asynccontextmanager
    async def on(cls, stack: Stack) -> "AsyncIterator[OlderServer]":
        """On whatever tables are there."""
        hand = await asyncpg.connect(stack.dsn)
        endpoint = stack.rpc.best()
        chain_id = int(str(await stack.rpc.call("eth_chainId")), 16)
        domain = await read_domain(endpoint, chain_id, stack.asset)
        yield cls(stack, hand, domain)
        await hand.close()

    async def make_tables(self) -> None:
        await self.hand.execute(_tables())

    async def fill(self, rows: int) -> None:
        """This many completed payments of a past that no chain remembers."""
        text = (_FOLDER / "finished.sql").read_text("utf-8")
        values = {"$ROWS": rows, "$MINT_TOKEN": self._stack.mint_token, "$ASSET": self._stack.asset}
        for name, value in values.items():
            text = text.replace(name, str(value))
        await self.hand.execute(text)

    def authorization(self, payer: Payer, **more: Any) -> dict[str, str]:
        return payer.authorize(
            self.domain, more.pop("pay_to", PAYEE), more.pop("value", PRICE),
            valid_before=more.pop("valid_before", int(time.time()) + 3600), **more,
        )  # fmt: skip

    async def insert(
        self,
        authorization: Mapping[str, Any],
        *,
        quantity: int = 1,
        payment_type: str = "mint",
        amount: str | None = None,
        asset: str | None = None,
    ) -> uuid.UUID:
        """Its INSERT: what it takes from its client is pending."""
        # The amount goes as a literal, as its driver sends it: it fits text and numbers alike.
        text = amount or str(authorization["value"])
        identity: uuid.UUID = await self.hand.fetchval(
            'insert into payment_queue (payment_type, token_address, "authorization", payer,'
            " amount, payment_token_address, metadata, status)"
            f" values ($1, $2, $3::text::jsonb, $4, '{text}', $5, $6::text::jsonb, 'pending')"
            " returning id",
            payment_type,
            spelled(self._stack.mint_token) if payment_type == "mint" else None,
            json.dumps(dict(authorization)),
            spelled(str(authorization["from"])),
            spelled(asset or self._stack.asset),
            json.dumps({"quantity": quantity, "mode": "x402"}),
        )
        return identity

    async def claim(self, payment: uuid.UUID) -> None:
        await self._status(payment, "processing", "processed_at = now()")

    async def completed(self, payment: uuid.UUID, tx_hash: str) -> None:
        await self._status(payment, "completed", f"tx_hash = '{tx_hash}', processed_at = now()")

    async def failed(self, payment: uuid.UUID, error: str, tx_hash: str | None = None) -> None:
        also = f"error = '{error}', processed_at = now()"
        await self._status(
            payment, "failed", also + (f", tx_hash = '{tx_hash}'" if tx_hash else "")
        )

    async def _status(self, payment: uuid.UUID, status: str, also: str) -> None:
        tag = await self.hand.execute(
            f"update payment_queue set status = '{status}', {also} where id = $1", payment
        )
        assert tag == "UPDATE 1"

    async def settle(self, *authorizations: Mapping[str, Any]) -> str:
        """Its transaction, mined, with one or more of them: the hash."""
        calls = [
            abi.transfer_with_authorization(
                Authorization(
                    payer=each["from"].lower(),
                    pay_to=each["to"].lower(),
                    value=int(each["value"]),
                    valid_after=int(each["validAfter"]),
                    valid_before=int(each["validBefore"]),
                    nonce=each["nonce"].lower(),
                    signature=bytes.fromhex(each["signature"][2:]),
                )
            )
            for each in authorizations
        ]
        asset = self._stack.asset
        if len(calls) == 1:
            return await self._stack.send_as(SENDER, asset, calls[0])
        pack = abi.aggregate3([(asset, False, call) for call in calls])
        return await self._stack.send_as(SENDER, MULTICALL3, pack)

    async def queue_mint(
        self, payer: str, payment_tx: str, status: str = "pending", *, mint_tx: str | None = None
    ) -> str:
        """Its INSERT into mint_queue: the key, which can't be derived from the payment."""
        key = "0x" + secrets.token_hex(32)
        await self.hand.execute(
            "insert into mint_queue (id, payer_address, tx_hash_bytes32, payment_tx_hash,"
            " mint_tx_hash, token_address, status) values (gen_random_uuid(), $1, $2, $3, $4,"
            " $5, $6)",
            spelled(payer), key, payment_tx, mint_tx, spelled(self._stack.mint_token), status,
        )  # fmt: skip
        return key

    async def mint(self, payer: str, key: str) -> str:
        """Its mint, mined: the hash."""
        minter = LocalSigner.from_key(self._stack.chain.mint_keys[0]).address
        return await self._stack.send_as(minter, self._stack.mint_token, abi.mint(payer, key))

    async def remember_mint(self, payer: str, payment_tx: str, key: str, mint_tx: str) -> None:
        """Its archive."""
        await self.hand.execute(
            "insert into mint_history (id, payer_address, tx_hash_bytes32, mint_tx_hash,"
            " payment_tx_hash, token_address, amount) values (gen_random_uuid(), $1, $2, $3, $4,"
            " $5, '1')",
            spelled(payer), key, mint_tx, payment_tx, spelled(self._stack.mint_token),
        )  # fmt: skip


def spelled(address: str) -> str:
    """In a case that is neither all lower nor a checksum."""
    return "0x" + "".join(c.upper() if at % 2 else c for at, c in enumerate(address[2:].lower()))


def split(authorization: Mapping[str, str]) -> dict[str, str]:
    """With v, r and s instead of one signature."""
    signature = authorization["signature"][2:]
    parts = {k: v for k, v in authorization.items() if k != "signature"}
    return parts | {
        "r": "0x" + signature[:64],
        "s": "0x" + signature[64:128],
        "v": str(int(signature[128:], 16)),
    }
