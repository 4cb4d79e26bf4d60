"""The one place where asyncpg's errors become ours: a database that is away or overfull is `Unavailable`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from schema.errors import Unavailable

_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,  # too many connections, disk full, out of memory
    asyncpg.OperatorInterventionError,  # shutting down, starting up, cancelled by statement_timeout
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.ReadOnlySQLTransactionError,  # the primary became a standby
)
RETRY_AFTER: Final = 1.0


@contextmanager
def translated() -> Iterator[None]:
    """Raise Unavailable for every failure that passes by itself; all other errors of the database pass as they are."""
    try:
        yield
    except asyncpg.QueryCanceledError as error:
        raise Unavailable(f"the database did not answer in time: {error}", retry_after=RETRY_AFTER) from error
    except _AWAY as error:
        reason = str(error) or type(error).__name__
        raise Unavailable(f"the database is away: {reason}", retry_after=RETRY_AFTER) from error
    except asyncpg.InterfaceError as error:
        # asyncpg has no class of its own for a connection or pool that was closed under a caller.
        if isinstance(error, ValueError) or "clos" not in str(error):
            raise
        raise Unavailable(f"the database is away: {error}", retry_after=RETRY_AFTER) from error
