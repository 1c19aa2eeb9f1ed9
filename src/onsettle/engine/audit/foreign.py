"""Transactions of our wallets that stand in no row, found by their nonces.

A chain has no index of senders, but a wallet's count at a block says whether a nonce was used by
then: a handful of questions find the block of each.
"""

from collections import defaultdict
from collections.abc import Mapping

from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import RpcError
from onsettle.engine.audit.ledger import Ledger
from onsettle.engine.audit.node import Receipt, read_receipts
from onsettle.engine.audit.nonces import holes, nonce_counts
from onsettle.engine.audit.report import Report
from onsettle.engine.network import number

#: Blocks that are read for one wallet; a key that is used elsewhere so much is "not checked".
_MOST_BLOCKS = 1000


async def read_foreign(
    endpoint: Endpoint,
    ledger: Ledger,
    counts: Mapping[str, int],
    first: int,
    head: int,
    report: Report,
) -> dict[str, Receipt]:
    """Receipts of those in blocks from `first` on; what the node can't tell goes to the report."""
    used: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for hole in holes(ledger, counts):
        last = min(hole.last, counts.get(hole.wallet, 0) - 1)
        if hole.first <= last:
            used[hole.wallet].append((hole.first, last))
    if not used:
        return {}
    # What a wallet did before these books began is none of theirs.
    began = await nonce_counts(endpoint, ledger, first - 1) if first > 0 else {}
    found: dict[str, Receipt] = {}
    for wallet, spans in used.items():
        base = began.get(wallet) if first > 0 else 0
        text = f"wallet {wallet}: its transactions that are not in these books: "
        if base is None:
            report.not_checked.append(text + "the node keeps no state that old")
            continue
        wanted = [n for low, high in sorted(spans) for n in range(max(low, base), high + 1)]
        try:
            hashes, left = await _hashes(endpoint, wallet, wanted, first, head)
        except RpcError as error:
            report.not_checked.append(f"{text}{error}")
            continue
        if left:
            report.not_checked.append(f"{text}{left} of {len(wanted)} were not read")
        receipts, unread = await read_receipts(endpoint, hashes, head)
        if unread:
            report.not_checked.append(f"{text}{len(unread)} receipts were not answered")
        found |= receipts
    return found


async def _hashes(
    endpoint: Endpoint, wallet: str, nonces: list[int], first: int, head: int
) -> tuple[list[str], int]:
    """The transactions with these nonces, and how many nonces were left unread."""
    missing = set(nonces)
    found: list[str] = []
    for _ in range(_MOST_BLOCKS):
        if not missing:
            break
        first = await _block_of(endpoint, wallet, min(missing), first, head)
        block = await endpoint.call("eth_getBlockByNumber", hex(first), True, timeout_s=30)
        listed = block.get("transactions") if isinstance(block, dict) else None
        before = len(missing)
        for tx in listed if isinstance(listed, list) else []:
            if str(tx.get("from")).lower() == wallet and number(tx.get("nonce")) in missing:
                missing.discard(number(tx["nonce"]))
                found.append(str(tx["hash"]).lower())
        if len(missing) == before:
            raise RpcError(None, f"block {first} does not have the one with nonce {min(missing)}")
    return found, len(missing)


async def _block_of(endpoint: Endpoint, wallet: str, nonce: int, low: int, high: int) -> int:
    """The first block from `low` on in which this nonce is used; by `high` it is."""
    while low < high:
        middle = (low + high) // 2
        answer = await endpoint.call("eth_getTransactionCount", wallet, hex(middle))
        if number(answer) > nonce:
            high = middle
        else:
            low = middle + 1
    return low
