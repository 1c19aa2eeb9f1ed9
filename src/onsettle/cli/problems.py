"""Errors in plain words: what happened and what to do next."""

import traceback
from pathlib import Path

import asyncpg

from onsettle.chain.jsonrpc import RpcError, RpcUnavailable
from onsettle.config import ConfigError
from onsettle.store.database import UNAVAILABLE
from onsettle.store.migrate import MigrationError

_NO_TABLES = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)
_BUSY = (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)
_REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
#: Whose texts repeat what they were given.
_QUOTING = (ValueError, LookupError, TypeError)


def explain(error: Exception) -> str:
    """What goes to stderr. Never a connection string: it may hold a password."""
    if isinstance(error, ConfigError):
        return "\n".join(error.problems)
    if isinstance(error, MigrationError):
        return f"{error}."
    if isinstance(error, _NO_TABLES):
        return "The database is not migrated, or older than this version: run `onsettle migrate`."
    if isinstance(error, _REFUSED):
        return f"The database refuses the connection: {error}. Check DATABASE_URL."
    if isinstance(error, RpcUnavailable | RpcError):
        return f"The chain can't be read: {error}. Check ONSETTLE_RPC_URLS."
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return (
            f"The database does not let this role do it: {error}. Use a DATABASE_URL of the role"
            " that owns the tables."
        )
    if isinstance(error, _BUSY):
        return f"Another session holds what this needs: {error}. Try it again."
    if isinstance(error, UNAVAILABLE):
        reason = _without_name(error) or type(error).__name__
        return f"The database can't be reached: {reason}. Check that it runs and DATABASE_URL."
    if isinstance(error, asyncpg.PostgresError):
        return f"The database answered with an error: {error}."
    if type(error).__module__.startswith("onsettle.") and str(error):
        return str(error)  # ours are written to be read
    if isinstance(error, _QUOTING):
        return f"An error of ours, {type(error).__name__}{_place(error)}: please report it."
    return f"{type(error).__name__}: {error}"


def _place(error: Exception) -> str:
    """Where it was raised; its text is not shown, since it quotes the value, maybe a secret."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return "".join(f" in {Path(frame.filename).name}, line {frame.lineno}" for frame in last)


def _without_name(error: Exception) -> str:
    """A file's name may be anything that somebody typed for one, such as a key."""
    if isinstance(error, OSError) and error.filename is not None:
        return error.strerror or ""
    return str(error)
