"""What the database says, in the words of a refusal.

The law: nothing of a row reaches a caller or a log. Postgres quotes values in its messages and details (a failing row with
its header overrides, say), so an unforeseen error is passed on by its code and the names of what it concerns alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import psycopg
import psycopg_pool
from psycopg import errors

from trunkline.database import Pool
from trunkline.errors import CatalogLocked, DatabaseUnavailable, Overloaded

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]


class DatabaseFaultError(Exception):
    """A fault nobody foresaw, free of values."""

    def __init__(self, error: psycopg.Error) -> None:
        names = (error.sqlstate, error.diag.table_name, error.diag.column_name, error.diag.constraint_name)
        super().__init__(" ".join((type(error).__name__, *filter(None, names))))


_CAUSES = {
    psycopg_pool.PoolTimeout: "no connection came free or could be opened in time",
    errors.QueryCanceled: "a statement took too long",
    errors.ReadOnlySqlTransaction: "it is read only: a standby, or out of space",
    errors.DeadlockDetected: "transactions got in each other's way, again and again",
    errors.SerializationFailure: "transactions got in each other's way, again and again",
    psycopg.OperationalError: "the connection was lost",  # after its subclasses above
    psycopg.InterfaceError: "the connection was lost",
}


def refusal_of(error: psycopg.Error) -> Exception:
    """Explain a database error: a refusal that says when to ask again, or a fault."""
    if isinstance(error, psycopg_pool.TooManyRequests):
        return Overloaded(queue="database connections", limit="all that may")
    if isinstance(error, errors.LockNotAvailable):
        return CatalogLocked(blocking_pid="unknown")
    for kind, cause in _CAUSES.items():
        if isinstance(error, kind):
            return DatabaseUnavailable(cause=cause)
    return DatabaseFaultError(error)


@contextlib.asynccontextmanager
async def reading(pool: Pool) -> AsyncIterator[Connection]:
    """Lend a connection for reads, each statement for itself. Raises Refused."""
    try:
        async with pool.connection() as connection:
            await connection.set_autocommit(True)
            try:
                yield connection
            finally:
                if not connection.closed:
                    await connection.set_autocommit(False)
    except psycopg.Error as error:
        raise refusal_of(error) from None
