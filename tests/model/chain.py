"""A chain as far as payments see it: blocks, nonces, authorizations, a pool, reorgs."""

from dataclasses import dataclass, field

from onsettle.domain.evidence import AuthorizationCanceled, AuthorizationUsed, ChainEvent, Transfer

ASSET = "0x" + "a5" * 20
WALLET = "0x" + "3a" * 20
BLOCK_S = 10

#: (payer, authorization nonce)
Identity = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    payer: str
    nonce: str
    pay_to: str
    amount: int
    valid_before: int

    @property
    def identity(self) -> Identity:
        return self.payer, self.nonce


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """`nonce` is of our wallet; None: a stranger's. It pays, or cancels, or mints, or nothing."""

    hash: str
    nonce: int | None = None
    pays: tuple[Authorization, ...] = ()
    cancels: Identity | None = None
    mints: tuple[str, ...] = ()
    max_fee: int = 0
    priority: int = 0
    foreign: bool = False


@dataclass(slots=True, kw_only=True)
class Block:
    number: int
    hash: str
    time: int
    transactions: list[Transaction] = field(default_factory=list)
    #: Hashes of those that reverted as a whole.
    reverted: set[str] = field(default_factory=set)
    events: list[ChainEvent] = field(default_factory=list)
    minted: set[str] = field(default_factory=set)


class ModelChain:
    """Everything that is canonical is in `blocks`."""

    def __init__(self) -> None:
        self.blocks = [Block(number=0, hash="b0", time=1_000)]
        self.pool: dict[int, Transaction] = {}
        #: Payers whose transfers the token refuses at the moment.
        self.frozen: set[str] = set()
        self._made = 0

    @property
    def head(self) -> Block:
        return self.blocks[-1]

    def holds(self, number: int, hash_: str) -> bool:
        return number < len(self.blocks) and self.blocks[number].hash == hash_

    def count(self, number: int) -> int:
        """The wallet's nonce count at a block."""
        return sum(t.nonce is not None for b in self.blocks[: number + 1] for t in b.transactions)

    def events(self, identity: Identity, number: int) -> list[ChainEvent]:
        """The use or cancellation of an authorization up to a block, with its transfers."""
        marks = [
            e
            for b in self.blocks[: number + 1]
            for e in b.events
            if isinstance(e, AuthorizationUsed | AuthorizationCanceled)
            and (e.payer, e.nonce) == identity
        ]
        if not marks:
            return []
        return [e for b in self.blocks for e in b.events if e.tx_hash == marks[0].tx_hash]

    def state(self, identity: Identity, number: int) -> bool:
        """`authorizationState` at a block."""
        return bool(self.events(identity, number))

    def minted(self, key: str, number: int) -> bool:
        return any(key in b.minted for b in self.blocks[: number + 1])

    def receipt(self, hash_: str) -> tuple[Block, bool] | None:
        """The canonical block of a transaction, and whether it reverted."""
        for block in self.blocks:
            if any(t.hash == hash_ for t in block.transactions):
                return block, hash_ in block.reverted
        return None

    def charged(self, authorization: Authorization, number: int) -> int:
        """How often this very payment was made up to a block."""
        return sum(
            isinstance(e, Transfer)
            and (e.sender, e.recipient, e.value)
            == (authorization.payer, authorization.pay_to, authorization.amount)
            and any(
                isinstance(u, AuthorizationUsed) and (u.payer, u.nonce) == authorization.identity
                for u in b.events
                if u.tx_hash == e.tx_hash and u.log_index == e.log_index - 1
            )
            for b in self.blocks[: number + 1]
            for e in b.events
        )

    def offer(self, transaction: Transaction) -> str:
        """What a node says to our bytes: "" when it takes them."""
        nonce = transaction.nonce
        assert nonce is not None
        if nonce < self.count(self.head.number):
            return "nonce too low"
        held = self.pool.get(nonce)
        if held is not None and held.hash == transaction.hash:
            return "already known"
        if held is not None and (
            transaction.max_fee * 10 < held.max_fee * 11
            or transaction.priority * 10 < held.priority * 11
        ):
            return "replacement transaction underpriced"
        self.pool[nonce] = transaction
        return ""

    def mine(self, *, first: tuple[Transaction, ...] = (), most: int = 100, wait: int = 0) -> Block:
        """A block: strangers first, then up to `most` of the pool, in the order of nonces."""
        self._made += 1
        time = self.head.time + BLOCK_S + wait
        block = Block(number=self.head.number + 1, hash=f"b{self._made}", time=time)
        self.blocks.append(block)
        for transaction in first:
            self._run(block, transaction)
        for _ in range(most):
            ours = self.pool.pop(self.count(block.number), None)
            if ours is None:
                break
            self._run(block, ours)
        self.pool = {n: t for n, t in self.pool.items() if n >= self.count(block.number)}
        return block

    def _run(self, block: Block, transaction: Transaction) -> None:
        if transaction.nonce is not None and transaction.nonce != self.count(block.number):
            return
        block.transactions.append(transaction)
        if transaction.cancels and not self.state(transaction.cancels, block.number):
            payer, nonce = transaction.cancels
            self._log(block, AuthorizationCanceled, transaction, payer=payer, nonce=nonce)
        good = [a for a in transaction.pays if self._pay(block, transaction, a)]
        if transaction.pays and not good and len(transaction.pays) == 1:
            block.reverted.add(transaction.hash)
        for key in transaction.mints:
            if not self.minted(key, block.number):
                block.minted.add(key)

    def _pay(self, block: Block, transaction: Transaction, auth: Authorization) -> bool:
        if (
            block.time >= auth.valid_before
            or auth.payer in self.frozen
            or self.state(auth.identity, block.number)
        ):
            return False
        self._log(block, AuthorizationUsed, transaction, payer=auth.payer, nonce=auth.nonce)
        self._log(
            block,
            Transfer,
            transaction,
            sender=auth.payer,
            recipient=auth.pay_to,
            value=auth.amount,
        )
        return True

    def _log(
        self, block: Block, kind: type[ChainEvent], transaction: Transaction, **fields: object
    ) -> None:
        where = {
            "address": ASSET,
            "tx_hash": transaction.hash,
            "block_number": block.number,
            "block_hash": block.hash,
            "log_index": len(block.events),
        }
        block.events.append(kind(**where, **fields))  # type: ignore[arg-type]

    def reorg(self, depth: int, *, returning: bool, most: int = 0) -> None:
        """Another branch wins, one block longer and with clocks of its own.

        The transactions of the lost blocks go back to the pool, or are forgotten; up to `most` of
        the pool are in the first block of the new branch.
        """
        depth = min(depth, len(self.blocks) - 1)
        dropped = [t for b in self.blocks[len(self.blocks) - depth :] for t in b.transactions]
        del self.blocks[len(self.blocks) - depth :]
        if returning:
            for transaction in dropped:
                if transaction.nonce is not None:
                    self.pool.setdefault(transaction.nonce, transaction)
        for at in range(depth + 1):
            self.mine(most=0 if at else most)
