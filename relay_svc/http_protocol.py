"""The relay's end of a client's connection: uvicorn's protocol on httptools, bounded, and with a direct way to the relay.

The law: a request's head is bounded in bytes, in lines and in time before anything is made of it (431, 408); what is left of
a refused body is read only for a while. A request then becomes an `Exchange`, served by one task without ASGI; the few paths
that other services answer too (`/health`, …) stay ASGI. All else is uvicorn's. This is the only file that knows uvicorn's
inside; it is written for the version in requirements/.
"""

import asyncio
import socket
import struct
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from relay_svc.client_request import Headers, parts_of
from relay_svc.connection_refusals import MALFORMED, TOO_LARGE, TOO_SLOW
from relay_svc.endpoints import family_of
from relay_svc.exchange import Exchange
from relay_svc.operations import Format
from trunkline.serving import OPERATIONS

Serve = Callable[[Exchange], Awaitable[None]]

_OFFER: Final = frozenset({b"connection", b"upgrade", b"http2-settings"})
_MOST_AHEAD: Final = 8
"""Requests sent ahead that are taken in while another is served."""
_RESET: Final = struct.pack("ii", 1, 0)  # struct linger: on, no time
_LINGER: Final = 5.0
"""Seconds that the rest of a refused body is read and thrown away, so that the client gets to read the refusal."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a connection; times in seconds."""

    max_head_bytes: int
    max_headers: int
    head_timeout: float
    """From a head's first byte, or the connection."""
    stall_limit: float
    """Longest wait for a client to take what is sent."""


def direct(serve: Serve, limits: Limits) -> type[HttpToolsProtocol]:
    """Make the protocol class that gives requests to `serve` within these bounds."""

    class Direct(_Direct):
        pass

    Direct.serve, Direct.limits = staticmethod(serve), limits
    return Direct


class _HeadTooLarge(Exception):  # noqa: N818 - raised into httptools, which wraps it
    pass


