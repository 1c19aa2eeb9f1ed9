"""The audit of one database against its chains. Changes nothing and trusts no loop."""

import asyncio
from collections.abc import Mapping

from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.engine.audit.foreign import read_foreign
from onsettle.engine.audit.gas import check_gas
from onsettle.engine.audit.identities import check_identities
from onsettle.engine.audit.ledger import Ledger, read_ledger
from onsettle.engine.audit.logs import read_minted
from onsettle.engine.audit.mints import check_mints
from onsettle.engine.audit.node import Chain, ChainMoved, block_at, read_receipts
from onsettle.engine.audit.nonces import check_nonces, nonce_counts
from onsettle.engine.audit.payments import check_journals, check_outbox, check_payments
from onsettle.engine.audit.report import Report
from onsettle.engine.audit.transactions import check_transactions
from onsettle.engine.named import Block
from onsettle.engine.network import Network
from onsettle.store.database import Database

__all__ = ["Report", "verify"]

_TRIES = 5
_PAUSE_S = 1.0


async def verify(db: Database, networks: Mapping[int, Network]) -> Report:
    """Compare what the database says with what each chain says."""
    report = Report()
    for network in networks.values():
        report.add(await _network(db, network))
    return report


async def _network(db: Database, network: Network) -> Report:
    name = f"chain {network.chain_id}"
    report, reason = Report(), ""
    for _ in range(_TRIES):
        # The books first: the chain may only be ahead of them, never behind.
        ledger = await read_ledger(db, network.chain_id)
        report = Report()
        check_journals(ledger, report)
        check_outbox(ledger, report)
        check_identities(ledger, report)
        try:
            await _compare(network, ledger, report)
        except ChainMoved as moved:
            reason = str(moved)
            await asyncio.sleep(_PAUSE_S)
            continue
        except (RpcError, RpcUnavailable) as error:
            report.not_checked.append(f"{name}: {error}")
        return report
    report.not_checked.append(f"{name}: {reason}")
    return report


async def _compare(network: Network, ledger: Ledger, report: Report) -> None:
    endpoint = network.pool.best()
    head = await block_at(endpoint, "latest")
    if head is None:
        raise RpcUnavailable(endpoint.name, "it does not answer its newest block")
    await _on_chain(endpoint, ledger.cursor, ledger.cursor_hash)
    chain = await _read(network, endpoint, ledger, head, report)
    await check_payments(ledger, chain, report)
    await check_mints(ledger, chain, report)
    check_transactions(ledger, chain, report)
    check_nonces(ledger, chain, report)
    await check_gas(ledger, chain, report)
    await _on_chain(endpoint, head.number, head.hash)


async def _read(
    network: Network, endpoint: Endpoint, ledger: Ledger, head: Block, report: Report
) -> Chain:
    """What the chain says of these books, from their first block on."""
    receipts, unread = await read_receipts(endpoint, ledger.hashes(), head.number)
    known = [r.block_number for r in receipts.values()]
    first = min([head.number if ledger.cursor is None else ledger.cursor, *known])
    counts = await nonce_counts(endpoint, ledger, head.number)
    tokens = {token.address for token in network.config.mint_tokens}
    tokens.update(row["token_address"] for row in ledger.mints)
    return Chain(
        endpoint=endpoint,
        head=head,
        receipts=receipts,
        unread=frozenset(unread),
        counts=counts,
        foreign=await read_foreign(endpoint, ledger, counts, first, head.number, report),
        minted=await read_minted(endpoint, sorted(tokens), first, head.number, report),
    )


async def _on_chain(endpoint: Endpoint, at: int | None, hash_: str | None) -> None:
    """While a reorg is being worked through, books and chain can't be compared."""
    if at is None:
        return
    block = await block_at(endpoint, hex(at))
    if block is None:
        raise ChainMoved(f"{endpoint.name} does not have block {at}, which the books stand on")
    if block.hash != hash_:
        raise ChainMoved(f"block {at} was replaced and the books do not know it yet")
