"""Onsettle in a Python program: submit, wait, be told."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import UUID

from onsettle.config import Config, load
from onsettle.domain.payment import PaymentStatus
from onsettle.engine.handlers import HandlerCourier
from onsettle.engine.watch import Watch
from onsettle.local.database import configured
from onsettle.log import into_logging
from onsettle.runtime import Engine
from onsettle.store.database import UNAVAILABLE, Record

_OVER = (PaymentStatus.FAILED, PaymentStatus.CONFIRMATION_FAILED)
_DECIDED = (PaymentStatus.COMPLETED, *_OVER)
_AGAIN_S = 0.5


class PaymentFailed(Exception):
    """A payment did not complete. `payment.final` says whether it still may."""

    def __init__(self, payment: "Payment") -> None:
        super().__init__(f"payment {payment.id} is {payment.status}: {payment.error}")
        self.payment = payment


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment as it was when it was read. `amount` is in atomic units of the asset."""

    id: UUID
    status: PaymentStatus
    #: Nothing on any chain can change it any more.
    final: bool
    payment_type: str
    #: CAIP-2.
    network: str
    asset: str
    payer: str
    pay_to: str
    amount: int
    authorization_nonce: str
    token_address: str | None
    metadata: dict[str, Any]
    tx_hash: str | None
    block_number: int | None
    #: The stable word for why it failed, and the sentence.
    reason: str | None
    error: str | None
    created_at: datetime
    completed_at: datetime | None
    _onsettle: "Onsettle" = field(repr=False, compare=False)

    async def refresh(self) -> "Payment":
        """The payment as it is now."""
        return await self._onsettle.payment(self.id)

    async def completed(self, timeout_s: float | None = None) -> "Payment":
        """Wait until it is completed; the payment as it is then.

        Raises PaymentFailed when it has failed, and TimeoutError after `timeout_s` seconds.
        """
        return await self._onsettle.wait(self.id, timeout_s)


Handler = Callable[[Payment], Awaitable[None] | None]
H = TypeVar("H", bound=Handler)


