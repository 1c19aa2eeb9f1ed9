"""Promise 4: each nonce of a wallet stands in one row, or the audit says who used it."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call
from onsettle.engine.audit.ledger import Ledger
from onsettle.engine.audit.node import Chain, ask
from onsettle.engine.audit.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """Nonces of a wallet that stand in no row; `below` is set where its first row is above them."""

    wallet: str
    first: int
    last: int
    below: bool = False


async def nonce_counts(endpoint: Endpoint, ledger: Ledger, at: int) -> dict[str, int]:
    """How many nonces of each wallet block `at` has used, where the node says so."""
    wallets = sorted(ledger.every_wallet)
    calls = [Call("eth_getTransactionCount", (w, hex(at))) for w in wallets]
    answers = await ask(endpoint, calls) if calls else []
    return {w: int(a, 16) for w, a in zip(wallets, answers, strict=True) if isinstance(a, str)}


def holes(ledger: Ledger, counts: Mapping[str, int]) -> list[Hole]:
    """Below a wallet's first row, between its rows, and from its last row to the chain's count."""
    by_wallet: dict[str, list[int]] = defaultdict(list)
    for row in ledger.transactions:
        by_wallet[row["wallet"]].append(row["nonce"])
    found = [
        Hole(wallet=row["wallet"], first=row["first"], last=row["last"])
        for row in ledger.missing_nonces
    ]
    for wallet in sorted(ledger.every_wallet):
        nonces = by_wallet[wallet]
        first = min(nonces, default=counts.get(wallet, 0))
        if first > 0:
            found.append(Hole(wallet=wallet, first=0, last=first - 1, below=True))
        if nonces and max(nonces) + 1 < counts.get(wallet, 0):
            found.append(Hole(wallet=wallet, first=max(nonces) + 1, last=counts[wallet] - 1))
    return found


def check_nonces(ledger: Ledger, chain: Chain, report: Report) -> None:
    for hole in holes(ledger, chain.counts):
        used = chain.counts.get(hole.wallet)
        if used is None:
            report.not_checked.append(f"wallet {hole.wallet}: the node did not answer its nonces")
            continue
        if hole.first < used:
            why = "was used before" if hole.below else "is used elsewhere"
            report.notes.append(
                f"wallet {hole.wallet}: nonces {hole.first} to {min(hole.last, used - 1)} were used"
                f" by transactions that are not in these books: this key {why}"
            )
        if hole.last >= used:
            report.differences.append(
                f"wallet {hole.wallet}: nonces {max(hole.first, used)} to {hole.last}"
                " are in no row: a gap"
            )
