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
from trunkline.errors import CatalogLocked, Cause, DatabaseUnavailable, FieldFault, InvalidFields, Overloaded

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]


class DatabaseFaultError(Exception):
    """A fault nobody foresaw, free of values."""

    def __init__(self, error: psycopg.Error) -> None:
        names = (error.sqlstate, error.diag.table_name, error.diag.column_name, error.diag.constraint_name)
        super().__init__(" ".join((type(error).__name__, *filter(None, names))))


_FAULTS: Final[Mapping[type[psycopg.Error], tuple[str, Cause]]] = {
    psycopg_pool.TooManyRequests: ("exhausted", Cause.TOO_MANY_WAITING),
    PoolExhausted: ("exhausted", Cause.TOO_MANY_WAITING),
    psycopg_pool.PoolTimeout: ("unreachable", Cause.DATABASE_UNREACHABLE),
    errors.LockNotAvailable: ("locked", Cause.DATABASE_SLOW),
    errors.QueryCanceled: ("slow", Cause.DATABASE_SLOW),
    errors.ReadOnlySqlTransaction: ("read_only", Cause.DATABASE_READ_ONLY),
    errors.DeadlockDetected: ("conflict", Cause.DATABASE_CONFLICT),
    errors.SerializationFailure: ("conflict", Cause.DATABASE_CONFLICT),
    psycopg.OperationalError: ("lost", Cause.DATABASE_UNREACHABLE),
    psycopg.InterfaceError: ("lost", Cause.DATABASE_UNREACHABLE),
    psycopg.Error: ("unforeseen", Cause.DATABASE_UNREACHABLE),
}
"""What each error is to an operator (the metric's label) and to a caller; a subclass stands before what it derives from."""


_TOO_LONG: Final = "takes more than 1 MiB, all its columns together"
_BOUNDS: Final[Mapping[str, FieldFault]] = {
    "channels_json_depth_check": FieldFault("channel", "holds JSON that is nested deeper than 24 levels"),
    "channels_size_check": FieldFault("channel", _TOO_LONG),
    "api_keys_size_check": FieldFault("api_key", _TOO_LONG),
    "channel_keys_sealed_size_check": FieldFault("channel.keys", "holds a key of more than 64 KiB"),
    "channel_keys_remark_size_check": FieldFault("channel.keys", "holds a remark of more than 64 KiB"),
    "channel_keys_status_reason_size_check": FieldFault("channel.keys", "holds a reason of more than 64 KiB"),
}
"""What the schema itself refuses because no reader could take it in, by the name of its rule."""


def note_fault(error: psycopg.Error) -> tuple[str, Cause]:
    """Count a database error that nothing here could mend; gives its entry in the table."""
    entry = next(entry for kind, entry in _FAULTS.items() if isinstance(error, kind))
    metrics.DATABASE_FAULTS.labels(entry[0]).inc()
    return entry


def refusal_of(error: psycopg.Error) -> Exception:
    """Explain a database error, and count it: a refusal that says what to do, or a fault."""
    if (bound := _BOUNDS.get(error.diag.constraint_name or "")) is not None:
        return InvalidFields([bound])
    label, cause = note_fault(error)
    match label:
        case "exhausted":
            return Overloaded(queue="the wait for a database connection", limit="all that may")
        case "locked":
            return CatalogLocked(blocking_pid="unknown")
        case "unforeseen":
            return DatabaseFaultError(error)
    unavailable = DatabaseUnavailable(cause=cause)
    unavailable.detail = _told(error)
    return unavailable


def _told(error: psycopg.Error) -> str:
    """What the log may say: the server quotes values of rows, libpq and the pool speak of connections alone."""
    text = str(DatabaseFaultError(error))
    return text if error.sqlstate else f"{text}: {error}"


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
