"""Promise 7: in our transactions a wallet pays for gas and nothing else, to the wei."""

from collections import defaultdict

from onsettle.engine.audit.ledger import Ledger
from onsettle.engine.audit.node import Chain, balances, read_receipts
from onsettle.engine.audit.report import Report
from onsettle.engine.network import number

_CHUNK = 1000


async def check_gas(ledger: Ledger, chain: Chain, report: Report) -> None:
    costs: dict[tuple[str, int], int] = defaultdict(int)
    for hash_ in ledger.our_hashes:
        if (receipt := chain.receipts.get(hash_)) is not None:
            costs[receipt.sender, receipt.block_number] += receipt.cost
    places = sorted(costs)
    missing: dict[str, set[int]] = defaultdict(set)
    for at in range(0, len(places), _CHUNK):
        chunk = places[at : at + _CHUNK]
        around = [(wallet, block - back) for wallet, block in chunk for back in (0, 1)]
        held = await balances(chain.endpoint, around)
        for wallet, block in chunk:
            before, after = held.get((wallet, block - 1)), held.get((wallet, block))
            if before is None or after is None:
                missing[wallet].add(block)
                continue
            report.count("wallet balances", 1)
            fallen = before - after
            if fallen != costs[wallet, block]:
                await _explain(wallet, block, fallen, chain, report)
    for wallet, blocks in missing.items():
        report.not_checked.append(
            f"wallet {wallet}: its balance around {len(blocks)} blocks from {min(blocks)} to"
            f" {max(blocks)}: the node keeps no state that old"
        )


async def _explain(wallet: str, block: int, fallen: int, chain: Chain, report: Report) -> None:
    """Others may use the wallet in the same block: read all of it before it is a difference."""
    answer = await chain.endpoint.call("eth_getBlockByNumber", hex(block), True, timeout_s=30)
    listed = answer.get("transactions") if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        report.not_checked.append(f"wallet {wallet}: block {block} was not answered")
        return
    touching = {
        str(tx["hash"]).lower(): tx
        for tx in listed
        if wallet in (str(tx.get("from")).lower(), str(tx.get("to")).lower())
    }
    receipts, unread = await read_receipts(chain.endpoint, sorted(touching), block)
    if unread:
        report.not_checked.append(f"wallet {wallet}: block {block} has receipts without an answer")
        return
    expected = 0
    for hash_, receipt in receipts.items():
        value = number(touching[hash_].get("value")) if receipt.success else 0
        if receipt.sender == wallet:
            expected += receipt.cost + value
        if str(touching[hash_].get("to")).lower() == wallet:
            expected -= value
    if fallen > expected:
        report.differences.append(
            f"wallet {wallet}: in block {block} its balance fell by {fallen} wei,"
            f" and its transactions explain {expected}"
        )
    elif fallen < expected:
        # A contract paid in (a refill from a Safe, say): it is no loss, and no plain transfer.
        report.count("blocks with other income", 1)
