"""One minute of every fault at once, the same one each time; `make torture SEED=n` draws others."""

import tempfile
from pathlib import Path

import pytest

from onsettle.local.place import let_pass
from tests.torture.run import torture

#: Draws all seven kinds of fault.
_SEED = 2


@pytest.mark.timeout(360)
async def test_a_minute_of_faults_loses_nothing_and_doubles_nothing() -> None:
    """Workers, database and chain fail together; all that was acknowledged is settled once."""
    with tempfile.TemporaryDirectory(prefix="onsettle-torture-", ignore_cleanup_errors=True) as at:
        let_pass(Path(at))
        outcome = await torture(Path(at), seed=_SEED, seconds=60)
    assert outcome.clean, outcome.summary()
