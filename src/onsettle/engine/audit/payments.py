"""Promises 2 and 5: charged at most once; completed if and only if the chain says so."""

from collections import defaultdict

from onsettle.domain.outcome import Fate, Finding, Use, pays, uses
from onsettle.domain.payment import PaymentStatus
from onsettle.engine.audit.ledger import Identity, Ledger, identity
from onsettle.engine.audit.node import Chain
from onsettle.engine.audit.report import Report
from onsettle.engine.lookup import find
from onsettle.store.database import Record

_CHUNK = 500
#: A reorg withdraws the block of a completed payment first and keeps the status until it is
#: decided: for this long that is a thing to know, after that it breaks a promise.
_UNDONE_S = 600


async def check_payments(ledger: Ledger, chain: Chain, report: Report) -> None:
    report.count("payments", len(ledger.payments))
    found: dict[Identity, list[Use]] = defaultdict(list)
    for use in uses(chain.events):
        found[use.event.address, use.event.payer, use.event.nonce].append(use)
    open_rows: list[Record] = []
    for row in ledger.payments:
        own = found[identity(row)]
        if len(own) > 1:
            hashes = ", ".join(use.event.tx_hash for use in own)
            _differs(report, row, f"its authorization was used {len(own)} times: {hashes}")
        elif own and _pays(own[0], row):
            _landed(row, own[0].event.tx_hash, own[0].event.block_number, ledger, chain, report)
        else:
            # No receipt that we know of shows it: the token itself is asked.
            open_rows.append(row)
    for at in range(0, len(open_rows), _CHUNK):
        rows = open_rows[at : at + _CHUNK]
        findings = await find(chain.endpoint, rows, chain.head)
        for row, finding in zip(rows, findings, strict=True):
            _looked_up(row, finding, ledger, chain, report)


def _pays(use: Use, row: Record) -> bool:
    return pays(use, pay_to=row["pay_to"], amount=int(row["amount"]))


def _differs(report: Report, row: Record, text: str) -> None:
    report.differences.append(f"payment {row['id']}: {text}")


def _landed(
    row: Record, tx_hash: str, block: int, ledger: Ledger, chain: Chain, report: Report
) -> None:
    """The chain shows the transfer that pays this row."""
    if row["status"] != PaymentStatus.COMPLETED:
        if block <= ledger.judged_until:
            _differs(report, row, f"it is {row['status']}, and {tx_hash} on the chain pays it")
        return
    depth = chain.head.number - block + 1
    if depth < ledger.settings.payment_confirmations:
        wanted = ledger.settings.payment_confirmations
        _differs(report, row, f"it is completed at depth {depth}, and {wanted} are required")
    if row["block_number"] is None:
        if not row["final"]:
            _undone(report, row, f"the chain has its transfer in block {block}")
        return
    if row["tx_hash"].lower() != tx_hash or row["block_number"] != block:
        told = f"{row['tx_hash']} in block {row['block_number']}"
        _differs(report, row, f"the books name {told}, the chain {tx_hash} in block {block}")


def _looked_up(row: Record, finding: Finding, ledger: Ledger, chain: Chain, report: Report) -> None:
    if finding.fate is Fate.UNKNOWN:
        report.not_checked.append(f"payment {row['id']}: the node can't tell what became of it")
    elif finding.fate is Fate.LANDED and finding.event is not None:
        event = finding.event
        _landed(row, event.tx_hash, event.block_number, ledger, chain, report)
    elif row["status"] == PaymentStatus.COMPLETED:
        if row["block_number"] is not None or row["final"]:
            _differs(report, row, "it is completed, and the chain has no transfer that pays it")
        else:
            _undone(report, row, "the chain has no transfer that pays it")
    elif row["final"] and finding.fate is Fate.UNUSED and row["valid_before"] > chain.head.time:
        _differs(report, row, f"it is {row['status']} for good, and it can still be charged")


def _undone(report: Report, row: Record, text: str) -> None:
    """Completed, not final, and the books name no block for it."""
    since = f"it was completed {row['completed_for_s']} s ago, its block was taken back, and {text}"
    if row["completed_for_s"] > _UNDONE_S:
        _differs(report, row, since)
    else:
        report.notes.append(f"payment {row['id']}: {since}")


def check_journals(ledger: Ledger, report: Report) -> None:
    report.count("journals", len(ledger.payments))
    for row in ledger.bad_journals:
        _differs(report, row, "its events do not replay to its status")


def check_outbox(ledger: Ledger, report: Report) -> None:
    """What was promised to be told is told, waiting, or listed as given up."""
    report.count("messages", len(ledger.outbox))
    for row in ledger.outbox:
        if row["status"] == "missing":
            report.differences.append(
                f"payment {row['payment_id']}: it completed, and no message for the channel"
                f" {row['channel']} was written"
            )
        elif not row["completed_once"]:
            report.differences.append(
                f"message {row['id']}: it tells that payment {row['payment_id']} completed,"
                " and it never did"
            )
        elif row["status"] == "delivered" and not row["stands"]:
            report.differences.append(
                f"message {row['id']}: the channel {row['channel']} was told that payment"
                f" {row['payment_id']} completed, and it is {row['payment_status']}: what was"
                " delivered for it is a loss"
            )
        elif row["status"] == "dead":
            report.notes.append(
                f"message {row['id']} of payment {row['payment_id']} was given up: replay it"
            )
