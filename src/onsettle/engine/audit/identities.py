"""Promises 2, 6 and 9: ids and keys are derived again, and columns say what was signed.

Of rows that are ours. What another program wrote came with ids of its own, and is compared with
what was signed when it is taken over.
"""

import hashlib
from collections.abc import Mapping

from onsettle.domain.authorization import payment_id
from onsettle.domain.delivery import message_id
from onsettle.engine.audit.ledger import Ledger
from onsettle.engine.audit.report import Report
from onsettle.engine.choice import FAR
from onsettle.store.database import Record


def check_identities(ledger: Ledger, report: Report) -> None:
    for row in ledger.payments:
        for problem in _payment(row, ledger.chain_id):
            report.differences.append(f"payment {row['id']}: {problem}")
    for row in ledger.mints:
        if row["unit"] is not None and row["key"] != unit_key(row):
            report.differences.append(
                f"mint {row['id']} of payment {row['payment_id']}: its key {row['key']}"
                f" is not the one of unit {row['unit']}"
            )
    for row in ledger.outbox:
        if row["id"] is not None and row["id"] != _message(row):
            report.differences.append(
                f"message {row['id']} of payment {row['payment_id']}: its id is not the one of its"
                " event"
            )


def unit_key(row: Record) -> str:
    """The bytes32 under which this unit of a payment is minted."""
    return "0x" + hashlib.sha256(f"{row['payment_id']}:{row['unit']}".encode()).hexdigest()


def _message(row: Record) -> object:
    return message_id(row["payment_id"], row["event"], row["channel"], row["version"])


def _payment(row: Record, chain_id: int) -> list[str]:
    problems: list[str] = []
    derived = payment_id(
        chain_id=chain_id,
        asset=row["payment_token_address"],
        payer=row["payer"],
        nonce=row["authorization_nonce"],
    )
    if not row["by_hand"] and row["id"] != derived:
        problems.append("its id is not the one of its identity")
    # A row of another program is checked before it is sent; what it completed itself never was.
    theirs = row["by_hand"] and row["final"] and row["block_number"] is None
    if not row["unchecked"] and not theirs:
        signed = row["authorization"] if isinstance(row["authorization"], Mapping) else {}
        for column, value in _columns(signed).items():
            if row[column] != value:
                problems.append(f"its {column} is {row[column]}, and {value} was signed")
    return problems


def _columns(signed: Mapping[str, object]) -> dict[str, object]:
    """What the columns must say, given the stored authorization."""
    return {
        "payer": str(signed.get("from")).lower(),
        "pay_to": str(signed.get("to")).lower(),
        "authorization_nonce": str(signed.get("nonce")).lower(),
        "amount": _whole(signed.get("value")),
        "valid_after": _time(signed.get("validAfter")),
        "valid_before": _time(signed.get("validBefore")),
    }


def _whole(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else None


def _time(value: object) -> int | None:
    """Far times are stored as the farthest one that a column holds."""
    time = _whole(value)
    return None if time is None else min(time, FAR)
