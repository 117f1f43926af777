"""One database session for one worker, which can be given up at any moment.

The law: whoever uses a line gets an answer or `LineDown` within the silence allowed, also while the server is frozen. A
frozen server honours no cancel request, so nothing is asked of it: its socket is shut down, which ends the wait at once. A
line that failed is opened anew at its next use. Workers do not share lines, so the slow never hold up the quick. Do not put a
time limit of your own around `run`: a cancelled query would ask the server first, for seconds.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

import psycopg
from psycopg.types.json import set_json_loads

from trunkline.database import connect
from trunkline.errors import Cause
from trunkline.secret import Secret

T = TypeVar("T")
Connection = psycopg.AsyncConnection[psycopg.rows.TupleRow]


class LineDown(Exception):  # noqa: N818 - a state of the line
    """The database did not answer on this line; `cause` says how, without any value of a query."""

    def __init__(self, cause: str, kind: Cause = Cause.DATABASE_UNREACHABLE) -> None:
        """Keep the cause, which is for the log, and its kind, which anybody may learn."""
        self.cause, self.kind = cause, kind
        super().__init__(cause)


class Line:
    """A session that is opened at its first use and again after each failure; one user at a time."""

    def __init__(self, dsn: Secret, *, silence: float) -> None:
        """Take a DSN, and the seconds of silence after which the session is given up."""
        self._dsn = dsn
        self._silence = silence
        self._connection: Connection | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._silent = False
        self.idle = asyncio.Event()
        """Set while nobody uses the line."""
        self.idle.set()

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do some work on the session. Raises LineDown."""
        self.idle.clear()
        try:
            return await self._run(work)
        finally:
            self.idle.set()

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._silence):
                connection = self._connection or await self._open()
        except (psycopg.Error, OSError, TimeoutError) as error:
            raise LineDown(_cause(error), _kind(error)) from None
        sound = False
        try:
            async with self._watched():
                answer = await work(connection)
            sound = True
            return answer
        except (psycopg.Error, OSError) as error:
            if self._silent:
                raise LineDown("silent too long", Cause.DATABASE_SLOW) from None
            raise LineDown(_cause(error), _kind(error)) from None
        finally:
            if not sound:
                self._give_up()

    def heard(self) -> None:
        """Begin the silence anew: long work calls it after each answer."""
        if self._deadline is not None:
            self._watch()

    def sever(self) -> None:
        """Cut the session, ending whatever waits on it; one that nobody waits on stays."""
        if self._connection is not None and not self._connection.closed and not self.idle.is_set():
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as raw:
                raw.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the session; nothing may be waiting on it."""
        self._give_up()

    async def _open(self) -> Connection:
        connection = await connect(self._dsn)
        # Raw, so that one value of the wrong shape is one bad row and not a failed read.
        set_json_loads(_raw, connection)
        self._connection = connection
        return connection

    @contextlib.asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        self._silent = False
        self._watch()
        try:
            yield
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    def _watch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(self._silence, self._fell_silent)

    def _fell_silent(self) -> None:
        self._silent = True
        self.sever()

    def _give_up(self) -> None:
        """Close without a word to the server: a frozen one would not hear it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.pgconn.finish()


async def hang_up(lines: Iterable[Line], limit: float) -> None:
    """End what waits on lines, and give it some seconds to see so.

    A cancel alone would have psycopg ask the server first, which may be frozen.
    """
    lines = list(lines)
    for line in lines:
        line.sever()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit):
            for line in lines:
                await line.idle.wait()


def leaving() -> bool:
    """Tell whether the task that asks was cancelled.

    For workers that never end by themselves: a session that fails at the moment of the cancellation replaces it by its error.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _raw(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else bytes(data)


def _kind(error: Exception) -> Cause:
    slow = isinstance(error, TimeoutError | psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable)
    return Cause.DATABASE_SLOW if slow else Cause.DATABASE_UNREACHABLE


def _cause(error: Exception) -> str:
    """Name a failure by its class and its first line, which libpq keeps free of secrets and values."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
