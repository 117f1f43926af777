"""The Postgres pool, with sessions that cannot hang: every wait in the database and in the pool has a bound.

The law: always `async with pool.connection()`; whoever awaits the pool gets a connection or `psycopg_pool.PoolTimeout` in
bounded time, also while the server is frozen. A session that was cut is found out before it is lent, and the next is tried
at once.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from trunkline.secret import Secret

Connection = psycopg.AsyncConnection[psycopg.rows.TupleRow]

CONNECT_TIMEOUT = 2
"""Seconds to a connection."""
KEEPALIVE_IDLE = 5
"""Seconds of silence before TCP asks whether the server still lives."""

_PLANNING = "-c jit=off -c plan_cache_mode=force_custom_plan"
"""Compiling queries tripled the time of a full load; a plan kept from when tables were small scans them once they grew."""
_READING = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "DateStyle": "ISO",
        "IntervalStyle": "postgres",
        "TimeZone": "UTC",
        "extra_float_digits": "1",
        "bytea_output": "hex",
        "standard_conforming_strings": "on",
        "client_encoding": "UTF8",
        "row_security": "on",
        "default_transaction_isolation": r"read\ committed",
        "default_transaction_deferrable": "off",
        "xmloption": "content",
        "search_path": "public",
    }.items()
)
"""What a role's or a database's own defaults must not change in what is read and written. Another schema is named by the
DSN's own `options`. `default_transaction_read_only` is not among them: services set it to save a disk that is full."""


CHECK_TIMEOUT = 1.0
"""Seconds that a session has to show that it still lives."""
_PATIENCE = 0.25
"""Seconds in the pool's queue after which a connection is asked for once more: only asking makes the pool open one, so
whoever queued while the server was away would wait on after it came back."""
_AGAIN = 0.02
"""Seconds after a session that was found dead, once there were more of them than the pool can have kept."""


ENCODING: Final = "UTF8"


class WrongEncoding(psycopg.OperationalError):
    """The database does not store UTF-8: names would come back as other bytes, or not at all."""

    def __init__(self, found: str) -> None:
        """Keep the encoding that was found."""
        self.found = found
        super().__init__(
            f"the database's encoding is {found}, and it must be {ENCODING}: make one by"
            f" CREATE DATABASE … ENCODING '{ENCODING}' TEMPLATE template0"
        )


async def connect(dsn: Secret) -> Connection:
    """Opens one session, in autocommit, by a DSN `with_bounds`. Raises WrongEncoding, psycopg.Error."""
    connection: Connection = await psycopg.AsyncConnection.connect(dsn.reveal(), autocommit=True)
    found = connection.info.parameter_status("server_encoding")
    if found is not None and found != ENCODING:  # some poolers do not say
        await connection.close()
        raise WrongEncoding(found)
    return connection


class PoolExhausted(PoolTimeout):
    """Every connection is lent, and none came back in time: too much is asked of the pool, whatever the server does."""


class Pool(AsyncConnectionPool[Connection]):
    """A pool that tries one session after another without a pause, and tells being exhausted from a server that is gone.

    The library's own check would pause a second after each one that was cut, and would wait for a frozen server for ever.
    """

    _lent = 0

    async def getconn(self, timeout: float | None = None) -> Connection:
        """Lend a session that answers. Raises PoolExhausted, psycopg_pool.PoolTimeout, psycopg_pool.TooManyRequests."""
        clock = asyncio.get_running_loop().time
        ends = clock() + (self.timeout if timeout is None else timeout)
        dead = 0
        while True:
            connection = await self._queued(ends)
            try:
                answers = await _answers(connection, min(CHECK_TIMEOUT, max(0.0, ends - clock())))
            except BaseException:
                await super().putconn(connection)
                raise
            if answers:
                self._lent += 1
                return connection
            await super().putconn(connection)  # which opens another in its place
            dead += 1
            if dead > self.max_size:
                await asyncio.sleep(_AGAIN)

    async def putconn(self, conn: Connection) -> None:
        """Take a session back."""
        self._lent -= 1
        await super().putconn(conn)

    async def _queued(self, ends: float) -> Connection:
        """Take a connection in turn, dead or alive."""
        while True:
            left = ends - asyncio.get_running_loop().time()
            try:
                return await super().getconn(min(left, _PATIENCE))
            except PoolTimeout:
                if left > _PATIENCE:
                    continue
                if self._lent >= self.max_size:
                    raise PoolExhausted(f"all {self._lent} connections are lent") from None
                raise


async def _answers(connection: Connection, limit: float) -> bool:
    """Tell whether a session answers within some seconds; its socket is shut when it does not."""

    def cut() -> None:
        # Not cancelled: psycopg would ask the server to cancel first, and a frozen one does not hear that either.
        if not connection.closed:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as raw:
                raw.shutdown(socket.SHUT_RDWR)

    deadline = asyncio.get_running_loop().call_later(limit, cut)
    try:
        await AsyncConnectionPool.check_connection(connection)
    except psycopg.Error:
        return False
    finally:
        deadline.cancel()
    return True


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
    pool = Pool(
        with_bounds(dsn, application_name, statement_timeout=statement_timeout, lock_timeout=lock_timeout).reveal(),
        open=False,
        min_size=min_size,
        max_size=max_size,
        timeout=wait,
        max_waiting=max_waiting,
        reconnect_timeout=0,
        name=application_name,
    )
    await pool.open(wait=False)
    try:
        yield pool
    finally:
        await pool.close(timeout=wait)


def with_bounds(
    dsn: Secret, application_name: str, *, statement_timeout: float = 5.0, lock_timeout: float = 2.0
) -> Secret:
    """Add the session's bounds to a DSN; what the DSN says itself in `options` comes last and wins."""
    given = psycopg.conninfo.conninfo_to_dict(dsn.reveal())
    bounds = {
        "statement_timeout": statement_timeout,
        "lock_timeout": lock_timeout,
        "idle_in_transaction_session_timeout": 2 * statement_timeout,
    }
    options = " ".join(
        [*(f"-c {name}={round(seconds * 1000)}" for name, seconds in bounds.items()), _PLANNING, _READING]
    )
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
