"""The Postgres pool, with sessions that cannot hang: every wait in the database and in the pool has a bound.

The law: always `async with pool.connection()`; whoever awaits the pool gets a connection or `psycopg_pool.PoolTimeout` in
bounded time, also while the server is frozen.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg_pool import AsyncConnectionPool

from trunkline.secret import Secret

Pool = AsyncConnectionPool[psycopg.AsyncConnection[psycopg.rows.TupleRow]]

CONNECT_TIMEOUT = 3
"""Seconds to a connection."""
KEEPALIVE_IDLE = 5
"""Seconds of silence before TCP asks whether the server still lives."""

_PLANNING = "-c jit=off -c plan_cache_mode=force_custom_plan"
"""Compiling queries tripled the time of a full load; a plan kept from when tables were small scans them once they grew."""


@asynccontextmanager
async def open_pool(  # noqa: PLR0913 - keyword-only bounds of one pool
    dsn: Secret,
    application_name: str,
    *,
    min_size: int = 1,
    max_size: int = 4,
    wait: float = 2.0,
    max_waiting: int = 64,
    statement_timeout: float = 5.0,
    lock_timeout: float = 2.0,
) -> AsyncIterator[Pool]:
    """Open a pool without waiting for the server; times in seconds. Closing bounds the wait for connections too.

    Raises psycopg.ProgrammingError when the DSN cannot be read.
    """
    pool: Pool = AsyncConnectionPool(
        with_bounds(dsn, application_name, statement_timeout=statement_timeout, lock_timeout=lock_timeout).reveal(),
        open=False,
        min_size=min_size,
        max_size=max_size,
        timeout=wait,
        max_waiting=max_waiting,
        reconnect_timeout=0,
        check=AsyncConnectionPool.check_connection,
        name=application_name,
    )
    await pool.open(wait=False)
    try:
        yield pool
    finally:
        await pool.close(timeout=wait)


def with_bounds(dsn: Secret, application_name: str, *, statement_timeout: float, lock_timeout: float) -> Secret:
    """Add the session's bounds to a DSN; what the DSN says itself in `options` comes last and wins."""
    given = psycopg.conninfo.conninfo_to_dict(dsn.reveal())
    bounds = {
        "statement_timeout": statement_timeout,
        "lock_timeout": lock_timeout,
        "idle_in_transaction_session_timeout": 2 * statement_timeout,
    }
    options = " ".join([*(f"-c {name}={round(seconds * 1000)}" for name, seconds in bounds.items()), _PLANNING])
    defaults = {
        "connect_timeout": CONNECT_TIMEOUT,
        "keepalives_idle": KEEPALIVE_IDLE,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": round(1000 * max(statement_timeout, 10)),
    }
    merged = {**defaults, **given, "application_name": application_name}
    merged["options"] = f"{options} {given.get('options') or ''}".strip()
    return Secret(psycopg.conninfo.make_conninfo("", **{name: str(value) for name, value in merged.items()}))
