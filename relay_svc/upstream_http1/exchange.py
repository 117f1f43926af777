"""One request and its answer over one connection.

The law: an exchange that ends in any way but a whole answer closes its connection, and so does one that is cancelled. What a
request is worth is judged by its answer alone: an answer that begins before the request is sent whole ends the sending.
"""

from typing import Final

from relay_svc.plan import TimeLimits
from relay_svc.upstream import BrokenAnswer, Coming, ConnectTimeout, ReadTimeout, Sink
from relay_svc.upstream_http1.connection import Connection
from relay_svc.upstream_http1.uploading import upload

_AT_ONCE: Final = 64 << 10
"""Longest body that leaves in one piece with its head."""
_SLICE: Final = 256 << 10
"""Bytes of a longer body that are handed to the transport at a time: what is not handed over need not be sent."""
_SLOWEST: Final = 1 << 20
"""Bytes a second that an upstream must take at least."""


class StaleConnection(Exception):  # noqa: N818 - never leaves this package
    """A connection that was used before ended without a byte of answer."""


async def exchange(
    connection: Connection, head: bytes, body: bytes, limits: TimeLimits, total: float, coming: Coming | None = None
) -> "Answer":
    """Send a request and wait for its answer's head. Raises UpstreamFailure, StaleConnection, and what `coming` raises."""
    reader, loop = connection.reader, connection.loop
    if connection.closed:  # while it was handed over by the pool
        raise StaleConnection if connection.used else BrokenAnswer("the connection ended before the answer")
    connection.begin()
    try:
        if coming is not None:
            await upload(connection, head, body, coming, limits, total)
        elif len(body) <= _AT_ONCE:
            connection.write(head + body)
            connection.sent = True
        if coming is None and (connection.stuck or not connection.sent):
            deadline = min(total, loop.time() + limits.connect + len(body) / _SLOWEST)
            await _send(connection, head, body, deadline)
        deadline = min(total, loop.time() + limits.first_byte)
        while not (reader.status or reader.fault):
            await connection.news(deadline)
            if connection.late and not (reader.status or reader.fault):
                raise ReadTimeout("no answer in time")  # noqa: TRY301 - closes the connection like all else
    except BaseException:
        connection.abort()
        raise
    if reader.status:
        return Answer(connection, limits.idle, total)
    connection.abort()
    if connection.used and not reader.started:
        raise StaleConnection
    raise BrokenAnswer(reader.fault)


async def _send(connection: Connection, head: bytes, body: bytes, deadline: float) -> None:
    """Send what has not been handed over, until there is an answer, or none to come: then the rest is of no use."""
    reader = connection.reader
    rest = memoryview(body)
    if connection.sent:
        rest = rest[:0]
    else:
        connection.write(head)
    while rest or connection.stuck:
        while connection.stuck:
            if reader.status or reader.fault:
                return
            await connection.news(deadline)
            if connection.late and connection.stuck:
                raise ConnectTimeout("the request could not be sent in time")
        connection.write(rest[:_SLICE])
        rest = rest[_SLICE:]
    connection.sent = True


class Answer:
    """An answer being read."""

    __slots__ = ("_connection", "_idle", "_total", "headers", "status")

    def __init__(self, connection: Connection, idle: float, total: float) -> None:
        """Take the answer whose head has come over a connection."""
        self.status = connection.reader.status
        self.headers = connection.reader.headers
        self._connection: Connection | None = connection
        """None once the answer was read to its end: the connection may be another's by then."""
        self._idle, self._total = idle, total

    @property
    def over(self) -> bool:
        """Whether it was read to its end."""
        return self._connection is None

    async def read(self) -> bytes:
        """Give all bytes of the body that are here, or wait for some; empty at its end. Raises ReadTimeout, BrokenAnswer."""
        connection = self._connection
        if connection is None:
            return b""
        reader = connection.reader
        if not (reader.unread or reader.over):
            await self._more(connection)
        data = connection.take()
        if reader.complete:
            self._connection = None
            connection.release()
        elif not data:
            connection.abort()
            raise BrokenAnswer(reader.fault)
        return data

    async def _more(self, connection: Connection) -> None:
        reader = connection.reader
        deadline = min(self._total, connection.loop.time() + self._idle)
        try:
            while not (reader.unread or reader.over):
                await connection.news(deadline)
                if connection.late and not (reader.unread or reader.over):
                    raise ReadTimeout("the answer stalled")  # noqa: TRY301 - closes the connection like all else
        except BaseException:
            connection.abort()
            raise

    async def pour(self, sink: Sink) -> bytes:
        """Give a sink all that is still to come, without a turn of the event loop for each part.

        The last bytes are returned if they came with the end. Raises ReadTimeout, BrokenAnswer.
        """
        connection = self._connection
        if connection is None:
            return b""
        reader, loop = connection.reader, connection.loop
        try:
            while not reader.over:
                if loop.time() >= self._total:  # the timer alone loses to an upstream that always has more at hand
                    raise ReadTimeout("the answer took too long")  # noqa: TRY301 - closes the connection like all else
                if reader.unread:
                    more = sink.take(connection.take())
                else:
                    more = await connection.pour(sink, self._idle, self._total)
                    if connection.late and not (reader.unread or reader.over):
                        raise ReadTimeout("the answer stalled")  # noqa: TRY301 - closes the connection like all else
                if not more and not await sink.ready():
                    return b""
            if reader.fault and reader.unread:
                sink.take(connection.take())
        except BaseException:
            connection.abort()
            raise
        return await self.read()

    async def aclose(self) -> None:
        """Let the connection go: it is closed unless the body was read to its end."""
        connection = self._connection
        if connection is None:
            return
        if connection.reader.complete and not connection.reader.unread:
            self._connection = None
            connection.release()
        else:
            connection.abort()
