"""One request and its answer, as the rest of the relay sees them, on the client's connection itself.

The law: writing waits for the client, for a time, and a client that leaves cancels the work at once, wherever it waits: the
connection tells the exchange, the exchange cancels its task. An answer's framing is made here and nowhere else, and is whole
or visibly broken, never out of step with the next answer.

No ASGI: its messages, its queues and its second task a request cost more than all else that the relay does for one. uvicorn's
protocol takes an Exchange for one of its own cycles, so connections, keep-alive, pipelining and drains stay uvicorn's; what
it reads and writes on a cycle is marked below.
"""

import asyncio
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final

from relay_svc.client_request import ClientRequest, Connection, Headers

_LARGE: Final = 16 << 10
"""Bytes from which a chunk is written beside its framing: a third write costs less than copying it."""
_NO_BODY: Final = frozenset({204, 304})


class ClientStalled(Exception):  # noqa: N818 - a fact, not an error
    """The client took nothing for too long."""


class Exchange(ClientRequest):
    """One request and its answer."""

    __slots__ = (
        "_chunked",
        "_left",
        "_unsent",
        "close_delimited",
        "gone",
        "keep_alive",
        "sent",
        "stalled",
        "standing",
        "started",
        "status",
        "takes_chunks",
        "task",
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
        super().__init__(connection, method, path, headers, first, raw_path=raw_path, query=query)
        self.task: asyncio.Task[None] | None = None
        self._chunked = False
        self.standing = b""
        """Header lines of its answer, whatever that is, each with its end."""
        self._unsent = b""
        """The head, until something goes with it."""
        self._left: int | None = None
        """Bytes of the answer's body that its head promised and that are still to be sent; None when it promised none."""
        self.takes_chunks = True
        """Whether the client knows chunked bodies: HTTP/1.1 does."""
        self.close_delimited = False
        """Whether only the connection's end ends the answer."""
        self.gone = False
        """Whether the client has left."""
        self.stalled = False
        """Whether the client took nothing for too long."""
        self.started = False
        """Whether the client has been sent anything."""
        self.status = 0
        """The status sent; 0 before."""
        self.sent = 0
        """Bytes of the answer's body sent."""
        self.keep_alive = True
        """Whether the connection outlives the answer. uvicorn clears it when it drains."""

    # ------------------------------------------------------------ the connection's side

    @property
    def response_started(self) -> bool:
        """The same as `started`, as uvicorn calls it."""
        return self.started

    def begin(self, task: asyncio.Task[None], loop: asyncio.AbstractEventLoop) -> None:
        """Take the task that serves it; a client that left before it ran is noticed at its first wait."""
        self.task, self.loop = task, loop
        if self.gone:
            task.cancel()

    def leave(self) -> None:
        """Note that the client is gone, and end the work for it."""
        if not self.response_complete:
            self.gone = True
            if self.task is not None:
                self.task.cancel()

    # ------------------------------------------------------------ the answer

    def start(self, status: int, headers: Headers) -> None:
        """Give the head, whose names are in lower case; it goes out with the first bytes of the body, in one packet.

        Framing is made here, from `content-length` where it is given.
        """
        if status in _NO_BODY:  # RFC 9110, 8.6 and 15.4.5: no length that a reader may wait for
            headers = [header for header in headers if header[0] != b"content-length"]
        lines = [b": ".join(header) for header in headers]
        lines += self._framing(status, headers)
        fields = b"\r\n".join((*lines, b"\r\n"))
        # A value that holds a line's end would let an upstream write the client's next answer.
        if not fields.count(b"\n") == fields.count(b"\r") == len(lines) + 1:
            raise ValueError("a header holds the end of a line")
        self.started, self.status = True, status
        self._unsent = (_STATUS_LINES.get(status) or _status_line(status)) + self._connection.standing_lines()
        self._unsent += self.standing + fields

    def _framing(self, status: int, headers: Headers) -> list[bytes]:
        """Settle how the answer's end will be told, and whether the connection outlives it; gives the lines that say so."""
        named = dict(headers)
        length = int(named[b"content-length"]) if b"content-length" in named else None
        closes = b"connection" in named and b"close" in named[b"connection"].lower()
        framing: list[bytes] = []
        if self.method == "HEAD" or status in _NO_BODY:
            length = 0
        elif length is None and self.takes_chunks:
            self._chunked = True
            framing.append(b"transfer-encoding: chunked")
        elif length is None:
            self.close_delimited = True
        self._left = length
        if closes or self.close_delimited:
            self.keep_alive = False
        if not self.keep_alive and not closes:
            framing.append(b"connection: close")
        return framing

    async def write(self, data: bytes) -> None:
        """Send a part of the body, empty at will; waits while the client is behind. Raises ClientStalled."""
        self.put(data)
        if self.behind:
            await self.drained()

    @property
    def behind(self) -> bool:
        """Whether the client has yet to take much of what was sent."""
        return self._connection.flow.write_paused

    async def finish(self, data: bytes = b"") -> None:
        """Send the last of the body: the answer is whole. Raises ClientStalled."""
        if self._connection.flow.write_paused:
            await self.drained()
        if self._left is not None and self._left != len(data):
            if self.status not in _NO_BODY:
                raise ValueError("an answer that is not as long as its content-length")
            data = b""
        self.put(data, last=True)
        self.response_complete = True
        if not self.keep_alive:
            self._connection.hang_up()
        self._connection.on_response_complete()

    @property
    def chunked(self) -> bool:
        """Whether its body goes out in chunks of HTTP/1.1."""
        return self._chunked

    def pass_chunk(self, chunk: bytes, size: int) -> bool:
        """Send `size` bytes as the whole chunk of HTTP/1.1 that they came in, once the head is sent; False if behind now."""
        connection = self._connection
        self.sent += size
        if not self.gone:
            connection.transport.write(chunk)
        return not connection.flow.write_paused

    def put(self, data: bytes, *, last: bool = False) -> None:
        """Send a part of the body, whether or not the client is behind; each costs a system call."""
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                if self.status not in _NO_BODY:
                    raise ValueError("an answer longer than its content-length")
                data, self._left = b"", 0
        self.sent += len(data)
        head, self._unsent = self._unsent, b""
        if self._chunked and data:
            if len(data) >= _LARGE:
                self._write(head + b"%x\r\n" % len(data))
                self._write(data)
                self._write(b"\r\n0\r\n\r\n" if last else b"\r\n")
            else:
                self._write((b"%b%x\r\n%b\r\n0\r\n\r\n" if last else b"%b%x\r\n%b\r\n") % (head, len(data), data))
        elif self._chunked and last:
            self._write(head + b"0\r\n\r\n")
        elif len(data) >= _LARGE:
            self._write(head)
            self._write(data)
        else:
            self._write(head + data)

    def _write(self, data: bytes) -> None:
        if data and not self.gone:
            self._connection.transport.write(data)

    async def drained(self) -> None:
        """Wait until the client is not behind. Raises ClientStalled."""
        try:
            async with asyncio.timeout(self._connection.stall_limit):
                await self._connection.flow.drain()
        except TimeoutError:
            self.stalled = True
            raise ClientStalled from None

    async def answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole answer at once."""
        every = [*headers, (b"content-length", b"%d" % len(body))]
        if self.header(b"expect"):  # the body may have been refused unsent, and then the connection is out of step
            every.append((b"connection", b"close"))
        self.start(status, every)
        await self.finish(body)

    def break_off(self, *, abort: bool = False) -> None:
        """End the connection in the middle of the answer; `abort` drops what the client has not taken yet."""
        if not abort:
            self.put(b"")
        self.response_complete = True
        self._connection.hang_up(abort=abort)


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode())


_STATUS_LINES: Final = {status.value: _status_line(status.value) for status in HTTPStatus}
