"""What the database says, in the words of a refusal.

The law: nothing of a row reaches a caller or a log. Postgres quotes values in its messages and details (a failing row with
its header overrides, say), so an unforeseen error is passed on by its code and the names of what it concerns alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, TypeAlias

import psycopg
import psycopg_pool
from psycopg import errors

from admin_svc import metrics
from trunkline.database import Pool, PoolExhausted
from trunkline.errors import CatalogLocked, DatabaseUnavailable, Overloaded

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]


class DatabaseFaultError(Exception):
    """A fault nobody foresaw, free of values."""

    def __init__(self, error: psycopg.Error) -> None:
        names = (error.sqlstate, error.diag.table_name, error.diag.column_name, error.diag.constraint_name)
        super().__init__(" ".join((type(error).__name__, *filter(None, names))))


_FAULTS: Final[Mapping[type[psycopg.Error], tuple[str, str]]] = {
    psycopg_pool.TooManyRequests: ("exhausted", "every connection is in use, and more wait than may"),
    PoolExhausted: ("exhausted", "every connection is in use"),
    psycopg_pool.PoolTimeout: ("unreachable", "no connection could be opened in time"),
    errors.LockNotAvailable: ("locked", "the catalog is locked"),
    errors.QueryCanceled: ("slow", "a statement took too long"),
    errors.ReadOnlySqlTransaction: ("read_only", "it is read only: a standby, or out of space"),
    errors.DeadlockDetected: ("conflict", "transactions got in each other's way, again and again"),
    errors.SerializationFailure: ("conflict", "transactions got in each other's way, again and again"),
    psycopg.OperationalError: ("lost", "the connection was lost"),
    psycopg.InterfaceError: ("lost", "the connection was lost"),
    psycopg.Error: ("unforeseen", ""),
}
"""What each error is to an operator (the metric's label) and to a caller; a subclass stands before what it derives from."""


def note_fault(error: psycopg.Error) -> tuple[str, str]:
    """Count a database error that nothing here could mend; gives its entry in the table."""
    entry = next(entry for kind, entry in _FAULTS.items() if isinstance(error, kind))
    metrics.DATABASE_FAULTS.labels(entry[0]).inc()
    return entry


def refusal_of(error: psycopg.Error) -> Exception:
    """Explain a database error, and count it: a refusal that says when to ask again, or a fault."""
    label, cause = note_fault(error)
    match label:
        case "exhausted":
            return Overloaded(queue="the wait for a database connection", limit="all that may")
        case "locked":
            return CatalogLocked(blocking_pid="unknown")
        case "unforeseen":
            return DatabaseFaultError(error)
    return DatabaseUnavailable(cause=cause)


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
