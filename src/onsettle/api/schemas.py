"""The shapes of requests and answers, as OpenAPI shows them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from x402.schemas import SettleRequest, SettleResponse, VerifyRequest, VerifyResponse

_ADDRESS = "0x036cbd53842c5426634e7929541ec2318f3dcf7e"
_Status = Literal["pending", "processing", "sent", "completed", "failed", "confirmation_failed"]


class Problem(BaseModel):
    """RFC 9457: `code` is stable, `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class AuthorizationBody(BaseModel):
    """A signed `transferWithAuthorization` (EIP-3009). Amounts are decimal strings or integers.

    Send `signature` (65 bytes, the 64 of EIP-2098, or what the payer's contract takes), or
    `v`, `r` and `s`.
    """

    model_config = ConfigDict(populate_by_name=True)

    payer: str = Field(alias="from", examples=["0x" + "aa" * 20])
    pay_to: str = Field(alias="to", examples=["0x" + "11" * 20])
    value: str | int = Field(description="atomic units of the asset", examples=["10000"])
    valid_after: str | int = Field(alias="validAfter", description="epoch seconds")
    valid_before: str | int = Field(alias="validBefore", description="epoch seconds")
    nonce: str = Field(description="32 bytes, hex", examples=["0x" + "00" * 32])
    signature: str | None = Field(default=None, examples=["0x" + "00" * 65])
    v: int | None = None
    r: str | None = None
    s: str | None = None


class PaymentBody(BaseModel):
    """Fields that are not named here are ignored."""

    payment_type: str = Field(
        default="mint", description="`mint` mints; any other word goes to handlers and webhooks"
    )
    authorization: AuthorizationBody
    asset: str | None = Field(
        default=None, description="optional where one is configured", examples=[_ADDRESS]
    )
    network: str | None = Field(
        default=None, description="optional where one is configured", examples=["eip155:84532"]
    )
    token_address: str | None = Field(default=None, description="the token to mint")
    metadata: dict[str, Any] = Field(
        default_factory=dict,
        description="at most 16 KiB; `quantity` (1 to 100) is how many are minted",
        examples=[{"quantity": 1}],
    )


class BatchBody(BaseModel):
    payments: list[PaymentBody] = Field(max_length=500)


class AcceptedPayment(BaseModel):
    """The payment is committed. `status_url` tells how it goes on."""

    id: UUID
    status: _Status
    final: bool
    status_url: str
    events_url: str


class BatchResult(BaseModel):
    """202, 200 or the status of the problem, and what a single submission answers."""

    http_status: int
    problem: Problem | None = None
    id: UUID | None = None
    status: _Status | None = None
    final: bool | None = None
    status_url: str | None = None
    events_url: str | None = None


class BatchAnswer(BaseModel):
    results: list[BatchResult]


class Failure(BaseModel):
    code: str | None
    message: str | None


class MintView(BaseModel):
    id: UUID
    status: Literal["pending", "processing", "completed", "failed"]
    mint_tx_hash: str | None
    error: str | None


class AttemptView(BaseModel):
    """One signed version of a transaction; fees in wei."""

    hash: str
    nonce: int
    wallet: str
    max_fee: str
    priority_fee: str
    noop: bool
    sent_at: datetime | None


class EventView(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    from_: _Status | None = Field(alias="from")
    to: _Status
    reason: str | None
    at: datetime


class PaymentSummary(BaseModel):
    id: UUID
    status: _Status
    final: bool = Field(description="nothing on any chain can change it any more")
    payment_type: str
    network: str | None = Field(description="CAIP-2")
    asset: str
    payer: str
    pay_to: str | None
    amount: str = Field(description="atomic units of the asset")
    authorization_nonce: str | None
    token_address: str | None
    tx_hash: str | None
    block_number: int | None
    error: Failure | None
    metadata: dict[str, Any]
    result: Any
    created_at: datetime
    processed_at: datetime | None
    completed_at: datetime | None


class PaymentView(PaymentSummary):
    mints: list[MintView]
    attempts: list[AttemptView]
    events: list[EventView]


class PaymentPage(BaseModel):
    payments: list[PaymentSummary]
    next: str | None = Field(description="the `cursor` of the next page; null on the last one")


def _body(model: type[BaseModel]) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": reference}}}
    }


def problems(**when: str) -> dict[int | str, dict[str, Any]]:
    """Problem documents by status, written `s404="there is none"`."""
    return {
        status.removeprefix("s"): {
            "description": words,
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            },
        }
        for status, words in when.items()
    }


SUBMIT: dict[str, Any] = {
    "status_code": 202,
    "summary": "Submit one payment",
    "openapi_extra": _body(PaymentBody),
    "responses": {
        202: {"model": AcceptedPayment, "description": "committed"},
        200: {"model": AcceptedPayment, "description": "committed before: the same payment"},
        **problems(
            s400="not JSON",
            s401="a bearer token is needed",
            s409="the same identity with other content",
            s413="more than 1 MiB",
            s415="not JSON",
            s422="not valid",
            s429="too many unfinished payments of this payer",
            s503="paused, full, or the chain or database can't be read",
        ),
    },
}
SUBMIT_BATCH: dict[str, Any] = {
    "summary": "Submit up to 500 payments",
    "openapi_extra": _body(BatchBody),
    "responses": {
        200: {"model": BatchAnswer, "description": "one answer each, in order"},
        **problems(s400="not JSON", s413="more than 1 MiB", s422="not a list of at most 500"),
    },
}
LIST: dict[str, Any] = {
    "summary": "List payments, newest first",
    "responses": {200: {"model": PaymentPage}, **problems(s422="not valid")},
}
SHOW: dict[str, Any] = {
    "summary": "One payment",
    "responses": {200: {"model": PaymentView}, **problems(s404="there is none")},
}


class Depth(BaseModel):
    count: int
    oldest_age_s: int | None = Field(description="since when the first of them has this status")


class Percentiles(BaseModel):
    p50: float
    p95: float
    p99: float


class StatsView(BaseModel):
    """The state of the whole database; `rpc` is what this process knows of its endpoints."""

    model_config = ConfigDict(extra="forbid")

    at: datetime
    health: Literal["healthy", "degraded", "stopped"]
    reasons: list[str] = Field(description="why it is not healthy, and what to do")
    payments: dict[_Status, Depth]
    mints: dict[str, int]
    outbox: dict[str, int | None]
    rates: dict[str, int]
    latency_s: dict[str, Percentiles | None]
    wallets: list[dict[str, Any]]
    networks: list[dict[str, Any]]
    workers: list[str]
    alarms: list[dict[str, Any]]
    settings: dict[str, Any]


class Selection(BaseModel):
    ids: list[UUID] = Field(min_length=1, max_length=1000)
    dry_run: bool = Field(default=False, description="only look; `retry` alone has it")


class Settings(BaseModel):
    """Names and values, such as `{"payment_batch_size": 100}`."""

    model_config = ConfigDict(extra="allow")


class Readiness(BaseModel):
    ready: bool
    problems: list[str]


class EventPage(BaseModel):
    events: list[EventView]


STATS: dict[str, Any] = {
    "summary": "How the service is doing",
    "responses": {200: {"model": StatsView}},
}
EVENTS: dict[str, Any] = {
    "summary": "The timeline of a payment; live with Accept: text/event-stream",
    "responses": {
        200: {
            "model": EventPage,
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "`status` events with an id, then `final`; Last-Event-ID is honoured",
        },
        **problems(s404="there is none"),
    },
}
READY: dict[str, Any] = {
    "summary": "It can take and settle payments; or why not, in words",
    "responses": {
        200: {"model": Readiness},
        **problems(s503="not ready: with `ready` and `problems` beside the members of a problem"),
    },
}
SETTINGS: dict[str, Any] = {
    "summary": "Change settings; in force within two seconds",
    "openapi_extra": _body(Settings),
    "responses": problems(s401="the admin token is needed", s422="out of range: none is written"),
}
RETRY: dict[str, Any] = {
    "summary": "Send again what provably did not land",
    "openapi_extra": _body(Selection),
}
RECHECK: dict[str, Any] = {
    "status_code": 202,
    "summary": "Look payments up on the chain again",
    "openapi_extra": _body(Selection),
}
VERIFY: dict[str, Any] = {
    "summary": "Would this x402 payment settle?",
    "openapi_extra": _body(VerifyRequest),
    "response_model": VerifyResponse,
}
SETTLE: dict[str, Any] = {
    "summary": "Settle an x402 payment; the same payload again gets the same payment's answer",
    "openapi_extra": _body(SettleRequest),
    "response_model": SettleResponse,
}

#: Bodies are read by hand, strictly; so they are named here for OpenAPI.
BODIES = (PaymentBody, BatchBody, Problem, Selection, Settings, VerifyRequest, SettleRequest)
