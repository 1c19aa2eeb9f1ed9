"""What a replacement pays."""

from hypothesis import given
from hypothesis import strategies as st

from onsettle.domain.fees import Fees, bump

_FEES = st.integers(min_value=0, max_value=10**15)


@given(_FEES, _FEES, _FEES, _FEES, st.integers(min_value=1, max_value=10**16))
def test_a_replacement_pays_an_eighth_more_on_both_fees_or_is_not_made(
    max_fee: int, priority: int, market: int, tip: int, cap: int
) -> None:
    """Both fees at least 12.5 % up, rounded up, above zero, and never more than the cap."""
    last = Fees(max_fee=max_fee, priority=min(priority, max_fee))
    new = bump(last=last, suggestion=Fees(max_fee=market, priority=min(tip, market)), cap=cap)
    if new is None:
        return
    assert new.max_fee * 8 >= last.max_fee * 9
    assert new.priority * 8 >= last.priority * 9
    assert new.max_fee > last.max_fee
    assert new.priority > last.priority
    assert new.priority <= new.max_fee <= cap