class _Direct(HttpToolsProtocol):
    serve: Serve
    limits: Limits
    cycle: Any
    """uvicorn's cycle, or an Exchange in its place."""
    pipeline: deque[tuple[Any, Any]]

    peer = ""
    url = b""
    """As far as it has come, of the last request; it says in whose words a refusal is."""
    stall_limit: float
    _head_bytes = 0
    _in_head = True
    _refusal: Mapping[Format, bytes] | None = None
    _timer: asyncio.TimerHandle | None = None
    _data = b""
    """What the parser is being fed."""
    _offered = False
    """Whether the head just read offers another protocol."""
    _serving: Exchange | None = None
    """The exchange that has a task; those behind it wait in uvicorn's pipeline."""
    _standing: tuple[Headers, bytes] = [], b""
    """The headers of every answer, and how they were written."""
    _idle_since: float | None = None
    """When the last answer ended, while nothing has come since."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.peer = self.client[0] if self.client else ""
        self.stall_limit, self._max_headers = self.limits.stall_limit, self.limits.max_headers
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        if self._serving is not None:
            self._serving.leave()
        if isinstance(self.cycle, Exchange):
            self.cycle.leave()
            self.cycle = None  # uvicorn would tell it in its own way
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            # Counted whole, before parsing: a header that never ends is kept by the parser, out of our sight.
            self._head_bytes += len(data)
        self._data = data
        super().data_received(data)
        self._data = b""
        if self._in_head and self._head_bytes and not self.transport.is_closing():  # a whole head needs no timer
            if self._head_bytes > self.limits.max_head_bytes:
                self._refuse(TOO_LARGE)
            elif self._timer is None:
                self._await_head()

    def on_message_begin(self) -> None:
        # Not uvicorn's, which makes an ASGI scope: see `_to_asgi`.
        self._in_head = True
        self.url = b""
        self.headers: Headers = []
        self._trailers = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            self.headers.append((name.lower(), value))
        else:  # trailers are no headers: nobody has checked them
            self._trailers += 1
        if len(self.headers) + self._trailers > self._max_headers:
            self._too_large()

    def _too_large(self) -> None:
        self._refusal = TOO_LARGE
        raise _HeadTooLarge

    def _weigh(self) -> None:
        """Weigh a head that came in a piece larger than the bound: what follows it may have made up the rest."""
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > self.limits.max_head_bytes:
            self._too_large()

    def on_headers_complete(self) -> None:
        self._offered = self.parser.should_upgrade()
        if self._offered:
            return  # the parser takes the body for another protocol's: see `_unsupported_upgrade_warning`
        if self._head_bytes > self.limits.max_head_bytes:
            self._weigh()
        self._in_head = False
        self._head_bytes = 0
        self._stop_timer()
        path, raw_path, query = parts_of(self.url)
        if path in OPERATIONS:
            self._to_asgi()
            return
        before, parser = self.cycle, self.parser
        self.cycle = exchange = Exchange(
            self, parser.get_method().decode("ascii"), path, self.headers, raw_path=raw_path, query=query
        )
        exchange.takes_chunks = parser.get_http_version() != "1.0"
        exchange.keep_alive = exchange.takes_chunks and parser.should_keep_alive()
        if before is None or before.response_complete:
            self._start_asgi_task(exchange, self.app)
        else:
            self.pipeline.appendleft((exchange, self.app))
            if len(self.pipeline) >= _MOST_AHEAD:  # not sooner, as uvicorn does: who is not read is not seen to leave
                self.flow.pause_reading()

    def _to_asgi(self) -> None:
        headers, url = self.headers, self.url
        super().on_message_begin()
        self.headers += headers
        self.url = url
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
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
        if isinstance(self.cycle, Exchange):
            self.cycle.feed(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._offered:
            return
        self._in_head = True
        if isinstance(self.cycle, Exchange):
            self.cycle.feed_end()
        else:
            super().on_message_complete()
        if self.cycle.response_complete:  # the refused body is over
            self._stop_timer()

    def on_response_complete(self) -> None:
        """Do as uvicorn does, but leave a running keep-alive timer: starting one a request costs more than looking again."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = self.loop.time()
            if self.timeout_keep_alive_task is None:
                self._await_request(self.timeout_keep_alive)
        if self.cycle.more_body and self.cycle.response_complete:
            self._stop_timer()
            self._timer = self.loop.call_later(_LINGER, self.transport.close)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def _await_request(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._idle_since is None:
            return  # the end of the answer under way starts it anew
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._await_request(left)
        elif not self.transport.is_closing():
            self.hang_up()

    def standing_lines(self) -> bytes:
        headers = self.server_state.default_headers  # another list whenever its `date` is another
        standing, lines = _Direct._standing
        if standing is not headers:
            lines = b"".join(b"%b: %b\r\n" % header for header in headers)
            _Direct._standing = headers, lines
        return lines

    def hang_up(self, *, abort: bool = False) -> None:
        if abort:
            # A reset, which nobody takes for the end of an answer, and which leaves nothing in the kernel.
            connected = self.transport.get_extra_info("socket")
            if connected is not None and not self.transport.is_closing():
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()
            return
        self.transport.close()
        if self.transport.get_write_buffer_size():  # a client that takes nothing would keep it for good
            self.loop.call_later(self.limits.stall_limit, self.transport.abort)

    def _unsupported_upgrade_warning(self) -> None:
        """Decline another protocol by reading the request anew without the offer (uvicorn would lose its body).

        Called by uvicorn while it handles HttpParserUpgrade, whose argument tells how far the parser got.
        """
        fault = sys.exception()
        if not isinstance(fault, httptools.HttpParserUpgrade) or self.parser.get_method() == b"CONNECT":
            self._refuse(MALFORMED)
            return
        rest = self._data[fault.args[0] :]
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers if name not in _OFFER]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - its name is uvicorn's
        self._refuse(self._refusal or MALFORMED)

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(self.limits.head_timeout, self._head_late)

    def _head_late(self) -> None:
        self._timer = None
        if self._head_bytes:
            self._refuse(TOO_SLOW)
        else:
            self.transport.close()

    def _refuse(self, answer: Mapping[Format, bytes]) -> None:
        self._stop_timer()
        if self.transport.is_closing():
            return
        under_way = self.cycle is not None and not self.cycle.response_complete
        if not (under_way and (self._in_head or self.cycle.response_started)):  # never within, or for, another's answer
            self.transport.write(answer[family_of(self.url)])
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
