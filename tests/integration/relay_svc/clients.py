"""The implementations of the upstream port, and a peer of raw sockets that answers them as a test says.

Law: one suite holds for all of them, each on the event loops that it lives on; what one alone can do is asked of it by
name. The peer sees bytes and connections, nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import uvloop

from relay_svc.plan import TimeLimits
from relay_svc.upstream import BrokenAnswer, Upstream, UpstreamAnswer, UpstreamRequest
from relay_svc.upstream_http1 import Http1Upstream
from relay_svc.upstream_httpx2 import Httpx2Upstream
from tests.harness.waiting import PATIENCE, turns

BODY = b'{"model":"m"}'
PATIENT = TimeLimits(connect=PATIENCE, first_byte=PATIENCE, idle=PATIENCE, total=2 * PATIENCE)


@dataclass(frozen=True)
class Client:
    """One implementation on one event loop."""

    make: Callable[..., Upstream]
    new_loop: Callable[[], asyncio.AbstractEventLoop]

    @contextlib.asynccontextmanager
    async def open(
        self, *, max_connections: int = 100, max_idle: int = 100, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[Upstream]:
        """Make one, and close it in the end."""
        upstream = self.make(max_connections=max_connections, max_idle=max_idle, tls=tls)
        try:
            yield upstream
        finally:
            await upstream.aclose()


OWN = {
    "http1 on uvloop": Client(Http1Upstream, uvloop.new_event_loop),
    "http1 on asyncio": Client(Http1Upstream, asyncio.SelectorEventLoop),
}
EVERY = {**OWN, "httpx2": Client(Httpx2Upstream, asyncio.SelectorEventLoop)}


def holds_for(clients: dict[str, Client]) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], Callable[..., None]]:
    """Run an async test once for each client, which it takes as `client`, on that client's event loop."""

    def decorate(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        @pytest.mark.parametrize("client", clients.values(), ids=clients.keys())
        @functools.wraps(test)
        def run(client: Client, **arguments: Any) -> None:
            with asyncio.Runner(loop_factory=client.new_loop) as runner:
                runner.run(test(client, **arguments))

        return cast("Callable[..., None]", run)

    return decorate


@dataclass
class Line:
    """One connection, from the peer's end."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    """Which connection it is, from 1."""

    async def head(self) -> bytes:
        """Read a request's head."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def request(self) -> bytes:
        """Read a whole request; its body."""
        head = await self.head()
        if b"transfer-encoding: chunked" in head.lower():
            return await self._chunks()
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: "))
        return await self.reader.readexactly(int(length.partition(b" ")[2]))

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)
        return body

    async def send(self, *parts: bytes) -> None:
        """Write bytes as they are, each part in a turn of the event loop of its own."""
        for number, part in enumerate(parts):
            if number:
                await turns()
            self.writer.write(part)
            await self.writer.drain()

    async def until_gone(self) -> None:
        """Wait until the other side has closed."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(1 << 16):
                pass

    def close(self) -> None:
        """Close in order."""
        self.writer.close()

    def reset(self) -> None:
        """Close at once, whatever was unsent."""
        self.writer.transport.abort()


class Source:
    """A body that comes in piece by piece, as a test gives them."""

    def __init__(self, length: int | None, *, kept: bool = False) -> None:
        """Come in `length` bytes, or nobody knows how many; `kept` ones can be taken again."""
        self.left, self.over, self.taken = length, False, 0
        self.fault: Exception | None = None
        self.asked = 0
        """How often it was asked for more while there was none."""
        self._kept, self._all, self._pieces, self._whole = kept, list[bytes](), list[bytes](), False
        self._wake: Callable[[], None] | None = None

    def give(self, *pieces: bytes, last: bool = False) -> None:
        """Let pieces come in."""
        self._pieces += pieces
        self._all += pieces
        self._whole = last
        self.over = last and not self._pieces
        self.wake()

    def wake(self) -> None:
        """Have whoever waits look."""
        wake, self._wake = self._wake, None
        if wake is not None:
            wake()

    def take(self) -> bytes:
        """Give a piece."""
        if self.fault is not None:
            raise self.fault
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        self.taken += len(piece)
        self.left = None if self.left is None else self.left - len(piece)
        self.over = self._whole and not self._pieces
        return piece

    def tell(self, wake: Callable[[], None]) -> None:
        """Have a piece waited for."""
        self.asked += 1
        self._wake = wake
        if self._pieces or self.over or self.fault:
            self.wake()

    def rewind(self) -> bool:
        """Begin again, if it was kept."""
        if self._kept:
            self._pieces, self.over = list(self._all), False
            self.left = None if self.left is None else sum(map(len, self._all))
        return self._kept


Manner = Callable[[Line], Awaitable[None]]


@dataclass
class Peer:
    """An upstream; `manner` is what it does on a connection, and the connection ends with it."""

    manner: Manner
    url: str = ""
    connections: int = 0
    """How many there have been."""
    most: int = 0
    """How many there were at once."""
    open: set[asyncio.Task[None]] = field(default_factory=set)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.open.add(task)
        self.connections += 1
        self.most = max(self.most, len(self.open))
        try:
            # Cancelled only at the end of `serving`, and then asyncio's streams would log it.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self.manner(Line(reader, writer, self.connections))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self.open.discard(task)

    @contextlib.asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Peer]:
        """Serve on a free port; in the end every connection is closed, whatever its manner waits for."""
        server = await asyncio.start_server(self._serve, host, 0, ssl=tls)
        name = host if tls is None else "localhost"
        self.url = f"http{'s' if tls else ''}://{name}:{server.sockets[0].getsockname()[1]}/v1"
        try:
            yield self
        finally:
            server.close()
            for task in list(self.open):
                task.cancel()
            if self.open:
                await asyncio.wait(self.open)


def answering(*parts: bytes) -> Manner:
    """Answer every request on a connection alike, in parts."""

    async def manner(line: Line) -> None:
        while True:
            await line.request()
            await line.send(*parts)

    return manner


def once(*parts: bytes) -> Manner:
    """Answer one request in parts, and close."""

    async def manner(line: Line) -> None:
        await line.request()
        await line.send(*parts)

    return manner


def plain(body: bytes, status: str = "200 OK", extra: bytes = b"") -> bytes:
    """A whole response with a length."""
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n%b\r\n%b" % (status.encode(), len(body), extra, body)


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def chunks(*pieces: bytes) -> bytes:
    """Pieces as chunks, without the last."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


async def post(
    upstream: Upstream,
    url: str,
    body: bytes = BODY,
    limits: TimeLimits = PATIENT,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> UpstreamAnswer:
    """Send a request."""
    return await upstream.send(UpstreamRequest(url, headers or [], body, limits))


async def rest_of(answer: UpstreamAnswer) -> bytes:
    """Read an answer to its end, and let it go."""
    try:
        return b"".join([chunk async for chunk in _pieces(answer)])
    finally:
        await answer.aclose()


async def _pieces(answer: UpstreamAnswer) -> AsyncIterator[bytes]:
    while chunk := await answer.read():
        yield chunk


async def broken_after(answer: UpstreamAnswer) -> bytes:
    """Read an answer that must break; what came before."""
    came = b""
    try:
        while chunk := await answer.read():
            came += chunk
    except BrokenAnswer:
        return came
    raise AssertionError("the answer did not break")


async def asked(upstream: Upstream, url: str, body: bytes = BODY, limits: TimeLimits = PATIENT) -> tuple[int, bytes]:
    """Send a request and read its whole answer."""
    answer = await post(upstream, url, body, limits)
    return answer.status, await rest_of(answer)
