"""Sends a request whose body is still coming in, at the pace of the slower side.

The law: one piece is in hand, and the next is taken when the upstream has taken the last. An answer that begins, or a
connection that breaks, ends the sending. How long the body's source may take is its own to bound; here the upstream's share
is: each piece must go within the time to connect.
"""

from relay_svc.plan import TimeLimits
from relay_svc.upstream import Coming, ConnectTimeout
from relay_svc.upstream_http1.connection import Connection


async def upload(
    connection: Connection, head: bytes, body: bytes, coming: Coming, limits: TimeLimits, total: float
) -> None:
    """Send it all, unless there is an answer before. Raises ConnectTimeout, and what the source raises."""
    reader, chunked = connection.reader, coming.left is None
    connection.write(head + _framed(body, chunked=chunked))
    while not (reader.status or reader.fault):
        if connection.stuck:
            await _taken(connection, limits, total)
        elif data := coming.take():
            connection.write(_framed(data, chunked=chunked))
        elif coming.over:
            connection.write(b"0\r\n\r\n" if chunked else b"")
            connection.sent = True
            await _taken(connection, limits, total)
            return
        else:
            news = connection.news(total)
            coming.tell(connection.poke)
            await news
            if connection.late:
                raise ConnectTimeout("the request could not be sent in time")


async def _taken(connection: Connection, limits: TimeLimits, total: float) -> None:
    """Wait until the upstream has taken what was sent, or says something."""
    reader = connection.reader
    deadline = min(total, connection.loop.time() + limits.connect)
    while connection.stuck and not (reader.status or reader.fault):
        await connection.news(deadline)
        if connection.late and connection.stuck:
            raise ConnectTimeout("the request could not be sent in time")


def _framed(data: bytes, *, chunked: bool) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if chunked and data else data
