"""Who has which connection: the slots of all connections, those that lie idle, and requests that wait for one.

The law: a connection, from before it is dialled until it is closed, is one slot, and there are never more than allowed. The
last one used is used first, so that the others grow old and go. A slot is never held by nobody: whoever stops waiting
passes on what he was given. Waiting is in turn, bounded in number and in time.
"""

import asyncio
from collections import OrderedDict, deque
from typing import Final, Protocol

from relay_svc.upstream import ConnectFailed, ConnectTimeout, NoDescriptor
from relay_svc.upstream_http1.connection import Connection
from relay_svc.upstream_http1.request import Origin
from trunkline import descriptors

_MOST_WAITING: Final = 10_000
"""Requests that wait for a connection; the relay serves no more at once unless it is told to."""


class Dials(Protocol):
    """What connects connections."""

    async def dial(self, connection: Connection) -> None:
        """Connect a connection to its origin. Raises OSError, ValueError."""
        ...

    def remember(self, connection: Connection) -> None:
        """Learn what makes the next connection cheaper, from one that was read from."""
        ...


class _Waiting:
    """A request that waits: for a connection to its origin, or for the slot to make one."""

    __slots__ = ("fresh", "given", "origin")

    def __init__(self, origin: Origin, *, fresh: bool) -> None:
        self.origin, self.fresh = origin, fresh
        self.given: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()


class Pool:
    """All connections."""

    def __init__(self, dialler: Dials, *, max_connections: int, max_idle: int, keep_alive: float) -> None:
        """Open none yet; `dialler` connects one, and one that was idle for `keep_alive` seconds is closed."""
        self._dialler = dialler
        self._max_connections, self._max_idle, self._keep_alive = max_connections, max_idle, keep_alive
        self._slots: set[Connection] = set()
        self._idle: OrderedDict[Connection, float] = OrderedDict()
        """Since when each idle connection has been so, oldest first."""
        self._stacks: dict[Origin, dict[Connection, None]] = {}
        """The idle ones by origin, oldest first."""
        self._waiting: deque[_Waiting] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def size(self) -> int:
        """Slots taken."""
        return len(self._slots)

    @property
    def idle(self) -> int:
        """Connections that lie idle."""
        return len(self._idle)

    def take(self, origin: Origin) -> Connection | None:
        """Give the idle connection to an origin that was used last, if there is one."""
        stack = self._stacks.get(origin)
        if not stack:
            return None
        connection, _ = stack.popitem()
        del self._idle[connection]
        return connection

    async def connection(self, origin: Origin, limit: float, total: float, *, fresh: bool) -> Connection:
        """Make a connection, or wait for one; `fresh` refuses one that was used.

        Waiting and dialling take at most `limit` seconds each, and end at `total`. Raises ConnectFailed, ConnectTimeout,
        NoDescriptor.
        """
        if self._closed:
            raise ConnectFailed("closed")
        connection = self._slot(origin) or await self._wait(_Waiting(origin, fresh=fresh), limit, total)
        if connection.connected:
            return connection
        try:
            async with asyncio.timeout_at(min(total, connection.loop.time() + limit)):
                await self._dialler.dial(connection)
        except BaseException as error:
            connection.abort()
            match error:
                case TimeoutError():
                    raise ConnectTimeout("no connection in time") from None
                case OSError() if descriptors.ran_out(error, "upstreams"):
                    raise NoDescriptor from None
                case OSError() | ValueError():
                    raise ConnectFailed(type(error).__name__) from None  # its text would name addresses
            raise
        return connection

    def close(self) -> None:
        """Close every connection, and fail whoever waits for one."""
        self._closed = True
        for waiting in self._waiting:
            if not waiting.given.done():
                waiting.given.set_exception(ConnectFailed("closed"))
        self._waiting.clear()
        for connection in list(self._slots):
            connection.abort()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    # ------------------------------------------------------------ called by connections

    def keep(self, connection: Connection) -> None:
        """Take back a connection that can be used again."""
        if not connection.used:
            connection.used = True
            self._dialler.remember(connection)
        waiting = self._next()
        if waiting is not None:
            if waiting.origin == connection.origin and not waiting.fresh:
                waiting.given.set_result(connection)
            else:  # in turn: its slot goes to another origin
                self._waiting.appendleft(waiting)
                connection.abort()
            return
        if not self._max_idle:
            connection.abort()
            return
        if len(self._idle) >= self._max_idle:
            next(iter(self._idle)).abort()
        self._idle[connection] = connection.loop.time()
        self._stacks.setdefault(connection.origin, {})[connection] = None
        if self._sweep is None:
            self._sweep = connection.loop.call_later(self._keep_alive, self._expire)

    def gone(self, connection: Connection) -> None:
        """Give a closed connection's slot to whoever waits."""
        self._slots.discard(connection)
        if self._idle.pop(connection, None) is not None:
            del self._stacks[connection.origin][connection]
        if not self._closed and len(self._slots) < self._max_connections and (waiting := self._next()) is not None:
            waiting.given.set_result(self._new(waiting.origin))

    # ------------------------------------------------------------ slots

    def _slot(self, origin: Origin) -> Connection | None:
        if len(self._slots) >= self._max_connections and self._idle:
            next(iter(self._idle)).abort()  # the oldest, of whatever origin: nobody waits while any lies idle
        return self._new(origin) if len(self._slots) < self._max_connections else None

    def _new(self, origin: Origin) -> Connection:
        connection = Connection(origin, self)
        self._slots.add(connection)
        return connection

    async def _wait(self, waiting: _Waiting, limit: float, total: float) -> Connection:
        if len(self._waiting) >= _MOST_WAITING:
            raise ConnectFailed("too many requests wait for a connection")
        self._waiting.append(waiting)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(total, loop.time() + limit)):
                return await waiting.given
        except BaseException as error:
            self._stopped(waiting)
            if isinstance(error, TimeoutError):
                raise ConnectTimeout("no connection was free in time") from None
            raise

    def _stopped(self, waiting: _Waiting) -> None:
        """Pass on what was given to one who no longer waits."""
        given = waiting.given
        if not given.done() or given.cancelled():
            given.cancel()
        elif given.exception() is None:
            connection = given.result()
            if connection.connected and not connection.closed:
                self.keep(connection)
            else:
                connection.abort()

    def _next(self) -> _Waiting | None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.given.done():
                return waiting
        return None

    def _expire(self) -> None:
        self._sweep = None
        while self._idle:
            connection, since = next(iter(self._idle.items()))
            due = since + self._keep_alive
            if due > connection.loop.time():
                self._sweep = connection.loop.call_at(due, self._expire)
                break
            connection.abort()
        self._stacks = {origin: stack for origin, stack in self._stacks.items() if stack}
