"""One request as it comes in over the client's connection: its head, and its body, whole or bit by bit.

The law: reading is bounded in bytes and in time. What nobody has asked for is taken in up to a mark; beyond it the client is
not read, and neither is what is left of a body that was refused.
"""

import asyncio
import io
from collections.abc import Callable, Mapping
from typing import Final, Protocol
from urllib.parse import unquote

import httptools

from relay_svc import errors

Headers = list[tuple[bytes, bytes]]

_LARGE: Final = 1 << 20
_MOST_UNASKED: Final = 64 << 10
"""Bytes of a body that are taken in before anyone has asked for it."""


def parts_of(url: bytes) -> tuple[str, bytes, bytes]:
    """Give the path decoded, the path as it came, and the query. Raises HttpParserInvalidURLError."""
    plain = _PATHS.get(url)
    if plain is not None:
        return plain, url, b""
    parsed = httptools.parse_url(url)
    raw: bytes = parsed.path
    path = raw.decode("latin-1")
    return unquote(path) if "%" in path else path, raw, parsed.query or b""


_PATHS: Final = {path: path.decode() for path in (b"/v1/chat/completions", b"/v1/responses", b"/v1/messages")}
"""Paths that need no parsing: nearly every request's."""


class Flow(Protocol):
    """The pace of a connection, each way."""

    write_paused: bool

    def pause_reading(self) -> None:
        """Take nothing from the client for now."""
        ...

    def resume_reading(self) -> None:
        """Go on."""
        ...

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written."""
        ...


class Connection(Protocol):
    """What an exchange needs of the connection it is on."""

    transport: asyncio.Transport
    peer: str
    """The IP address at the other end; empty when it has none."""
    stall_limit: float
    """Longest wait, in seconds, for the client to take what is sent."""

    @property
    def flow(self) -> Flow:
        """The pace."""
        ...

    def standing_lines(self) -> bytes:
        """Give the header lines that every answer carries, each with its end."""
        ...

    def on_response_complete(self) -> None:
        """Go on with what the client sent next."""
        ...

    def hang_up(self, *, abort: bool = False) -> None:
        """Close the connection once what was written is taken, for which there is a limit, or at once."""
        ...


class ClientRequest:
    """One request."""

    __slots__ = (
        "_body",
        "_connection",
        "_end_of_body",
        "_first",
        "_large",
        "_most",
        "_size",
        "headers",
        "loop",
        "method",
        "more_body",
        "path",
        "query",
        "raw_path",
        "response_complete",
    )

    def __init__(
        self,
        connection: Connection,
        method: str,
        path: str,
        headers: Headers,
        first: Mapping[bytes, bytes],
        *,
        raw_path: bytes = b"",
        query: bytes = b"",
    ) -> None:
        """Take a head, its names in lower case; `first` has the first value of each."""
        self._connection = connection
        self.method = method
        """The method."""
        self.path = path
        """The path, decoded."""
        self.raw_path = raw_path
        """The path as it came."""
        self.query = query
        """What stood behind the path; it may hold an API key, so it is logged nowhere."""
        self.headers = headers
        self._first = first
        self._body: list[bytes] = []
        self._large: io.BytesIO | None = None
        """The same of a large body: joining its parts at its end would hold the event loop."""
        self._size = 0
        self._most = _MOST_UNASKED
        self._end_of_body: asyncio.Future[None] | None = None
        self.loop: asyncio.AbstractEventLoop
        """The event loop, from when it is served."""
        self.more_body = True
        """Whether some of the body is still to come. uvicorn clears it."""
        self.response_complete = False
        """Whether the answer is over. uvicorn starts the next request by it."""

    # ------------------------------------------------------------ the connection's side

    def feed(self, data: bytes) -> None:
        """Take a part of the body; past what may be taken in, no more is read for now."""
        if self.response_complete:
            return  # it was refused: what is left of it is thrown away
        if self._large is None:
            self._body.append(data)
        else:
            self._large.write(data)
        self._size += len(data)
        if self._size > self._most:
            self._connection.flow.pause_reading()
            self._wake()

    def feed_end(self) -> None:
        """Note that the body is whole."""
        self.more_body = False
        self._wake()

    def _wake(self) -> None:
        if self._end_of_body is not None and not self._end_of_body.done():
            self._end_of_body.set_result(None)

    # ------------------------------------------------------------ whoever serves it

    @property
    def peer(self) -> str:
        """The IP address at the other end of the connection; empty when it has none."""
        return self._connection.peer

    def header(self, name: bytes) -> bytes:
        """Give the first value of a header, its name in lower case; empty when there is none."""
        return self._first.get(name, b"")

    @property
    def length(self) -> int | None:
        """How long the body is said to be; None when its end alone will tell."""
        length = self.header(b"content-length")
        return int(length) if length.isdigit() else None

    async def is_within(self, most: int, time_limit: float) -> bool:
        """Read up to `most` bytes, and tell whether that is the whole body. Raises HttpRefusal when it is too slow."""
        self._most = most
        self._connection.flow.resume_reading()
        if self.more_body and self._size <= most:
            await self._rest_of_body(time_limit)
        return not self.more_body

    async def body(self, limit: int, time_limit: float) -> bytes:
        """Read the whole body, at most `limit` bytes within `time_limit` seconds. Raises HttpRefusal."""
        self._most = limit
        if self.more_body:
            length = self.length
            if length is not None and length > limit:
                raise errors.body_too_large(limit)
            if length is None or length > _LARGE:
                self._large = io.BytesIO()
                self._large.writelines(self._body)
                self._body = []
        self._connection.flow.resume_reading()  # also for a body that is here: a client that leaves must be seen to
        if self.more_body and self._size <= limit:
            await self._rest_of_body(time_limit)
        if self._size > limit:
            raise errors.body_too_large(limit)
        if self._large is not None:
            large, self._large = self._large, None
            return large.getvalue()  # no copy, since nobody else holds it
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        return body

    def _invite(self) -> None:
        if self.header(b"expect").lower() == b"100-continue":
            self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def stream_body(self) -> None:
        """Have the body come bit by bit: as it is taken, so it comes."""
        self._most = 0
        self._connection.flow.resume_reading()
        if self.more_body:
            self._invite()

    @property
    def body_taken(self) -> bool:
        """Whether the body was taken to its end."""
        return not (self.more_body or self._body)

    def take_body(self) -> bytes:
        """Take what is here of a body that comes bit by bit."""
        body, self._body, self._size = b"".join(self._body), [], 0
        self._connection.flow.resume_reading()  # also after the last of it, as in `body`
        return body

    def hear(self, wake: Callable[[], None]) -> None:
        """Call `wake` when there is something to take, or the body is over."""
        self._end_of_body = self.loop.create_future()
        self._end_of_body.add_done_callback(lambda _: wake())
        if self._body or not self.more_body:
            self._wake()

    async def _rest_of_body(self, time_limit: float) -> None:
        self._invite()
        loop = self.loop
        self._end_of_body = loop.create_future()
        late = loop.call_later(time_limit, self._wake)  # one timer for a body, however many parts it comes in
        try:
            await self._end_of_body
        finally:
            late.cancel()
        if self.more_body and self._size <= self._most:
            raise errors.body_too_slow(time_limit)
