"""The endpoints of one network: the same chain, the same blocks, near the head, able to answer."""

import time
from dataclasses import dataclass

from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.chain.rpc import MAX_LAG_BLOCKS, Pool
from onsettle.domain.settings import NODES_KEEP
from onsettle.engine.doctor.findings import Findings
from onsettle.engine.named import Block, read_at
from onsettle.engine.network import number

# Endpoints are compared this far below the lowest head, where they must agree.
_SETTLED = 5
_OLD_HEAD_S = 120
_AHEAD_S = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    chain_id: int
    genesis: str
    head: int
    hash: str
    time: int

    @property
    def block(self) -> Block:
        return Block(number=self.head, hash=self.hash, time=self.time)


async def check_endpoints(
    found: Findings, name: str, pool: Pool, known: dict[int, str], confirmations: int
) -> int | None:
    """The chain id, where the endpoints can be used; `known` maps chain ids to genesis hashes.

    `confirmations` is how deep below the head the state is read that verdicts rest on.
    """
    seen: dict[Endpoint, Seen] = {}
    for endpoint in pool.endpoints:
        try:
            seen[endpoint] = await _look(endpoint)
        except (RpcError, RpcUnavailable, KeyError, TypeError) as error:
            found.fail("endpoint", str(error), "check the address and the provider", endpoint.name)
    if not seen:
        return None
    first = next(iter(seen.values()))
    for endpoint, view in seen.items():
        if (view.chain_id, view.genesis) != (first.chain_id, first.genesis):
            found.fail(
                "endpoint",
                f"chain {view.chain_id} with genesis {view.genesis}, the first endpoint has"
                f" {first.chain_id} with {first.genesis}",
                "name endpoints of one chain in ONSETTLE_RPC_URLS",
                endpoint.name,
            )
    if known.get(first.chain_id, first.genesis) != first.genesis:
        found.fail(
            "chain",
            f"chain {first.chain_id} has another genesis than this database knows",
            "use the database of that chain, or its endpoints",
            name,
        )
        return None
    found.ok("chain", f"chain {first.chain_id}, genesis {first.genesis}", name)
    check_heads(found, seen)
    ours = {e: v for e, v in seen.items() if v.genesis == first.genesis}
    await _check_agreement(found, ours)
    if confirmations > NODES_KEEP:
        await _check_depth(found, ours, confirmations)
    return first.chain_id


async def _look(endpoint: Endpoint) -> Seen:
    chain_id = number(await endpoint.call("eth_chainId"))
    genesis = await endpoint.call("eth_getBlockByNumber", "0x0", False)
    head = await endpoint.call("eth_getBlockByNumber", "latest", False)
    if not isinstance(genesis, dict) or not isinstance(head, dict):
        raise RpcError(None, "the node does not answer with blocks")
    return Seen(
        chain_id=chain_id,
        genesis=str(genesis["hash"]),
        head=number(head["number"]),
        hash=str(head["hash"]),
        time=number(head["timestamp"]),
    )


def check_heads(found: Findings, seen: dict[Endpoint, Seen]) -> None:
    top = max(view.head for view in seen.values())
    for endpoint, view in seen.items():
        behind = top - view.head
        age = time.time() - view.time
        if behind > MAX_LAG_BLOCKS:
            found.warn(
                "endpoint",
                f"{behind} blocks behind the highest endpoint",
                "it is asked only when the others fail; ask its provider, or remove it",
                endpoint.name,
            )
        elif age < -_AHEAD_S:
            found.warn(
                "clock",
                f"the chain's newest block is {-age:.0f} s ahead of this machine",
                "run NTP on this machine: deadlines are judged by the later clock",
                endpoint.name,
            )
        elif age > _OLD_HEAD_S:
            found.warn(
                "endpoint",
                f"its newest block {view.head} is {age:.0f} s old",
                "is the chain standing still, or does this node no longer follow it?",
                endpoint.name,
            )
        else:
            found.ok("endpoint", f"at block {view.head}", endpoint.name)


async def _check_agreement(found: Findings, seen: dict[Endpoint, Seen]) -> None:
    """The same hash a little below the lowest head, and reads by block hash (EIP-1898)."""
    height = max(0, min(view.head for view in seen.values()) - _SETTLED)
    hashes: dict[Endpoint, str] = {}
    for endpoint, view in seen.items():
        try:
            block = await endpoint.call("eth_getBlockByNumber", hex(height), False)
            if isinstance(block, dict):
                hashes[endpoint] = str(block.get("hash"))
            await _read_state(endpoint, view.block)
        except RpcError as error:
            found.fail(
                "endpoint",
                f"does not read state at block {view.head}: {error}",
                "use another endpoint: without it nothing negative can be proven",
                endpoint.name,
            )
        except RpcUnavailable as error:
            found.warn("endpoint", str(error), "check it again", endpoint.name)
        else:
            if not endpoint.reads_by_hash:
                found.warn(
                    "endpoint",
                    "does not read at a block hash (EIP-1898): numbers are used, between two looks"
                    " at the hash, which takes more requests",
                    "use another endpoint, or see to it that one node alone stands behind this one",
                    endpoint.name,
                )
    if len(set(hashes.values())) > 1:
        told = ", ".join(f"{e.name}: {hash_[:12]}" for e, hash_ in hashes.items())
        found.fail(
            "agreement",
            f"the endpoints disagree on block {height} ({told})",
            "remove the one that is on a fork; nothing is decided from two views",
        )
    elif len(hashes) > 1:
        found.ok("agreement", f"{len(hashes)} endpoints agree on block {height}")


async def _check_depth(found: Findings, seen: dict[Endpoint, Seen], confirmations: int) -> None:
    """Only archive nodes answer for state so far below the head."""
    for endpoint, view in seen.items():
        height = max(0, view.head - confirmations + 1)
        try:
            block = await endpoint.call("eth_getBlockByNumber", hex(height), False)
            if not isinstance(block, dict):
                raise RpcError(None, f"it does not know block {height}")
            await _read_state(
                endpoint, Block(number=height, hash=str(block.get("hash")), time=view.time)
            )
        except (RpcError, RpcUnavailable) as error:
            found.warn(
                "depth",
                f"no state {confirmations} blocks deep, where payment_confirmations looks: {error}",
                "use archive nodes, or set payment_confirmations to"
                f" {NODES_KEEP} or less: meanwhile nothing negative can be proven",
                endpoint.name,
            )
        else:
            found.ok("depth", f"has state {confirmations} blocks deep", endpoint.name)


async def _read_state(endpoint: Endpoint, block: Block) -> None:
    [answer] = await read_at(
        endpoint, block, [Call("eth_getTransactionCount", ("0x" + "00" * 20,))]
    )
    if isinstance(answer, Exception):
        raise answer
