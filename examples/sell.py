"""Settles what `examples/sign.py` prints, in this process: examples/sign.py | examples/sell.py"""

import asyncio
import json
import sys

from onsettle import Onsettle, Payment

onsettle = Onsettle.from_env()
delivered = asyncio.Event()


@onsettle.on_completed
async def deliver(payment: Payment) -> None:
    print(f"{payment.payer} paid {payment.amount} in {payment.tx_hash}")
    delivered.set()


async def sell(authorization: dict[str, str]) -> None:
    async with onsettle:
        payment = await onsettle.submit(authorization, payment_type="goods")
        print(f"payment {payment.id} can't be lost any more")
        await payment.completed()
        await delivered.wait()


asyncio.run(sell(json.load(sys.stdin)["authorization"]))
