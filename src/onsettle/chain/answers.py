"""What a node's answer to `eth_sendRawTransaction` says about our bytes.

Every node words it differently and the codes say little (-32000 for nearly everything), so the
texts decide. The rules are tried in order; the first that matches wins.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from onsettle.chain.jsonrpc import RateLimited, RpcError, RpcUnavailable, is_rate_limit

_LONGEST = 300


class SendKind(StrEnum):
    """Each kind is another fact, with another consequence."""

    #: The node has taken these bytes.
    ACCEPTED = "accepted"
    #: The node had these very bytes already.
    ALREADY_KNOWN = "already_known"
    #: This nonce is used on the chain, by these bytes or by others.
    NONCE_TOO_LOW = "nonce_too_low"
    #: The node wants the nonces before this one first.
    NONCE_TOO_HIGH = "nonce_too_high"
    #: The node holds OTHER bytes with this nonce, and these pay too little to replace them.
    REPLACEMENT_UNDERPRICED = "replacement_underpriced"
    #: The fees are below what the node or the next block asks for.
    UNDERPRICED = "underpriced"
    #: The wallet can't pay for the gas.
    INSUFFICIENT_FUNDS = "insufficient_funds"
    #: No room for this wallet now: the pool, or a limit on transactions in flight, is full.
    POOL_FULL = "pool_full"
    #: The node did not look at the bytes: we ask too often.
    RATE_LIMITED = "rate_limited"
    #: These bytes can never be taken on this chain.
    REJECTED = "rejected"
    #: Nothing is known: the node may have the bytes or not.
    UNKNOWN = "unknown"

    @property
    def has_bytes(self) -> bool:
        """Whether a node has acknowledged that it holds the bytes."""
        return self in (SendKind.ACCEPTED, SendKind.ALREADY_KNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendAnswer:
    """One classified answer: `text` is the node's (or our) wording, `endpoint` a name."""

    kind: SendKind
    text: str
    endpoint: str = ""


# The text of a contract's revert may say anything, "nonce too low" too: it proves nothing. (Code 3
# alone is no revert: zkSync answers it for every refused transaction.)
_REVERT = re.compile(r"revert|vm exception")

