"""The floor: the same payments, signed beforehand and pushed straight into the same node.

No database, no checks, nothing read back but the wallets' nonces and, when the clock has stopped,
what the payee got: what the node alone can do.
"""

import asyncio
import time
from typing import Any

from onsettle.chain import abi
from onsettle.chain.jsonrpc import Call
from onsettle.chain.signer import LocalSigner, UnsignedTransaction
from onsettle.chain.token import read_domain
from onsettle.domain.authorization import Authorization
from onsettle.domain.network import MULTICALL3
from onsettle.local.bench.conditions import conditions
from onsettle.local.bench.ground import PRICE, Ground, Site
from onsettle.local.bench.load import Body, sign

_WALLETS = 4
# Nodes refuse large bodies; one HTTP request carries at most so many hex digits.
_BODY = 1_000_000
_PATIENCE_S = 300.0
_SINGLE_GAS = 110_000


def _authorization(body: Body) -> Authorization:
    raw = body["authorization"]
    assert isinstance(raw, dict)
    return Authorization(
        payer=raw["from"],
        pay_to=raw["to"],
        value=int(raw["value"]),
        valid_after=int(raw["validAfter"]),
        valid_before=int(raw["validBefore"]),
        nonce=raw["nonce"],
        signature=bytes.fromhex(raw["signature"][2:]),
    )


class NotPaid(Exception):
    """Transactions were mined, but not every payment in them was made."""


async def floor(ground: Ground, *, payments: int, pack: int, block_time: int) -> dict[str, Any]:
    """Payments per second that the node mines when nothing else runs; raises NotPaid."""
    site = await ground.site(wallets=_WALLETS, payers=500, name="floor", block_time=block_time)
    raws = await _presigned(ground, site, payments, pack)
    before = await ground.paid()
    started = time.time()
    await asyncio.gather(*(_push(ground, share) for share in raws))
    await _mined(ground, site, [len(share) for share in raws])
    seconds = time.time() - started
    check(await ground.paid() - before, payments)
    return {
        **await conditions(ground, site, payments=payments, settings={}, workers=0),
        "pack_size": pack,
        "seconds": round(seconds, 2),
        "payments_per_second": round(payments / seconds, 1),
    }


def check(got: int, payments: int) -> None:
    """Raises NotPaid: a pack is mined whatever becomes of the calls in it."""
    if got != payments * PRICE:
        raise NotPaid(f"the payee got {got} for {payments} payments of {PRICE}")


async def _presigned(ground: Ground, site: Site, payments: int, pack: int) -> list[list[str]]:
    endpoint = ground.rpc.best()
    asset = ground.chain.tokens.asset
    chain_id = int(str(await endpoint.call("eth_chainId")), 16)
    domain = await read_domain(endpoint, chain_id, asset)
    calls = [
        abi.transfer_with_authorization(_authorization(body))
        for body in sign(site.payers, domain, payments, mint_token=None)
    ]
    signers = [LocalSigner.from_key(key) for key in site.keys]
    shares: list[list[str]] = [[] for _ in signers]
    for number, at in enumerate(range(0, len(calls), pack)):
        group = calls[at : at + pack]
        packed = pack > 1
        tx = UnsignedTransaction(
            chain_id=chain_id,
            nonce=number // _WALLETS,
            to=MULTICALL3 if packed else asset,
            data=abi.aggregate3([(asset, True, data) for data in group]) if packed else group[0],
            gas_limit=100_000 + 80_000 * len(group) if packed else _SINGLE_GAS,
            max_fee=10**11,
            priority_fee=10**7,
        )
        shares[number % _WALLETS].append("0x" + signers[number % _WALLETS].sign(tx).raw.hex())
    return shares


async def _push(ground: Ground, raws: list[str]) -> None:
    size = max(1, _BODY // max((len(raw) for raw in raws), default=1))
    for at in range(0, len(raws), size):
        calls = [Call("eth_sendRawTransaction", (raw,)) for raw in raws[at : at + size]]
        for answer in await ground.rpc.best().batch(calls, timeout_s=60):
            if isinstance(answer, Exception):
                raise answer


async def _mined(ground: Ground, site: Site, expected: list[int]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        answers = await ground.rpc.batch(
            [Call("eth_getTransactionCount", (wallet, "latest")) for wallet in site.wallets],
            timeout_s=60,
        )
        if [int(str(answer), 16) for answer in answers] == expected:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"the node mined {answers} of {expected}")
        await asyncio.sleep(0.05)
