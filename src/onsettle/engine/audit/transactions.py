"""Promises 4 and 7: one nonce, one purpose; every transfer in ours belongs to a payment."""

from collections import defaultdict
from collections.abc import Sequence

from onsettle.chain.crypto import keccak
from onsettle.chain.jsonrpc import Call
from onsettle.chain.transaction import UnsignedTransaction, decode_transaction
from onsettle.domain.evidence import AuthorizationUsed, Event, Transfer
from onsettle.engine.audit.ledger import Ledger
from onsettle.engine.audit.node import Chain, Receipt, ask
from onsettle.engine.audit.report import Report
from onsettle.store.database import Record

_ZERO = "0x" + "00" * 20


async def check_transactions(ledger: Ledger, chain: Chain, report: Report) -> None:
    report.count("transactions", len(ledger.transactions))
    report.count("attempts", len(ledger.attempts))
    counts = await _counts(ledger, chain)
    keys = {row["id"]: row["key"] for row in ledger.mints}
    nonces = {row["id"]: row["authorization_nonce"] for row in ledger.payments}
    for row in ledger.transactions:
        attempts = ledger.attempts_by_transaction[row["id"]]
        where = f"transaction {row['id']} (nonce {row['nonce']} of {row['wallet']})"
        wanted = [nonces.get(i) for i in row["payment_ids"]] + [
            keys.get(i) for i in row["mint_ids"]
        ]
        for problem in _attempts(row, attempts, [w for w in wanted if w], ledger.chain_id):
            report.differences.append(f"{where}: {problem}")
        _outcome(row, where, ledger, chain, counts, report)
    _nonces(ledger, counts, report)
    for hash_, row in ledger.our_hashes.items():
        if hash_ in chain.receipts:
            _transfers(row, chain.receipts[hash_], ledger, report)


async def _counts(ledger: Ledger, chain: Chain) -> dict[str, int]:
    wallets = sorted({*ledger.wallets, *(row["wallet"] for row in ledger.transactions)})
    calls = [Call("eth_getTransactionCount", (w, hex(chain.head.number))) for w in wallets]
    answers = await ask(chain.endpoint, calls) if calls else []
    return {w: int(a, 16) for w, a in zip(wallets, answers, strict=True) if isinstance(a, str)}


def _attempts(
    row: Record, attempts: Sequence[Record], wanted: Sequence[str], chain_id: int
) -> list[str]:
    """What is wrong with the signed versions of one transaction."""
    problems: list[str] = []
    purposes: set[tuple[str, bytes]] = set()
    for attempt in attempts:
        raw = bytes(attempt["raw"] or b"")
        if not raw:
            continue  # trimmed
        if "0x" + keccak(raw).hex() != attempt["hash"]:
            problems.append(f"attempt {attempt['hash']} does not have the hash of its bytes")
            continue
        try:
            signed = decode_transaction(raw)
        except ValueError as error:
            problems.append(f"attempt {attempt['hash']}: {error}")
            continue
        if (signed.chain_id, signed.nonce, signed.value) != (chain_id, row["nonce"], 0):
            problems.append(f"attempt {attempt['hash']} has another chain, nonce or value")
        if attempt["noop"]:
            if signed.data or signed.to != row["wallet"]:
                problems.append(f"attempt {attempt['hash']} is no no-op")
            continue
        purposes.add((signed.to, signed.data))
        if not _carries(signed, wanted):
            problems.append(f"attempt {attempt['hash']} does not carry what its row says")
    if len(purposes) > 1:
        problems.append("its attempts do different things")
    return problems


def _carries(signed: UnsignedTransaction, wanted: Sequence[str]) -> bool:
    return all(bytes.fromhex(key[2:]) in signed.data for key in wanted)


def _outcome(
    row: Record,
    where: str,
    ledger: Ledger,
    chain: Chain,
    counts: dict[str, int],
    report: Report,
) -> None:
    hashes = [a["hash"] for a in ledger.attempts_by_transaction[row["id"]]]
    hashes += [row["mined_hash"]] if row["mined_hash"] and row["mined_hash"] not in hashes else []
    mined = [chain.receipts[h] for h in hashes if h in chain.receipts]
    if len(mined) > 1:
        report.differences.append(f"{where}: {len(mined)} of its attempts are in blocks")
    elif any(hash_ in chain.unread for hash_ in hashes) or row["wallet"] not in counts:
        report.not_checked.append(f"{where}: the node did not answer for it")
    elif mined:
        _mined(row, mined[0], where, ledger, report)
    elif row["state"] in ("mined", "reverted"):
        if row["nonce"] < counts[row["wallet"]]:
            report.not_checked.append(f"{where}: the node keeps no receipt of {row['mined_hash']}")
        else:
            report.differences.append(f"{where}: it is {row['state']}, and the chain has no such")
    elif row["state"] == "replaced" and row["nonce"] >= counts[row["wallet"]]:
        report.differences.append(f"{where}: it is replaced, and the chain has not used its nonce")


def _mined(row: Record, receipt: Receipt, where: str, ledger: Ledger, report: Report) -> None:
    expected = "mined" if receipt.success else "reverted"
    if receipt.sender != row["wallet"]:
        report.differences.append(f"{where}: {receipt.hash} was sent by {receipt.sender}")
    # A live row whose nonce was used a moment ago is still being looked into.
    elif row["state"] not in (expected, "live") and receipt.block_number <= ledger.judged_until:
        report.differences.append(f"{where}: it is {row['state']}, and {receipt.hash} {expected}")


def _nonces(ledger: Ledger, counts: dict[str, int], report: Report) -> None:
    last: dict[str, int] = defaultdict(lambda: -1)
    for row in ledger.transactions:
        last[row["wallet"]] = max(last[row["wallet"]], row["nonce"])
    holes = [(r["wallet"], r["first"], r["last"]) for r in ledger.missing_nonces]
    holes += [(w, n + 1, counts[w] - 1) for w, n in last.items() if n + 1 < counts.get(w, 0)]
    for wallet, first, end in holes:
        used = counts.get(wallet, 0)
        if first < used:
            report.notes.append(
                f"wallet {wallet}: nonces {first} to {min(end, used - 1)} were used by transactions"
                " that are not in these books: this key is used elsewhere"
            )
        if end >= used:
            report.differences.append(
                f"wallet {wallet}: nonces {max(first, used)} to {end} are in no row: a gap"
            )


def _transfers(row: Record, receipt: Receipt, ledger: Ledger, report: Report) -> None:
    """Every token transfer in our transactions is a payer's own, or a mint."""
    used: set[tuple[str, str]] = set()
    for event in receipt.events:
        if isinstance(event, AuthorizationUsed):
            if (event.address, event.payer, event.nonce) in ledger.identities:
                used.add((event.address, event.payer))
            else:
                _foreign(report, receipt, event, "use of an authorization")
        elif isinstance(event, Transfer):
            minted = row["kind"] == "mint" and event.sender == _ZERO
            if not minted and (event.address, event.sender) not in used:
                _foreign(report, receipt, event, "transfer")


def _foreign(report: Report, receipt: Receipt, event: Event, what: str) -> None:
    report.differences.append(
        f"transaction {receipt.hash}: its {what} at log {event.log_index} belongs to no payment"
    )
