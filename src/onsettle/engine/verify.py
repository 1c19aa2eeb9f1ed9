"""The audit of one database against its chains. Changes nothing and trusts no loop."""

import asyncio
from collections.abc import Mapping

from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.engine.audit.gas import check_gas
from onsettle.engine.audit.ledger import Ledger, read_ledger
from onsettle.engine.audit.mints import check_mints
from onsettle.engine.audit.node import Chain, ChainMoved, block_at, read_receipts
from onsettle.engine.audit.payments import check_journals, check_outbox, check_payments
from onsettle.engine.audit.report import Report
from onsettle.engine.audit.transactions import check_transactions
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
        try:
            await _compare(network.pool.best(), ledger, report)
        except ChainMoved as moved:
            reason = str(moved)
            await asyncio.sleep(_PAUSE_S)
            continue
        except (RpcError, RpcUnavailable) as error:
            report.not_checked.append(f"{name}: {error}")
        return report
    report.not_checked.append(f"{name}: {reason}")
    return report


async def _compare(endpoint: Endpoint, ledger: Ledger, report: Report) -> None:
    head = await block_at(endpoint, "latest")
    if head is None:
        raise RpcUnavailable(endpoint.name, "it does not answer its newest block")
    await _on_chain(endpoint, ledger.cursor, ledger.cursor_hash)
    receipts, unread = await read_receipts(endpoint, ledger.hashes(), head.number)
    chain = Chain(endpoint=endpoint, head=head, receipts=receipts, unread=frozenset(unread))
    await check_payments(ledger, chain, report)
    await check_mints(ledger, chain, report)
    await check_transactions(ledger, chain, report)
    await check_gas(ledger, chain, report)
    await _on_chain(endpoint, head.number, head.hash)


async def _on_chain(endpoint: Endpoint, at: int | None, hash_: str | None) -> None:
    """While a reorg is being worked through, books and chain can't be compared."""
    if at is None:
        return
    block = await block_at(endpoint, hex(at))
    if block is None:
        raise ChainMoved(f"{endpoint.name} does not have block {at}, which the books stand on")
    if block.hash != hash_:
        raise ChainMoved(f"block {at} was replaced and the books do not know it yet")
