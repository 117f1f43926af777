"""What a database error becomes."""

from __future__ import annotations

import psycopg
import psycopg_pool
import pytest
from psycopg import errors

from admin_svc.database import DatabaseFaultError, refusal_of
from admin_svc.store import is_passing
from trunkline.database import PoolExhausted
from trunkline.errors import Reason, Refused


@pytest.mark.parametrize(
    ("error", "reason", "passing"),
    [
        (errors.DeadlockDetected(), Reason.DATABASE_UNAVAILABLE, True),
        (errors.SerializationFailure(), Reason.DATABASE_UNAVAILABLE, True),
        (errors.AdminShutdown(), Reason.DATABASE_UNAVAILABLE, True),
        (errors.CannotConnectNow(), Reason.DATABASE_UNAVAILABLE, True),
        (psycopg.OperationalError("the connection is lost"), Reason.DATABASE_UNAVAILABLE, True),
        (psycopg_pool.PoolTimeout(), Reason.DATABASE_UNAVAILABLE, False),
        (PoolExhausted(), Reason.OVERLOADED, False),
        (psycopg_pool.TooManyRequests(), Reason.OVERLOADED, False),
        (errors.LockNotAvailable(), Reason.CATALOG_LOCKED, False),
        (errors.QueryCanceled(), Reason.DATABASE_UNAVAILABLE, False),
        (errors.ReadOnlySqlTransaction(), Reason.DATABASE_UNAVAILABLE, False),
        (psycopg.InterfaceError(), Reason.DATABASE_UNAVAILABLE, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_of_the_databases_state_is_a_refusal_to_retry(
    error: psycopg.Error, reason: Reason, passing: bool
) -> None:
    """With its reason; those that may pass at once are tried again here first."""
    refusal = refusal_of(error)
    assert isinstance(refusal, Refused)
    assert (refusal.reason, refusal.retry_delay) == (reason, 1.0)
    assert is_passing(error) == passing


def test_a_fault_nobody_foresaw_shows_nothing_of_a_row() -> None:
    """Postgres quotes the failing row in its message."""
    fault = refusal_of(errors.CheckViolation("Failing row contains (1, s3cret)"))
    assert isinstance(fault, DatabaseFaultError)
    assert str(fault) == "CheckViolation 23514"
