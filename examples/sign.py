"""Prints one signed payment, as `POST /v1/payments` takes it.

It needs only the environment of `onsettle serve`. PAYER_KEY is the key that pays; without it a new
payer is made and given money, which works on the local chain alone.
"""

import asyncio
import json
import os
import sys
import time

from onsettle.chain.rpc import Pool
from onsettle.chain.token import read_domain
from onsettle.config import load
from onsettle.local.payers import Payer, fund


async def payment() -> dict[str, object]:
    [section] = load().networks
    network, key = section.config, os.environ.get("PAYER_KEY")
    asset, token = network.assets[0], network.mint_tokens[0]
    payer = Payer(key)
    price = token.price or 10_000  # one cent of a token with six decimals
    pay_to = token.payee or next(iter(network.pay_to), Payer().address)
    if key is None:
        await fund(network.rpc_urls[0], asset, [payer.address], price)
    async with Pool(network.rpc_urls) as pool:
        chain_id = int(str(await pool.call("eth_chainId")), 16)
        domain = await read_domain(pool.best(), chain_id, asset)
    return {
        "payment_type": "mint",
        "asset": asset,
        "token_address": token.address,
        "metadata": {"quantity": 1},
        "authorization": payer.authorize(
            domain, pay_to, price, valid_before=int(time.time()) + 3600
        ),
    }


sys.stdout.write(json.dumps(asyncio.run(payment())) + "\n")