class Onsettle:
    """Takes payments, and settles them in this process.

    `async with Onsettle.from_env() as onsettle:`, or with a configuration of one's own.
    `settle` False: only submits and reads; `onsettle worker` processes settle.
    """

    def __init__(self, config: Config, *, settle: bool = True) -> None:
        self._config = config
        self._settle = settle
        self._handlers: list[Handler] = []
        self._stack = AsyncExitStack()
        self._engine: Engine | None = None
        self._courier: HandlerCourier | None = None
        self._watch: Watch | None = None

    @classmethod
    def from_env(
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        folder: Path | None = None,
        settle: bool = True,
    ) -> Self:
        """Configured as the command is: by the environment and `onsettle.toml`.

        Raises ConfigError, which names what is wrong.
        """
        return cls(load(environment, folder), settle=settle)

    async def __aenter__(self) -> Self:
        into_logging()
        async with AsyncExitStack() as stack:
            config = await stack.enter_async_context(configured(self._config))
            engine = await Engine.open(config, wait_s=30)
            stack.push_async_callback(engine.close)
            self._engine, self._watch = engine, Watch(engine.db)
            if self._handlers:
                # Before anything can complete: no payment is missed.
                self._courier = self._new_courier()
                await self._courier.open()
                self._courier.start()
            if self._settle:
                await engine.start()
                stack.push_async_callback(engine.stop)
            stack.push_async_callback(self._leave)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        self._engine = self._watch = None

    async def _leave(self) -> None:
        if self._courier is not None:
            await self._courier.stop(timeout_s=2)
            self._courier = None

    def on_completed(self, handler: H) -> H:
        """Register a handler: called at least once for every payment that completes from now on.

        It may be a coroutine function. Several handlers are called at once, and what one raises
        keeps no other from its turn. What is raised is logged, and all of them are called again
        later, for about three days. Several processes with handlers share the payments. A payment
        comes again when a process dies in the middle: use `payment.id` to notice.
        """
        self._handlers.append(handler)
        if self._engine is not None and self._courier is None:
            self._courier = self._new_courier()
            self._courier.start()
        return handler

    def _new_courier(self) -> HandlerCourier:
        return HandlerCourier(self._open.db, self._call)

    async def _call(self, message: Record) -> None:
        payment = await self.payment(message["payment_id"])
        outcomes = await asyncio.gather(
            *(_run(handler, payment) for handler in self._handlers), return_exceptions=True
        )
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if errors:
            raise _together(errors)

    async def submit(
        self,
        authorization: Mapping[str, object],
        *,
        payment_type: str | None = None,
        token_address: str | None = None,
        quantity: int = 1,
        metadata: Mapping[str, Any] | None = None,
        asset: str | None = None,
        network: str | None = None,
    ) -> Payment:
        """Commit a signed EIP-3009 authorization; when it returns, the payment is durable.

        `authorization` has from, to, value, validAfter, validBefore, nonce, and signature or v, r
        and s. With `token_address` it is a `mint` of `quantity`. The same payment again is the same
        row. Raises Refused with a stable `code`.
        """
        kind = payment_type or ("payment" if token_address is None else "mint")
        body: dict[str, object] = {
            "payment_type": kind,
            "authorization": dict(authorization),
            "metadata": {"quantity": quantity, **(metadata or {})},
        }
        given = {"token_address": token_address, "asset": asset, "network": network}
        body.update({name: value for name, value in given.items() if value is not None})
        accepted = await self._open.intake.submit(body)
        return await self.payment(accepted.id)

    async def payment(self, payment_id: UUID) -> Payment:
        """Raises KeyError where there is none."""
        row = await self._open.db.fetchrow("payment_get", payment_id)
        if row is None:
            raise KeyError(payment_id)
        return self._view(row)

    async def wait(self, payment_id: UUID, timeout_s: float | None = None) -> Payment:
        """Wait until a payment is completed; see `Payment.completed`.

        Raises KeyError where there is none.
        """
        if self._watch is None:
            raise RuntimeError("use it inside `async with`")
        news = self._watch.follow(payment_id)
        try:
            async with asyncio.timeout(timeout_s):
                payment = await self._read(payment_id)
                while payment.status not in _DECIDED:
                    # What was news may be old: it counts as it is when it is read.
                    await anext(news)
                    payment = await self._read(payment_id)
        finally:
            await news.aclose()
        if payment.status in _OVER:
            raise PaymentFailed(payment)
        return payment

    async def _read(self, payment_id: UUID) -> Payment:
        """As `payment`, once the database answers."""
        while True:
            try:
                return await self.payment(payment_id)
            except UNAVAILABLE:
                await asyncio.sleep(_AGAIN_S)

    @property
    def _open(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("use it inside `async with`")
        return self._engine

    def _view(self, row: Record) -> Payment:
        return Payment(
            id=UUID(int=row["id"].int),
            status=PaymentStatus(row["status"]),
            final=row["final"],
            payment_type=row["payment_type"],
            network=f"eip155:{row['chain_id']}",
            asset=row["payment_token_address"],
            payer=row["payer"],
            pay_to=row["pay_to"],
            amount=int(row["amount"]),
            authorization_nonce=row["authorization_nonce"],
            token_address=row["token_address"],
            metadata=row["metadata"] or {},
            tx_hash=row["tx_hash"],
            block_number=row["block_number"],
            reason=row["reason"] if PaymentStatus(row["status"]) in _OVER else None,
            error=row["error"],
            created_at=row["created_at"],
            completed_at=row["completed_at"],
            _onsettle=self,
        )


async def _run(handler: Handler, payment: Payment) -> None:
    outcome = handler(payment)
    if inspect.isawaitable(outcome):
        await outcome


def _together(raised: Sequence[BaseException]) -> Exception:
    """What several handlers raised, as one."""
    errors = [
        error if isinstance(error, Exception) else RuntimeError(f"ended by {type(error).__name__}")
        for error in raised
    ]
    if len(errors) == 1:
        return errors[0]
    words = "; ".join(f"{type(error).__name__}: {error}" for error in errors)
    return ExceptionGroup(words, errors)
