"""The relay's end of a client's connection: the house's bounded one, with a direct way to the relay.

Law: a request becomes an `Exchange`, served by one task without ASGI; the few paths that other services answer too
(`/health`, …) stay ASGI. All else is `trunkline.http_connection`'s, and below it uvicorn's.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final, Self

from relay_svc.client_request import Headers, parts_of
from relay_svc.connection_refusals import words
from relay_svc.cors import Cors
from relay_svc.exchange import Exchange
from relay_svc.headers import first
from trunkline.http_bounds import HttpBounds
from trunkline.http_connection import BoundedConnection
from trunkline.http_faults import HttpFault

Serve = Callable[[Exchange], Awaitable[None]]

_MOST_AHEAD: Final = 8
"""Requests sent ahead that are taken in while another is served, before the client is no longer read."""
_RESET: Final = struct.pack("ii", 1, 0)  # struct linger: on, no time


class RelayConnection(BoundedConnection):
    """One connection of a client. Servers make subclasses with `direct`."""

    serve: Serve
    asgi_paths: ClassVar[frozenset[str]] = frozenset()
    cors: ClassVar[Cors | None] = None
    """What pages of other origins are told; None when they may not ask."""

    stall_limit: float
    """Longest wait, in seconds, for the client to take what is sent."""
    _standing: ClassVar[tuple[Headers, bytes]] = [], b""
    """The headers of every response, and how they were written."""

    @classmethod
    def direct(
        cls, serve: Serve, bounds: HttpBounds, asgi_paths: frozenset[str], cors: Cors | None = None
    ) -> type[Self]:
        """Makes the class of a server that gives requests to `serve`, except those for these paths."""
        made = cls.bounded(bounds, words)
        made.serve, made.asgi_paths, made.stall_limit = staticmethod(serve), asgi_paths, bounds.stall_limit
        made.cors = cors
        return made

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the work for the client."""
        for cycle in (self._serving, self.cycle):
            if isinstance(cycle, Exchange):
                cycle.leave()
        if isinstance(self.cycle, Exchange):
            self.cycle = None  # uvicorn would tell it in its own way
        super().connection_lost(exc)

    def begin_request(self) -> None:
        """Serves the request whose head is here."""
        path, raw_path, query = parts_of(self.url)
        if path in self.asgi_paths:
            self.to_asgi()
            return
        before, headers = self.cycle, self.headers
        takes_chunks = self._version != "1.0"
        if not takes_chunks:  # such a client knows no `100 Continue`: RFC 9110, 10.1.1
            headers = [header for header in headers if header[0] != b"expect"]
        self.cycle = exchange = Exchange(
            self,
            self.parser.get_method().decode("ascii"),
            path,
            headers,
            # Of a name that came twice the first counts, and `names` has the last.
            self.names if len(self.names) == len(headers) else dict(reversed(headers)),
            raw_path=raw_path,
            query=query,
        )
        exchange.takes_chunks = takes_chunks
        exchange.keep_alive = not self._last
        if before is None or before.response_complete:
            self._start_asgi_task(exchange, self.app)
        else:
            self.pipeline.appendleft((exchange, self.app))
            if len(self.pipeline) >= _MOST_AHEAD:  # not sooner, as uvicorn does: who is not read is not seen to leave
                self.flow.pause_reading()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Starts to serve a request."""
        if not isinstance(cycle, Exchange):
            super()._start_asgi_task(cycle, app)
            return
        self._serving = cycle
        # Owned by uvicorn's set of tasks, which a drain waits for; a done callback would cost a turn of the loop a request.
        self.tasks.add(self.loop.create_task(self._serve(cycle)))

    async def _serve(self, exchange: Exchange) -> None:
        task: Any = asyncio.current_task(self.loop)
        exchange.begin(task, self.loop)
        try:
            await self.serve(exchange)
        except asyncio.CancelledError:
            if not exchange.gone:
                raise
        finally:
            self.tasks.discard(task)
            if self._serving is exchange:
                self._serving = None
            if not exchange.response_complete:
                self.transport.abort()

    def on_body(self, body: bytes) -> None:
        """Gives a part of the body to the request."""
        if isinstance(self.cycle, Exchange):
            self._bare_bytes = 0
            self.cycle.feed(body)
        else:
            super().on_body(body)

    def feed_end(self) -> None:
        """Tells the request that its body is whole."""
        if isinstance(self.cycle, Exchange):
            self.cycle.feed_end()
        else:
            super().feed_end()

    def await_body(self) -> None:
        """Leaves the time of a body to the exchange, which knows since when anybody has asked for it."""
        if not isinstance(self.cycle, Exchange):
            super().await_body()

    def last_words(self, fault: HttpFault) -> bytes:
        """The whole response to a fault; a page that may ask can read it, as far as its origin has come."""
        response = super().last_words(fault)
        if self.cors is None:
            return response
        status, end, rest = response.partition(b"\r\n")
        return status + end + self.cors.lines(first(self.headers or (), b"origin")) + rest

    def standing_lines(self) -> bytes:
        """Give the header lines that every response carries, each with its end."""
        headers = self.server_state.default_headers  # another list whenever its `date` is another
        standing, lines = RelayConnection._standing
        if standing is not headers:
            lines = b"".join(b"%b: %b\r\n" % header for header in headers)
            RelayConnection._standing = headers, lines
        return lines

    def hang_up(self, *, abort: bool = False) -> None:
        """Closes the connection once what was written is taken, for which there is a limit, or at once."""
        if not abort:
            super().hang_up()
            return
        # A reset, which nobody takes for the end of a response, and which leaves nothing in the kernel.
        connected = self.transport.get_extra_info("socket")
        if connected is not None and not self.transport.is_closing():
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()
