"""A payment that waits, as the sender sees it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from onsettle.chain.abi import transfer_with_authorization
from onsettle.domain.authorization import Authorization
from onsettle.store.database import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """`alone` says that it must have a transaction of its own; `call` is what settles it.

    `opening`: its window has opened since the last block, so that this block's state refuses it.
    `contract`: its payer has code.
    """

    id: UUID
    asset: str
    authorization: Authorization
    call: bytes
    alone: bool
    created_at: datetime
    opening: bool = False
    contract: bool = False

    @property
    def purse(self) -> tuple[str, str]:
        """Whose balance it is paid from: (payer, asset)."""
        return self.authorization.payer, self.asset

    @property
    def plain(self) -> bool:
        """Whether a key signed it, so that its gas is like everybody's."""
        return len(self.authorization.signature) == 65 and not self.contract


def candidate(row: Record) -> Candidate:
    """From a row of `candidates.sql`. What failed in a pack goes alone."""
    authorization = Authorization(
        payer=row["payer"],
        pay_to=row["pay_to"],
        value=int(row["amount"]),
        valid_after=row["valid_after"],
        valid_before=row["valid_before"],
        nonce=row["authorization_nonce"],
        signature=bytes.fromhex(row["signature"][2:]),
    )
    return Candidate(
        id=row["id"],
        asset=row["payment_token_address"],
        authorization=authorization,
        call=transfer_with_authorization(authorization),
        alone=row["alone"] or row["rounds"] > 0,
        created_at=row["created_at"],
    )
