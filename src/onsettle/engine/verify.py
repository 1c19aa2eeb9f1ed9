"""The audit: the books against the chain, read anew. Changes nothing and trusts no loop."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.domain.evidence import ChainEvent, Minted, Transfer
from onsettle.domain.outcome import Use, pays, uses
from onsettle.domain.payment import PaymentStatus
from onsettle.engine.history import read_events
from onsettle.engine.ledger import Ledger, read_ledger
from onsettle.engine.network import Network
from onsettle.store.database import Database, Record


@dataclass(slots=True, kw_only=True)
class Report:
    """`differences` and `not_checked` are sentences; `checked` counts what was compared."""

    differences: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """No difference, and nothing that could not be compared."""
        return not self.differences and not self.not_checked

    def count(self, what: str, number: int) -> None:
        self.checked[what] = self.checked.get(what, 0) + number


async def verify(db: Database, networks: Mapping[int, Network]) -> Report:
    """Compare what the database says with what each chain says."""
    report = Report()
    for chain_id, network in networks.items():
        # The books first: the chain may only be ahead of them, never behind.
        ledger = await read_ledger(db, chain_id)
        _journals(ledger, report)
        try:
            await _network(network, ledger, report)
        except (RpcError, RpcUnavailable) as error:
            report.not_checked.append(f"chain {chain_id}: {error}")
    return report


async def _network(network: Network, ledger: Ledger, report: Report) -> None:
    endpoint = network.pool.best()
    head = int(str(await endpoint.call("eth_blockNumber")), 16)
    if ledger.cursor is not None and head < ledger.cursor:
        report.not_checked.append(
            f"chain {ledger.chain_id}: {endpoint.name} is at block {head}, behind the books"
        )
        return
    events, gap = await read_events(endpoint, _addresses(network, ledger), ledger.first_block, head)
    if gap is not None:
        # What was not read can't be told from what does not exist: nothing is judged from a part.
        report.not_checked.append(f"chain {ledger.chain_id}, {gap}")
        return
    found = uses(events)
    _payments(ledger, found, report)
    _foreign_transfers(ledger, events, found, report)
    _mints(ledger, [event for event in events if isinstance(event, Minted)], report)
    await _nonces(network, ledger, report)


def _addresses(network: Network, ledger: Ledger) -> list[str]:
    found = {*network.config.assets, *(token.address for token in network.config.mint_tokens)}
    found.update(row["payment_token_address"] for row in ledger.payments)
    found.update(row["token_address"] for row in ledger.mints if row["token_address"])
    return sorted(address.lower() for address in found)


def _journals(ledger: Ledger, report: Report) -> None:
    report.count("journals", len(ledger.payments))
    report.differences.extend(
        f"payment {row['id']}: its events do not replay to its status"
        for row in ledger.bad_journals
    )


def _payments(ledger: Ledger, found: Iterable[Use], report: Report) -> None:
    by_identity: dict[tuple[str, str, str], list[Use]] = defaultdict(list)
    for use in found:
        by_identity[use.event.address, use.event.payer, use.event.nonce].append(use)
    report.count("payments", len(ledger.payments))
    for row in ledger.payments:
        key = (row["payment_token_address"], row["payer"], row["authorization_nonce"])
        if (difference := _payment(row, by_identity[key], ledger.judged_until)) is not None:
            report.differences.append(f"payment {row['id']}: {difference}")


def _payment(row: Record, found: list[Use], judged_until: int) -> str | None:
    if len(found) > 1:
        hashes = ", ".join(use.event.tx_hash for use in found)
        return f"its authorization was used {len(found)} times: {hashes}"
    paid = [u for u in found if pays(u, pay_to=row["pay_to"], amount=int(row["amount"]))]
    completed = row["status"] == PaymentStatus.COMPLETED
    if completed and not paid:
        # A reorg withdraws the block first and keeps the status, not final, until it is decided.
        withdrawn = row["block_number"] is None and not row["final"]
        return None if withdrawn else "it is completed, and the chain has no transfer that pays it"
    if paid and not completed and paid[0].event.block_number <= judged_until:
        return f"it is {row['status']}, and {paid[0].event.tx_hash} on the chain pays it"
    return None


def _foreign_transfers(
    ledger: Ledger, events: Iterable[ChainEvent], found: Iterable[Use], report: Report
) -> None:
    """Every token transfer in our payment transactions belongs to a payment."""
    ours = {row["mined_hash"]: row for row in ledger.mined if row["kind"] == "payment"}
    identities = {
        (row["payment_token_address"], row["payer"], row["authorization_nonce"])
        for row in ledger.payments
    }
    paid = {
        (use.transfer.tx_hash, use.transfer.log_index)
        for use in found
        if use.transfer is not None
        and (use.event.address, use.event.payer, use.event.nonce) in identities
    }
    for event in events:
        place = (event.tx_hash, event.log_index)
        if isinstance(event, Transfer) and event.tx_hash in ours and place not in paid:
            report.differences.append(
                f"transaction {event.tx_hash}: its transfer at log {event.log_index}"
                " belongs to no payment"
            )


def _mints(ledger: Ledger, minted: list[Minted], report: Report) -> None:
    on_chain: dict[tuple[str, str], list[Minted]] = defaultdict(list)
    for event in minted:
        on_chain[event.address, event.key].append(event)
    rows: dict[Any, list[Record]] = defaultdict(list)
    for row in ledger.mints:
        rows[row["payment_id"]].append(row)
    report.count("mints", len(ledger.mints))
    known = {(row["token_address"], row["key"]) for row in ledger.mints}
    hashes = {row["mined_hash"] for row in ledger.mined}
    for place, found in on_chain.items():
        if place not in known and any(event.tx_hash in hashes for event in found):
            report.differences.append(f"mint {place[1]}: we minted it, and no payment asked for it")
    payments = {row["id"]: row for row in ledger.payments}
    for payment, own in rows.items():
        completed = payment in payments and payments[payment]["status"] == PaymentStatus.COMPLETED
        for row in own:
            _mint(row, on_chain[row["token_address"], row["key"]], completed, report)
    for payment in ledger.payments:
        if payment["status"] == PaymentStatus.COMPLETED and payment["payment_type"] == "mint":
            _quantity(payment, len(rows[payment["id"]]), report)


def _quantity(payment: Record, rows: int, report: Report) -> None:
    if rows != payment["quantity"]:
        report.differences.append(
            f"payment {payment['id']}: {payment['quantity']} mints were paid for, {rows} are queued"
        )


def _mint(row: Record, found: list[Minted], completed: bool, report: Report) -> None:
    where = f"mint {row['id']} of payment {row['payment_id']}"
    if len(found) > 1:
        report.differences.append(f"{where}: minted {len(found)} times")
    elif found and not completed:
        report.differences.append(f"{where}: minted, and the payment is not completed")
    elif found and found[0].to != row["payer_address"]:
        report.differences.append(f"{where}: minted to {found[0].to}")
    elif not found and row["status"] == "completed":
        report.differences.append(f"{where}: it is completed, and the chain has no such mint")
    elif not found and completed and row["status"] == "failed":
        report.differences.append(f"{where}: paid for, and given up")
    elif not found and completed:
        report.count("mints on their way", 1)


async def _nonces(network: Network, ledger: Ledger, report: Report) -> None:
    report.count("transactions", ledger.transactions)
    endpoint = network.pool.best()
    for row in ledger.missing_nonces:
        answer = await endpoint.call("eth_getTransactionCount", row["wallet"], "latest")
        used = int(cast("str", answer), 16)
        fate = "used by a transaction that is not ours" if row["last"] < used else "a gap"
        report.differences.append(
            f"wallet {row['wallet']}: nonces {row['first']} to {row['last']} are in no row: {fate}"
        )
