"""Errors of the database in plain words: what happened is told apart."""

import asyncpg
import pytest

from onsettle.cli.problems import explain


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            asyncpg.InsufficientPrivilegeError("must be owner of table x"),
            "must be owner of table x",
        ),
        (asyncpg.DeadlockDetectedError("deadlock detected"), "Another session"),
        (asyncpg.LockNotAvailableError("lock timeout"), "Another session"),
        (asyncpg.UniqueViolationError("key exists"), "answered with an error: key exists"),
        (asyncpg.InvalidCatalogNameError("no such database"), "refuses the connection"),
        (asyncpg.CannotConnectNowError("starting up"), "can't be reached"),
        (ConnectionRefusedError("refused"), "can't be reached"),
    ],
)
def test_what_the_database_said_is_not_taken_for_its_absence(error: Exception, said: str) -> None:
    """Only a database that does not answer is one that can't be reached."""
    assert said in explain(error)
    assert ("can't be reached" in explain(error)) == (said == "can't be reached")
