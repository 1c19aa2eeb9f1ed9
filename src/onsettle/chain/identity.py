"""Which chain a node is of."""

import re
from collections.abc import Sequence

from onsettle.chain.jsonrpc import Call

#: The chain id and the hash of its first block: test chains share ids.
Identity = tuple[int, str]

#: What a node is asked for it.
QUESTIONS = (Call("eth_chainId"), Call("eth_getBlockByNumber", ("0x0", False)))

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,16}")


def identity_of(answers: Sequence[object]) -> Identity:
    """What the answers to QUESTIONS say. Raises ValueError, in words, where they do not."""
    chain_id, first = answers
    if not isinstance(chain_id, str) or not _QUANTITY.fullmatch(chain_id):
        raise ValueError(f"it does not say its chain id: {_short(chain_id)}")
    genesis = first.get("hash") if isinstance(first, dict) else None
    if not isinstance(genesis, str):
        raise ValueError(f"it does not show its first block: {_short(first)}")
    return int(chain_id, 16), genesis


def another(found: Identity, wanted: Identity) -> str:
    """What an operator is told of a node that is of another chain."""
    return (
        f"it is of another chain, {found[0]} with first block {found[1][:10]}…, and not of"
        f" {wanted[0]} with {wanted[1][:10]}…: it is not used"
    )


def _short(answer: object) -> str:
    return str(answer)[:80]
