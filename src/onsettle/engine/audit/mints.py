"""Promise 6: for every completed payment exactly what was paid for, and nothing for others."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from onsettle.chain import abi
from onsettle.chain.jsonrpc import Call
from onsettle.domain.evidence import Minted
from onsettle.domain.payment import PaymentStatus
from onsettle.engine.audit.ledger import Ledger
from onsettle.engine.audit.node import Chain, read_receipts
from onsettle.engine.audit.report import Report
from onsettle.engine.named import read_at
from onsettle.store.database import Record


async def check_mints(ledger: Ledger, chain: Chain, report: Report) -> None:
    report.count("mints", len(ledger.mints))
    events = _events(chain)
    await _unpaid(events, ledger, chain, report)
    minted = await _minted([r for r in ledger.mints if not events[_place(r)]], chain)
    for row in ledger.mints:
        found = events[_place(row)]
        on_chain = bool(found) or minted.get(row["id"])
        _mint(row, found, on_chain, ledger, report)
    _quantities(ledger, report)


def _events(chain: Chain) -> dict[tuple[str, str], list[Minted]]:
    """Mints by token and key: those in receipts that we know, and those of all blocks.

    A transaction is counted from one of them. Its logs have the same index in both by the standard,
    and yet there are nodes that count them from 0 in each receipt.
    """
    whole = [e for e in chain.events if isinstance(e, Minted)]
    told = {e.tx_hash for e in whole}
    whole += [e for e in chain.minted if e.tx_hash not in told]
    found: dict[tuple[str, str], list[Minted]] = defaultdict(list)
    for event in whole:
        found[event.address, event.key].append(event)
    return found


async def _unpaid(
    events: Mapping[tuple[str, str], list[Minted]], ledger: Ledger, chain: Chain, report: Report
) -> None:
    """A mint that one of our wallets made, under a key that is in no row."""
    known = {(row["token_address"], row["key"]) for row in ledger.mints}
    strange = [
        event
        for place, found in events.items()
        if place not in known and place[1] not in ledger.other_keys
        for event in found
    ]
    read = {**chain.receipts, **chain.foreign}
    hashes = sorted({e.tx_hash for e in strange} - set(read))
    # Tokens have other minters too: only the receipt tells who it was.
    more, unread = await read_receipts(chain.endpoint, hashes, chain.head.number)
    read |= more
    if unread:
        report.not_checked.append(f"who made {len(unread)} mints: their receipts are not answered")
    for event in strange:
        receipt = read.get(event.tx_hash)
        if receipt is not None and receipt.sender in ledger.every_wallet:
            report.differences.append(
                f"mint {event.key}: wallet {receipt.sender} minted it in {event.tx_hash},"
                " and nobody paid for it"
            )


def _place(row: Record) -> tuple[str, str]:
    return row["token_address"], row["key"]


async def _minted(rows: list[Record], chain: Chain) -> dict[Any, bool | None]:
    """`hasMinted` of each row at the head, whoever minted it; None: not answered."""
    calls = [
        Call(
            "eth_call", ({"to": r["token_address"], "data": "0x" + abi.has_minted(r["key"]).hex()},)
        )
        for r in rows
    ]
    answers = await read_at(chain.endpoint, chain.head, calls)
    return {r["id"]: _truth(answer) for r, answer in zip(rows, answers, strict=True)}


def _truth(answer: object) -> bool | None:
    if isinstance(answer, str) and len(answer) == 66:
        return int(answer, 16) == 1
    return None


def _mint(
    row: Record, found: list[Minted], on_chain: bool | None, ledger: Ledger, report: Report
) -> None:
    payment = ledger.payments_by_id.get(row["payment_id"])
    paid = payment is not None and payment["status"] == PaymentStatus.COMPLETED
    where = f"mint {row['id']} of payment {row['payment_id']}"
    if on_chain is None:
        report.not_checked.append(f"{where}: the node can't tell whether it was minted")
    elif len(found) > 1:
        report.differences.append(f"{where}: minted {len(found)} times")
    elif on_chain and not paid:
        report.differences.append(f"{where}: minted, and the payment is not completed")
    elif found and found[0].to != row["payer_address"]:
        report.differences.append(f"{where}: minted to {found[0].to}")
    elif not on_chain and row["status"] == "completed":
        report.differences.append(f"{where}: it is completed, and the chain has no such mint")
    elif not on_chain and paid and row["status"] == "failed":
        report.differences.append(f"{where}: paid for, and given up")
    elif not on_chain and paid:
        report.count("mints on their way", 1)


def _quantities(ledger: Ledger, report: Report) -> None:
    rows: dict[Any, int] = defaultdict(int)
    for row in ledger.mints:
        rows[row["payment_id"]] += 1
    for payment in ledger.payments:
        completed = payment["status"] == PaymentStatus.COMPLETED
        queued = rows[payment["id"]]
        if completed and payment["payment_type"] == "mint" and queued != payment["quantity"]:
            # What another program completed before we knew of it, that program delivered.
            before_us = payment["by_hand"] and payment["final"] and payment["block_number"] is None
            (report.notes if before_us else report.differences).append(
                f"payment {payment['id']}: {payment['quantity']} mints were paid for,"
                f" {queued} are queued"
            )
