"""Payers of the local chain: keys that sign authorizations, and money for them."""

import secrets
from collections.abc import Sequence

from coincurve import PrivateKey

from onsettle.chain import abi
from onsettle.chain.codec import selector
from onsettle.chain.crypto import address_of, authorization_digest, keccak
from onsettle.chain.rpc import Pool
from onsettle.domain.authorization import Authorization
from onsettle.domain.network import MULTICALL3, TokenDomain

_CANCEL = selector("cancelAuthorization(address,bytes32,bytes)")
_CANCEL_TYPEHASH = keccak(b"CancelAuthorization(address authorizer,bytes32 nonce)")


class Payer:
    """A key that pays."""

    def __init__(self, key: str | None = None) -> None:
        self._key = PrivateKey(bytes.fromhex(key[2:]) if key else secrets.token_bytes(32))
        self.address = address_of(self._key.public_key)

    def authorize(
        self,
        domain: TokenDomain,
        pay_to: str,
        value: int,
        *,
        valid_after: int = 0,
        valid_before: int,
        nonce: str | None = None,
    ) -> dict[str, str]:
        """A signed authorization in the API's form; the window in epoch seconds."""
        auth = Authorization(
            payer=self.address,
            pay_to=pay_to.lower(),
            value=value,
            valid_after=valid_after,
            valid_before=valid_before,
            nonce=nonce or "0x" + secrets.token_hex(32),
            signature=b"",
        )
        signature = self.sign(authorization_digest(domain.separator, auth))
        return {
            "from": auth.payer,
            "to": auth.pay_to,
            "value": str(value),
            "validAfter": str(valid_after),
            "validBefore": str(valid_before),
            "nonce": auth.nonce,
            "signature": "0x" + signature.hex(),
        }

    def cancel(self, domain: TokenDomain, nonce: str) -> bytes:
        """The call, for anybody to send, that takes the authorization with this nonce back."""
        who = bytes.fromhex(self.address[2:]).rjust(32, b"\0")
        which = bytes.fromhex(nonce[2:])
        digest = keccak(b"\x19\x01" + domain.separator + keccak(_CANCEL_TYPEHASH + who + which))
        signature = self.sign(digest)
        offset, length = (each.to_bytes(32) for each in (96, len(signature)))
        return _CANCEL + who + which + offset + length + signature.ljust(96, b"\0")

    def sign(self, digest: bytes) -> bytes:
        """r || s || v, with v 27 or 28."""
        signed = self._key.sign_recoverable(digest, hasher=None)
        return signed[:64] + bytes([signed[64] + 27])


async def fund(rpc_url: str, asset: str, addresses: Sequence[str], amount: int) -> None:
    """Mint `amount` of the local payment token to each address, and wait until it is there."""
    async with Pool([rpc_url], probe_interval_s=0) as pool:
        faucet = "0x" + "fa" * 20
        await pool.call("anvil_impersonateAccount", faucet)
        await pool.call("anvil_setBalance", faucet, hex(10**21))
        mint = selector("mint(address,uint256)")
        for at in range(0, len(addresses), 200):
            calls = [
                (asset, False, mint + bytes.fromhex(a[2:]).rjust(32, b"\0") + amount.to_bytes(32))
                for a in addresses[at : at + 200]
            ]
            await pool.call(
                "eth_sendTransaction",
                {
                    "from": faucet,
                    "to": MULTICALL3,
                    "gas": hex(60_000_000),
                    "data": "0x" + abi.aggregate3(calls).hex(),
                },
            )
        await pool.call("anvil_mine", "0x1")


__all__ = ["Payer", "fund"]