_RULES: tuple[tuple[SendKind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile("|".join(patterns)))
    for kind, patterns in (
        (
            SendKind.ALREADY_KNOWN,
            (
                r"already ?known",
                r"\bknown transaction",
                r"already imported",
                r"already in (the )?(mem|tx|transaction )?pool",
                r"already in the (system|queue)",
                r"same hash",
                r"duplicate transaction",
                r"(tx|transaction) already exists",
                r"^already[ _]exists",
            ),
        ),
        (
            SendKind.REPLACEMENT_UNDERPRICED,
            (
                r"replacement[ _].*(underpriced|too low)",
                r"replacement ?not ?allowed",
                r"could not replace existing",
                r"to replace existing",
                r"too low to replace",
                r"priority is too low",
                r"(too low|underpriced).*(another transaction|same nonce|replac)",
                r"same nonce (is )?already",
            ),
        ),
        (
            SendKind.NONCE_TOO_HIGH,
            (
                r"nonce[ _](is )?too[ _](high|far|distant)",
                r"nonce is too distant",
                r"noncetoofarinfuture",
                r"nonce ?gap",
                r"gapped.?nonce",
                r"nonce is higher than",
                r"lower nonce exists",
                r"future transaction tries to replace",
            ),
        ),
        (
            SendKind.NONCE_TOO_LOW,
            (
                r"nonce[ _](is |value )?too[ _](low|small|old)",
                r"old ?nonce",
                r"stale nonce",
                r"nonce (has )?(already )?(been )?used",
                r"nonce .*(below|lower than) (the )?(current|account|sender)",
            ),
        ),
        (
            SendKind.POOL_FULL,
            (
                r"pool (is )?(full|overflow)",
                r"pool[ _]full",
                r"pool[ _]?overflow",
                r"too many transactions in the (pool|queue)",
                r"in-?flight transaction limit",
                r"already reserved",
                r"pool size constraint",
                r"account.?slots",
                r"as a?\s?spammer",
                r"delegator ?has ?pending",
                r"notcurrentnoncefordelegation",
                r"pendingtxsofconflictingtype",
            ),
        ),
        (
            SendKind.INSUFFICIENT_FUNDS,
            (
                r"insufficient[ _]?(funds|balance)",
                r"insufficient[ _]eth",
                r"upfront[ _]cost[ _]exceeds",
                r"not enough (funds|balance)",
                r"enough funds",
                r"exceeds (the )?(account |sender )?balance",
            ),
        ),
        (
            SendKind.REJECTED,
            (
                r"priority ?fee .*(higher|greater|above|exceeds).*max ?fee",
                r"tip (higher|above|greater|over).*fee ?cap",
                r"intrinsic gas",
                r"intrinsic_gas",
                r"floor data gas",
                r"block('s)? gas limit",
                r"exceeds_block_gas_limit",
                r"gas ?limit ?(is )?(exceeded|too high|above)",
                r"(max|maximum|per-transaction|per transaction).* gas limit",
                r"invalid sender",
                r"failed ?to ?resolve ?sender",
                r"sender ?(is )?(a )?contract",
                r"sender (is )?not an eoa",
                r"invalid signature",
                r"(invalid|wrong|incorrect|mismatched) chain ?id",
                r"chain ?id (mismatch|does not match|doesn't match)",
                r"(type|tx type|transaction type)( is)? not supported",
                r"(unsupported|invalid) (transaction|tx) type",
                r"notsupportedtxtype",
                r"maxtxsizeexceeded",
                r"replay.?protected",
                r"oversized data",
                r"transaction size exceeds",
                r"nonce has max value",
            ),
        ),
        (
            SendKind.UNDERPRICED,
            (
                r"underpriced",
                r"fee[ _]?too[ _]?low",
                r"(less|lower|below|lesser).*base ?_?fee",
                r"base[ _]fee exceeds",
                r"gas[ _]price[ _](is )?(too[ _]low|below)",
                r"(gas price|fee ?cap|tip|fee).*below.*minimum",
                r"(gas price|fee|tip) .*too low",
                r"max ?fee ?per ?gas.*(too low|less than)",
            ),
        ),
    )
)


def classify(answer: object, expected_hash: str, endpoint: str = "") -> SendAnswer:
    """What `answer` (a result, an RpcError or an RpcUnavailable) says about the bytes sent.

    `expected_hash` is the hash of these bytes: a node that answers another one has proved nothing.
    """
    match answer:
        case RateLimited():
            kind, text = SendKind.RATE_LIMITED, answer.reason
        case RpcUnavailable():
            kind, text = SendKind.UNKNOWN, answer.reason
        case RpcError():
            kind, text = _kind(answer), str(answer)
        case str() if answer.lower() == expected_hash:
            kind, text = SendKind.ACCEPTED, ""
        case _:
            kind, text = SendKind.UNKNOWN, f"answered another hash than ours: {answer!r}"
    line = "".join(c if c.isprintable() else " " for c in text[:_LONGEST])
    return SendAnswer(kind=kind, text=line, endpoint=endpoint)


def _kind(error: RpcError) -> SendKind:
    text = " ".join((error.message, *_inner_texts(error.data))).lower()
    if _REVERT.search(text):
        return SendKind.UNKNOWN
    for kind, pattern in _RULES:
        if pattern.search(text):
            return kind
    return SendKind.RATE_LIMITED if is_rate_limit(error) else SendKind.UNKNOWN


def _inner_texts(data: object, depth: int = 4) -> Iterator[str]:
    """Texts inside an error's data: proxies answer "internal error" and put the node's words there.

    Hex (bytes that a contract returned) is left out.
    """
    if depth == 0:
        return
    if isinstance(data, str) and not data.startswith("0x"):
        yield data[:1000]
    elif isinstance(data, dict):
        for key in ("message", "reason", "error", "cause", "originalError", "data"):
            yield from _inner_texts(data.get(key), depth - 1)
