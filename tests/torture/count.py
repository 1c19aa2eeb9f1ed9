"""What the chain's own logs say of each payment and mint, whatever the service's tables say."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from eth_utils.crypto import keccak

from tests.harness.stack import PAYEE, PRICE, Stack
from tests.torture.field import Job


def _topic(signature: str) -> str:
    return "0x" + keccak(text=signature).hex()


_USED = _topic("AuthorizationUsed(address,bytes32)")
_TRANSFER = _topic("Transfer(address,address,uint256)")
_MINTED = _topic("TokensMinted(address,uint256,bytes32)")

#: An authorization as (payer, nonce), or a unit as (who it is for, key).
Thing = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many of the wanted are missing, and how many there are beyond them."""

    lost: int
    doubled: int


async def count(stack: Stack, jobs: Sequence[Job]) -> Count:
    """Each authorization that a client signed is charged once, each unit is minted once under its
    own key, and there is nothing else."""
    charged = compare(_authorizations(jobs), await _charged(stack))
    minted = compare(_units(jobs), await _minted(stack))
    return Count(lost=charged.lost + minted.lost, doubled=charged.doubled + minted.doubled)


def compare(wanted: Sequence[Thing], found: Sequence[Thing]) -> Count:
    """One lost and one doubled do not make up for each other."""
    there = Counter(found)
    there.subtract(Counter(wanted))
    return Count(
        lost=sum(-n for n in there.values() if n < 0),
        doubled=sum(n for n in there.values() if n > 0),
    )


def _authorizations(jobs: Sequence[Job]) -> list[Thing]:
    signed = [job.body["authorization"] for job in jobs]
    return [(each["from"].lower(), each["nonce"].lower()) for each in signed]


def _units(jobs: Sequence[Job]) -> list[Thing]:
    """The keys are derived from the id that the client was given."""
    return [
        (
            job.body["authorization"]["from"].lower(),
            "0x" + sha256(f"{job.id}:{unit}".encode()).hexdigest(),
        )
        for job in jobs
        for unit in range(1, job.quantity + 1)
    ]


async def _charged(stack: Stack) -> list[Thing]:
    """Each transfer of the price to the payee: by the authorization's use before it, or by none."""
    found: list[Thing] = []
    before: dict[str, Any] = {}
    for log in await _logs(stack, stack.asset):
        topics = log["topics"]
        if topics[0] == _TRANSFER and _address(topics[2]) == PAYEE:
            assert int(log["data"], 16) == PRICE, log
            used = before.get("topics", [""])[0] == _USED
            same = used and before["transactionHash"] == log["transactionHash"]
            nonce = before["topics"][2] if same else "no authorization"
            found.append((_address(topics[1]), nonce))
        before = log
    return found


async def _minted(stack: Stack) -> list[Thing]:
    logs = await _logs(stack, stack.mint_token)
    return [
        (_address(log["topics"][1]), "0x" + log["data"][-64:])
        for log in logs
        if log["topics"][0] == _MINTED
    ]


async def _logs(stack: Stack, token: str) -> list[dict[str, Any]]:
    """All of the canonical chain, in its order."""
    query = {"address": token, "fromBlock": "0x0", "toBlock": "latest"}
    answer = await stack.rpc.call("eth_getLogs", query, timeout_s=60)
    assert isinstance(answer, list)
    return answer


def _address(topic: str) -> str:
    return "0x" + topic[-40:].lower()
