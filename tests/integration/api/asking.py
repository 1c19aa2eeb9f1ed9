"""Requests of x402, versions 1 and 2, as a resource server makes them."""

import copy
from typing import Any

from onsettle.local.payers import Payer
from tests.harness.stack import PAYEE, PRICE
from tests.integration.api.conftest import Api

Asked = dict[str, Any]


def second(api: Api, payer: Payer, **extra: object) -> Asked:
    """A request of version 2, as JSON."""
    authorization = api.stack.body(api.engine, payer)["authorization"]
    signature = authorization.pop("signature")
    requirements = {
        "scheme": "exact",
        "network": "eip155:84532",
        "asset": api.stack.asset,
        "amount": str(PRICE),
        "payTo": PAYEE,
        "maxTimeoutSeconds": 60,
        "extra": {"name": "USD Coin", "version": "2", **extra},
    }
    return {
        "x402Version": 2,
        "paymentPayload": {
            "x402Version": 2,
            "accepted": copy.deepcopy(requirements),
            "payload": {"signature": signature, "authorization": authorization},
        },
        "paymentRequirements": requirements,
    }


def first(api: Api, payer: Payer) -> Asked:
    """The same in version 1."""
    other = second(api, payer)
    return {
        "x402Version": 1,
        "paymentPayload": {
            "x402Version": 1,
            "scheme": "exact",
            "network": "base-sepolia",
            "payload": other["paymentPayload"]["payload"],
        },
        "paymentRequirements": {
            "scheme": "exact",
            "network": "base-sepolia",
            "maxAmountRequired": str(PRICE),
            "resource": "https://shop.example/goods",
            "description": "",
            "mimeType": "",
            "payTo": PAYEE,
            "maxTimeoutSeconds": 60,
            "asset": api.stack.asset,
            "extra": {"name": "USD Coin", "version": "2"},
        },
    }


async def ask(api: Api, route: str, asked: object) -> Asked:
    response = await api.http.post(route, json=asked)
    assert response.status_code == 200, response.text
    answer: Asked = response.json()
    return answer
