"""Reading JSON from strangers."""

import pytest

from onsettle.api import bodies
from onsettle.engine.request import Refused

_NAMES = 50_000


class _Counted(str):
    """A name that counts how often any name is compared; far too often is an error."""

    __slots__ = ()
    comparisons = 0

    def __eq__(self, other: object) -> bool:
        _Counted.comparisons += 1
        assert _Counted.comparisons <= 4 * _NAMES, "every name is compared with every other"
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_a_doubled_name_is_found_in_one_pass() -> None:
    """Of fifty thousand names the last one is doubled: a few comparisons each find it."""
    _Counted.comparisons = 0
    pairs = [(_Counted(f"name {at}"), at) for at in range(_NAMES)]
    pairs.append((_Counted(f"name {_NAMES - 1}"), 0))
    with pytest.raises(bodies._Twice, match=rf"name {_NAMES - 1}$"):
        bodies._object(list(pairs))


def test_the_first_doubled_name_is_named() -> None:
    """However many are doubled and however deep, the answer names one, shortened."""
    with pytest.raises(Refused) as refused:
        bodies.parse(b'{"in": {"a": 1, "b": 2, "c": 3, "b": 4, "a": 5}}')
    assert (refused.value.code, refused.value.status) == ("malformed_json", 400)
    assert refused.value.message == "the name 'b' is there twice"
    with pytest.raises(Refused, match=r"'x{40}' is there twice"):
        bodies.parse(b'{"%b": 1, "%b": 2}' % (b"x" * 99, b"x" * 99))
