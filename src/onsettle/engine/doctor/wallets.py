"""Our keys on one network: gas money, and whether anybody else uses them."""

from collections.abc import Iterable
from decimal import Decimal

from onsettle.chain.endpoint import Endpoint
from onsettle.chain.jsonrpc import Call, RpcError, RpcUnavailable
from onsettle.engine.doctor.findings import Findings
from onsettle.engine.network import number
from onsettle.store.database import Database, Record

# A transfer by one of our wallets, with room; used where nothing was sent yet.
_GAS = 150_000
_FEW_HOURS = 24
_DAY_HOURS = 24
_YEAR_HOURS = 365 * _DAY_HOURS


async def check_wallets(
    found: Findings,
    endpoint: Endpoint,
    chain_id: int,
    wallets: Iterable[tuple[str, str]],
    db: Database | None,
) -> None:
    """`wallets` are (address, role)."""
    spent = {}
    if db is not None:
        spent = {row["wallet"]: row for row in await db.fetch("doctor_wallets", chain_id)}
    for address, role in wallets:
        try:
            await _wallet(found, endpoint, address, role, spent.get(address))
        except (RpcError, RpcUnavailable) as error:
            found.warn("wallet", str(error), "check the endpoint", address)


async def _wallet(
    found: Findings, endpoint: Endpoint, address: str, role: str, spent: Record | None
) -> None:
    answers = await endpoint.batch(
        [
            Call("eth_getBalance", (address, "latest")),
            Call("eth_gasPrice", ()),
            Call("eth_getTransactionCount", (address, "latest")),
            Call("eth_getTransactionCount", (address, "pending")),
            Call("eth_getCode", (address, "latest")),
        ]
    )
    balance, price, latest, pending = (number(answer) for answer in answers[:4])
    check_gas(found, address, role, balance, price, spent)
    if answers[4] not in ("0x", None):
        found.warn(
            "wallet",
            "its account is delegated (EIP-7702): nodes keep one transaction of it at a time",
            "use a plain key",
            address,
        )
    check_foreign_use(found, address, latest, pending, spent)


def check_gas(
    found: Findings, address: str, role: str, balance: int, price: int, spent: Record | None
) -> None:
    gas = int(spent["gas"]) if spent is not None and spent["gas"] else _GAS
    cost = max(1, gas * price)
    lasts = balance // cost
    if not lasts:
        found.fail(
            "gas",
            f"holds {_ether(balance)}, one transaction needs {_ether(cost)}",
            "send it gas money: what it has signed waits, the other wallets go on",
            address,
        )
        return
    words = f"{role}, holds {_ether(balance)}: {lasts} transactions"
    if spent is None or not spent["mined"]:
        found.ok("gas", words, address)
        return
    # A wallet that began an hour ago has sent nothing in the rest of the day, and one that began a
    # minute ago says little about an hour.
    span = min(_DAY_HOURS, max(1, round(spent["age_s"] / 3600)))
    hours = lasts * span // spent["mined"]
    words += f", {_time(hours)} at the rate of the last {_span(span)}"
    if hours < _FEW_HOURS:
        found.warn("gas", words, "send it gas money", address)
    else:
        found.ok("gas", words, address)


def check_foreign_use(
    found: Findings, address: str, latest: int, pending: int, spent: Record | None
) -> None:
    top = spent["top"] if spent is not None else None
    signs = []
    if top is not None and latest > top:
        signs.append(f"the chain counts {latest} transactions, our last is number {top}")
    if pending > max(latest, top or 0):
        signs.append(f"{pending - max(latest, top or 0)} that are not ours wait in the pool")
    if spent is not None and spent["replaced"]:
        signs.append(f"{spent['replaced']} nonces of ours were taken in the last week")
    if signs:
        found.warn(
            "foreign use",
            "; ".join(signs),
            "use this key here only; where one database was restored, this is what was lost",
            address,
        )
    else:
        found.ok("foreign use", "none seen", address)


def _time(hours: int) -> str:
    if hours > _YEAR_HOURS:
        return "more than a year"
    return "less than an hour" if hours < 1 else f"{hours} hour{'s' if hours > 1 else ''}"


def _span(hours: int) -> str:
    return {_DAY_HOURS: "day", 1: "hour"}.get(hours, f"{hours} hours")


def _ether(wei: int) -> str:
    return f"{Decimal(wei) / 10**18:.6f} of the chain's coin"
