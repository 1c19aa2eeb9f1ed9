"""The messages that a completed payment leaves, and those who are told."""

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from onsettle.domain.authorization import payment_id
from onsettle.domain.delivery import message_id
from onsettle.engine.fulfilment import COMPLETED
from tests.model.chain import ASSET, Identity

#: Each is told of every completed payment.
CHANNELS = ("webhook", "handler")


def id_of(identity: Identity, channel: str) -> UUID:
    payer, nonce = identity
    payment = payment_id(chain_id=1, asset=ASSET, payer=payer, nonce=nonce)
    return message_id(payment, COMPLETED, channel)


@dataclass(slots=True, kw_only=True)
class Message:
    """A row of the outbox."""

    payment: str
    channel: str
    status: str = "pending"


@dataclass(slots=True, kw_only=True)
class Listeners:
    """What has arrived, by payment and channel: how often under which id. No backup undoes it."""

    heard: dict[tuple[str, str], Counter[UUID]] = field(default_factory=dict)

    def tell(self, id_: UUID, message: Message) -> None:
        self.heard.setdefault((message.payment, message.channel), Counter())[id_] += 1
