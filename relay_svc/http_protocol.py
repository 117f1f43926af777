"""The relay's end of a client's connection: uvicorn's protocol on httptools, with the bounds that uvicorn leaves out.

The law: a request's head is bounded in bytes, in lines and in time before anything is made of it (431, 408), what is
left of a refused body is read only for a while, and the app can end a connection so that the client sees a broken
transfer. All else is uvicorn's. This is the only file that knows uvicorn's inside; it is written for the version in
requirements/.
"""

import asyncio
import functools
import sys
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

BREAK_OFF: Final = "trunkline.break_off"
"""In the ASGI scope's state: a callable that ends the connection in mid-answer; `abort=True` drops what is unsent."""
_OFFER: Final = frozenset({b"connection", b"upgrade", b"http2-settings"})
_LINGER: Final = 5.0
"""Seconds that the rest of a refused body is read and thrown away, so that the client gets to read the refusal."""


def bounded(*, max_head_bytes: int, max_headers: int, head_timeout: float) -> type[HttpToolsProtocol]:
    """Make the protocol class for these bounds; `head_timeout` in seconds, from a head's first byte or the connection."""

    class Bounded(_Bounded):
        pass

    Bounded.max_head_bytes, Bounded.max_headers, Bounded.head_timeout = max_head_bytes, max_headers, head_timeout
    return Bounded


class _HeadTooLarge(Exception):  # noqa: N818 - raised into httptools, which wraps it
    pass


class _Bounded(HttpToolsProtocol):
    max_head_bytes: int
    max_headers: int
    head_timeout: float

    _head_bytes = 0
    _in_head = True
    _refusal: bytes | None = None
    _timer: asyncio.TimerHandle | None = None
    _data = b""
    """What the parser is being fed."""
    _offered = False
    """Whether the head just read offers another protocol."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            if self._timer is None:
                self._await_head()
            # Counted whole, before parsing: a header that never ends is kept by the parser, out of our sight.
            self._head_bytes += len(data)
        self._data = data
        super().data_received(data)
        self._data = b""
        if self._in_head and self._head_bytes > self.max_head_bytes and not self.transport.is_closing():
            self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        self._in_head = True
        self._fields = self._field_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(self.url), 0)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4, 1)
        if self._in_head:  # trailers are no headers: nobody has checked them
            super().on_header(name, value)

    def _count(self, size: int, fields: int) -> None:
        self._field_bytes += size
        self._fields += fields
        if self._field_bytes > self.max_head_bytes or self._fields > self.max_headers:
            self._refusal = _TOO_LARGE
            raise _HeadTooLarge

    def on_headers_complete(self) -> None:
        self._offered = self.parser.should_upgrade()
        if self._offered:
            return  # the parser takes the body for another protocol's: see `_unsupported_upgrade_warning`
        self._in_head = False
        self._head_bytes = 0
        self._stop_timer()
        super().on_headers_complete()
        self.scope["state"][BREAK_OFF] = functools.partial(self._break_off, self.cycle)

    def on_message_complete(self) -> None:
        if self._offered:
            return
        self._in_head = True
        super().on_message_complete()
        if self.cycle.response_complete:  # the refused body is over
            self._stop_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.more_body and self.cycle.response_complete and not self.transport.is_closing():
            self._stop_timer()
            self._timer = self.loop.call_later(_LINGER, self.transport.close)

    def _unsupported_upgrade_warning(self) -> None:
        """Decline another protocol by reading the request anew without the offer (uvicorn would lose its body).

        Called by uvicorn while it handles HttpParserUpgrade, whose argument tells how far the parser got.
        """
        fault = sys.exception()
        if not isinstance(fault, httptools.HttpParserUpgrade) or self.parser.get_method() == b"CONNECT":
            self._refuse(_MALFORMED)
            return
        rest = self._data[fault.args[0] :]
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers if name not in _OFFER]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - its name is uvicorn's
        self._refuse(self._refusal or _MALFORMED)

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(self.head_timeout, self._head_late)

    def _head_late(self) -> None:
        self._timer = None
        if self._head_bytes:
            self._refuse(_TOO_SLOW)
        else:
            self.transport.close()

    def _refuse(self, answer: bytes) -> None:
        self._stop_timer()
        if self.transport.is_closing():
            return
        under_way = self.cycle is not None and not self.cycle.response_complete
        if not (under_way and (self._in_head or self.cycle.response_started)):  # never within, or for, another's answer
            self.transport.write(answer)
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _break_off(self, cycle: Any, *, abort: bool = False) -> None:
        cycle.response_complete = True  # the app meant it: uvicorn need not complain
        if abort:
            self.transport.abort()
        else:
            self.transport.close()


def _answer(status: bytes, code: bytes, message: bytes) -> bytes:
    body = b'{"error":{"message":"%s","type":"invalid_request_error","param":null,"code":"%s","reason":"%s"}}' % (
        message,
        code,
        code.upper(),
    )
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return head % (status, len(body)) + body


_TOO_LARGE: Final = _answer(
    b"431 Request Header Fields Too Large", b"headers_too_large", b"the request's headers are too large or too many"
)
_TOO_SLOW: Final = _answer(b"408 Request Timeout", b"headers_too_slow", b"the request's headers did not arrive in time")
_MALFORMED: Final = _answer(b"400 Bad Request", b"malformed_request", b"this is not HTTP as the relay reads it")
