"""What recovery may do, decided from evidence alone."""

import pytest

from onsettle.domain.outcome import Fate
from onsettle.domain.payment import PaymentStatus
from onsettle.domain.recovery import Verdict, rule, rule_adrift, rule_mint
from onsettle.engine.adoption import REFUSALS

_S = PaymentStatus
_OPEN = (_S.PROCESSING, _S.SENT, _S.FAILED, _S.CONFIRMATION_FAILED)


def verdict(
    status: PaymentStatus,
    fate: Fate,
    *,
    final: bool = False,
    carrier: str | None = None,
    in_block: int | None = None,
    expired: bool = False,
    unread: int | None = None,
    followed: bool = True,
) -> Verdict:
    return rule(
        status=status,
        final=final,
        fate=fate,
        carrier=carrier,
        in_block=in_block,
        expired=expired,
        unread=unread,
        followed=followed,
    ).verdict


@pytest.mark.parametrize("status", _OPEN)
def test_a_retry_needs_an_unused_unexpired_authorization_that_nothing_live_carries(
    status: PaymentStatus,
) -> None:
    """Only all of it together lets a payment go back to pending."""
    assert verdict(status, Fate.UNUSED) is Verdict.RETRY
    assert verdict(status, Fate.UNUSED, carrier="w nonce 1") is Verdict.WAIT
    assert verdict(status, Fate.UNUSED, in_block=7) is Verdict.WAIT
    assert verdict(status, Fate.UNUSED, expired=True) is Verdict.OVER
    assert verdict(status, Fate.UNUSED, final=True) is Verdict.OVER


@pytest.mark.parametrize("status", [s for s in PaymentStatus if s is not _S.COMPLETED])
@pytest.mark.parametrize("fate", [f for f in Fate if f is not Fate.UNUSED])
def test_no_other_evidence_ever_sends_again(status: PaymentStatus, fate: Fate) -> None:
    """A used, cancelled or unread authorization is never put back into the queue."""
    for carrier in (None, "w nonce 1"):
        for expired in (False, True):
            assert verdict(status, fate, carrier=carrier, expired=expired) is not Verdict.RETRY


def test_a_node_that_can_not_say_decides_nothing() -> None:
    """Unknown stays unknown, even past the deadline."""
    assert verdict(_S.SENT, Fate.UNKNOWN, expired=True) is Verdict.UNKNOWN


def test_what_landed_is_completed_once_the_engine_has_read_its_block() -> None:
    """A confirmer alone writes evidence from blocks that it has not read yet: where no worker has
    one, recovery does its reading."""
    assert verdict(_S.FAILED, Fate.LANDED) is Verdict.COMPLETE
    assert verdict(_S.FAILED, Fate.LANDED, unread=12) is Verdict.WAIT
    assert verdict(_S.FAILED, Fate.LANDED, unread=12, followed=False) is Verdict.COMPLETE


def test_what_is_done_is_left_alone() -> None:
    """Completed and pending payments need no recovery."""
    assert verdict(_S.COMPLETED, Fate.UNUSED) is Verdict.NOTHING
    assert verdict(_S.PENDING, Fate.UNUSED) is Verdict.NOTHING


def test_a_row_that_was_not_taken_over_says_how_it_is_mended() -> None:
    """Every reason for which one is refused has words of its own; what only waits is left alone."""
    said = [rule_adrift(status="failed", refused=each, error="its words") for each in REFUSALS]
    assert {ruling.verdict for ruling in said} == {Verdict.REFUSED}
    assert len({ruling.why for ruling in said}) == len(REFUSALS)
    assert all("its words; " in ruling.why for ruling in said)
    for status, refused, expected in (
        ("pending", "awaits_network", Verdict.WAIT),
        ("sent", None, Verdict.WAIT),
        ("completed", None, Verdict.NOTHING),
        ("completed", "unreadable", Verdict.REFUSED),
    ):
        ruling = rule_adrift(status=status, refused=refused, error=None)
        assert ruling.verdict is expected, (status, refused)


def test_a_mint_is_repeated_only_where_the_token_says_it_is_not_minted() -> None:
    """`hasMinted` at depth decides, and a live transaction is waited for."""

    def of(**facts: object) -> Verdict:
        known: dict[str, object] = {
            "status": "processing", "paid": True, "minted": False, "in_block": None, "live": False,
        }  # fmt: skip
        return rule_mint(**{**known, **facts}).verdict  # type: ignore[arg-type]

    assert of() is Verdict.RETRY
    assert of(minted=True, live=True) is Verdict.COMPLETE
    assert of(minted=None) is Verdict.UNKNOWN
    assert of(live=True) is Verdict.WAIT
    assert of(in_block=9) is Verdict.WAIT
    assert of(paid=False) is Verdict.WAIT
    assert of(status="completed") is Verdict.NOTHING
