"""Raw `eth_getLogs` entries as evidence.

A node's answer is checked, not trusted: what is malformed, unknown or marked as removed is no
evidence, and is dropped.
"""

import re
from typing import TypedDict

from onsettle.chain.abi import (
    TOPIC_AUTHORIZATION_CANCELED,
    TOPIC_AUTHORIZATION_USED,
    TOPIC_TOKENS_MINTED,
    TOPIC_TRANSFER,
)
from onsettle.domain.evidence import (
    AuthorizationCanceled,
    AuthorizationUsed,
    ChainEvent,
    Minted,
    Transfer,
)

# All that must be in a log, in one pattern: there are three logs for each payment.
_WHOLE = re.compile(
    r"0x[0-9a-f]{40} 0x[0-9a-f]{64} 0x[0-9a-f]{1,16} 0x[0-9a-f]{64} 0x[0-9a-f]{1,16}"
    r" 0x([0-9a-f]{64})*( 0x[0-9a-f]{64})+"
)
_PADDED_ADDRESS = "0x" + "0" * 24


class _Place(TypedDict):
    address: str
    tx_hash: str
    block_number: int
    block_hash: str
    log_index: int


def decode_logs(entries: object) -> list[ChainEvent]:
    """All known events of an `eth_getLogs` answer, in the order of the chain.

    Raises ValueError when the answer is not a list: that is no answer at all, not "no events".
    """
    if not isinstance(entries, list):
        raise ValueError("the answer to eth_getLogs is not a list")
    events = [event for entry in entries if (event := decode_log(entry)) is not None]
    events.sort(key=lambda event: (event.block_number, event.log_index))
    return events


def decode_log(entry: object) -> ChainEvent | None:
    """The event of one log entry, or None when it is not one that we know, whole and canonical."""
    if not isinstance(entry, dict) or entry.get("removed") not in (None, False):
        return None
    try:
        fields = (
            entry["address"],
            entry["transactionHash"],
            entry["blockNumber"],
            entry["blockHash"],
            entry["logIndex"],
            entry["data"],
            *entry["topics"],
        )
        whole = " ".join(fields).lower()
        if _WHOLE.fullmatch(whole) is None:
            return None
        address, tx_hash, number, block_hash, index, data, *words = whole.split(" ")
        place: _Place = {
            "address": address,
            "tx_hash": tx_hash,
            "block_number": int(number, 16),
            "block_hash": block_hash,
            "log_index": int(index, 16),
        }
        return _event(words, data, place)
    except (KeyError, TypeError, ValueError):
        return None


def _event(words: list[str], data: str, place: _Place) -> ChainEvent | None:
    if not words:
        return None
    kind, *indexed = words
    if kind == TOPIC_TRANSFER and len(indexed) == 2 and len(data) == 66:
        sender, recipient = map(_address, indexed)
        return Transfer(**place, sender=sender, recipient=recipient, value=int(data, 16))
    if kind == TOPIC_AUTHORIZATION_USED and len(indexed) == 2:
        return AuthorizationUsed(**place, payer=_address(indexed[0]), nonce=indexed[1])
    if kind == TOPIC_AUTHORIZATION_CANCELED and len(indexed) == 2:
        return AuthorizationCanceled(**place, payer=_address(indexed[0]), nonce=indexed[1])
    if kind == TOPIC_TOKENS_MINTED:
        return _minted(indexed, data, place)
    return None


def _minted(indexed: list[str], data: str, place: _Place) -> Minted | None:
    # No standard says which arguments are indexed. Recipient and amount keep their order, and the
    # key is a hash: the one word that is longer than an address. Where none is, or several are,
    # it stands where most tokens have it.
    words = [*indexed, *_split(data)]
    if len(words) != 3:
        return None
    long = [at for at, word in enumerate(words) if not word.startswith(_PADDED_ADDRESS)]
    usual = 1 if len(indexed) == 2 else 2
    key = words.pop(long[0] if len(long) == 1 else usual)
    to, amount = words
    return Minted(**place, to=_address(to), amount=int(amount, 16), key=key)


def _split(data: str) -> list[str]:
    return ["0x" + data[start : start + 64] for start in range(2, len(data), 64)]


def _address(word: str) -> str:
    if not word.startswith(_PADDED_ADDRESS):
        raise ValueError("this word is not an address")
    return "0x" + word[26:]
