"""`stuck` names the nearest cause, and what the engine really does next."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from onsettle.domain.payment import PaymentStatus
from onsettle.domain.settings import DEFAULTS
from onsettle.domain.stuck import Carrying, Surroundings, Waiting, diagnose, diagnose_mint

_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_AROUND = Surroundings(
    now=_NOW, settings=DEFAULTS, workers=1, known=True, following=True, cursor=100,
    able=1,
)  # fmt: skip
_TX = Carrying(
    wallet="0xw", nonce=7, state="live", lowest=7, answer="accepted", tries=2, tried_at=_NOW,
    keyed=True, arrived=True, signed_at=_NOW, max_fee=10**9, noop=False,
)  # fmt: skip
_SENT = Waiting(
    id="p", status=PaymentStatus.SENT, reason="broadcast", error=None, valid_after=0,
    valid_before=4_000_000_000, hold_until=None, needs_lookup=False, block_number=None,
    carrying=_TX,
)  # fmt: skip
_PENDING = replace(_SENT, status=PaymentStatus.PENDING, carrying=None)
_LATER = _NOW + timedelta(seconds=30)


@pytest.mark.parametrize(
    ("payment", "around", "why", "then"),
    [
        (_SENT, replace(_AROUND, workers=0), "no worker is running", "until a worker runs"),
        (_PENDING, replace(_AROUND, known=False), "by SQL", "checked like any other"),
        (_SENT, replace(_AROUND, following=False), "not reached the head", "missed blocks"),
        (replace(_SENT, block_number=99), _AROUND, "in block 99", "completes with block 99"),
        (replace(_SENT, needs_lookup=True), _AROUND, "looked up", "what the chain says"),
        (_SENT, _AROUND, "nonce 7 of wallet 0xw is not mined after 2 sends", "higher fee"),
        (replace(_SENT, carrying=replace(_TX, lowest=3)), _AROUND, "behind nonce 3", "after that"),
        (
            replace(_SENT, carrying=replace(_TX, keyed=False)),
            _AROUND,
            "no running worker",
            "not pu",
        ),
        (replace(_SENT, carrying=replace(_TX, noop=True)), _AROUND, "not mined", "nonce is freed"),
        (
            replace(_SENT, carrying=replace(_TX, max_fee=450 * 10**9)),
            _AROUND,
            "450000",
            "allows no",
        ),
        (
            replace(_SENT, carrying=replace(_TX, state="replaced")),
            _AROUND,
            "replaced",
            "read for it",
        ),
        (replace(_PENDING, error="dry", hold_until=_LATER), _AROUND, "dry", "tried again"),
        (_PENDING, replace(_AROUND, able=0, unable=("0xw: it is paused",)), "paused", "one can"),
        (replace(_PENDING, valid_after=4_000_000_000), _AROUND, "not open yet", "validAfter"),
        (_PENDING, _AROUND, "in the queue", "next batch"),
        (
            replace(_SENT, status=PaymentStatus.FAILED, reason="manual"),
            _AROUND,
            "marked by hand; nonce 7",
            "completes if that lands",
        ),
        (
            replace(_SENT, status=PaymentStatus.COMPLETED, reason="landed", needs_lookup=True),
            _AROUND,
            "took back the block it completed in; nonce 7",
            "stays completed when that lands",
        ),
        (
            replace(_SENT, status=PaymentStatus.COMPLETED, reason="manual", carrying=None),
            _AROUND,
            "completed by hand, and no transaction",
            "reversed",
        ),
    ],
)
def test_the_nearest_cause_is_named(
    payment: Waiting, around: Surroundings, why: str, then: str
) -> None:
    """Why it waits, and what comes next, in one sentence each."""
    said = diagnose(payment, around)
    assert why in said.why
    assert then in said.next


def test_when_the_engine_acts_next() -> None:
    """Bytes that a node has are paid more for after fee_bump_after_ms; those of which nobody knows
    are sent again soon; what is held, when its hold ends."""
    bump = _NOW + timedelta(milliseconds=DEFAULTS.fee_bump_after_ms)
    assert diagnose(_SENT, _AROUND).at == bump
    unknown = replace(_SENT, carrying=replace(_TX, arrived=False, tries=1))
    assert diagnose(unknown, _AROUND).at == _NOW + timedelta(seconds=1)
    assert diagnose(replace(_PENDING, hold_until=_LATER), _AROUND).at == _LATER


def test_a_command_is_named_where_one_helps_and_only_there() -> None:
    """Whoever need not do anything is not told to."""
    assert diagnose(_SENT, _AROUND).command is None
    paused = replace(_AROUND, settings=replace(DEFAULTS, payments_paused=True))
    assert diagnose(_PENDING, paused).command == "onsettle resume"
    over = replace(_SENT, status=PaymentStatus.CONFIRMATION_FAILED, carrying=None)
    assert diagnose(over, _AROUND).command == "onsettle retry p"


@pytest.mark.parametrize(
    ("status", "paid", "carrying", "error", "why"),
    [
        ("pending", False, None, None, "its payment is not completed"),
        ("processing", True, _TX, None, "mints it and is not mined yet"),
        ("failed", True, None, "cap reached", "cap reached"),
        ("pending", True, None, "paused", "paused (tried 3 times)"),
        ("pending", True, None, None, "in the queue"),
    ],
)
def test_a_mint_says_what_it_waits_for(
    status: str, paid: bool, carrying: Carrying | None, error: str | None, why: str
) -> None:
    """The same for mints."""
    said = diagnose_mint(
        mint_id="m", status=status, error=error, retries=3, hold_until=None, paid=paid,
        carrying=carrying, around=_AROUND,
    )  # fmt: skip
    assert why in said.why
