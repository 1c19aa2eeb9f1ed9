"""Promises 4 and 7: one nonce, one purpose; every transfer in ours belongs to a payment."""

from collections import Counter
from collections.abc import Sequence

from onsettle.chain.crypto import keccak
from onsettle.chain.transaction import UnsignedTransaction, decode_transaction
from onsettle.domain.evidence import AuthorizationUsed, Event, Minted, Transfer
from onsettle.domain.outcome import uses
from onsettle.engine.audit.ledger import Ledger
from onsettle.engine.audit.node import Chain, Receipt
from onsettle.engine.audit.report import Report
from onsettle.store.database import Record

_ZERO = "0x" + "00" * 20


def check_transactions(ledger: Ledger, chain: Chain, report: Report) -> None:
    report.count("transactions", len(ledger.transactions))
    report.count("attempts", len(ledger.attempts))
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
        _outcome(row, where, ledger, chain, report)
    for hash_, row in ledger.our_hashes.items():
        if hash_ in chain.receipts:
            _transfers(row, chain.receipts[hash_], ledger, report)
    for receipt in chain.foreign.values():
        _elsewhere(receipt, ledger, report)


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


def _outcome(row: Record, where: str, ledger: Ledger, chain: Chain, report: Report) -> None:
    counts = chain.counts
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


def _transfers(row: Record, receipt: Receipt, ledger: Ledger, report: Report) -> None:
    """Every token transfer in our transactions is a payment's own, or comes with a mint of ours."""
    own: set[int] = set()
    for use in uses(receipt.events):
        if not _known(use.event, ledger):
            _foreign(report, receipt, use.event, "use of an authorization")
        elif use.transfer is not None:
            own.add(use.transfer.log_index)
    issued = Counter((e.address, e.to) for e in receipt.events if isinstance(e, Minted))
    for event in receipt.events:
        if not isinstance(event, Transfer) or event.log_index in own:
            continue
        place = (event.address, event.recipient)
        if row["kind"] == "mint" and event.sender == _ZERO and issued[place]:
            issued[place] -= 1
        else:
            _foreign(report, receipt, event, "transfer")


def _known(event: AuthorizationUsed, ledger: Ledger) -> bool:
    return (event.address, event.payer, event.nonce) in ledger.identities


def _elsewhere(receipt: Receipt, ledger: Ledger, report: Report) -> None:
    """A transaction in no row may do what its owner likes, but for charging a payer."""
    for event in receipt.events:
        if isinstance(event, AuthorizationUsed) and not _known(event, ledger):
            report.differences.append(
                f"transaction {receipt.hash}: wallet {receipt.sender} used authorization"
                f" {event.nonce} of {event.payer}, and neither is in any row"
            )


def _foreign(report: Report, receipt: Receipt, event: Event, what: str) -> None:
    report.differences.append(
        f"transaction {receipt.hash}: its {what} at log {event.log_index} belongs to no payment"
    )
