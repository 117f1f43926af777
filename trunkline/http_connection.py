"""The server's end of an HTTP connection: uvicorn's protocol on httptools, bounded.

Law: what a stranger sends costs work in proportion to its bytes, and nothing calls itself or logs a line for each of his
requests. A head is bounded in bytes, lines and time before anything is made of it, a body in time, requests sent ahead and
connections in number. A connection at fault ends; requests that were taken in before the fault are answered first.
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, NoReturn, Self

import httptools

from trunkline import descriptors, http_faults
from trunkline.http_bounds import DEFAULTS, HttpBounds
from trunkline.http_faults import HttpFault, Words, plain_words
from trunkline.http_head import Headers, fault_of, origin_form, without_offer
from trunkline.http_parting import Parting
from trunkline.sparing import Sparing


class _Enough(Exception):  # noqa: N818 - raised into httptools, which wraps it; `_fault` says why, if anything is wrong
    pass


class BoundedConnection(Parting):
    """One connection. Servers make subclasses with `bounded`."""

    max_headers: ClassVar[int] = DEFAULTS.max_headers
    """The bound again, looked up for each header."""
    names: Mapping[bytes, bytes]
    """The last value of each header, by name."""
    _bare_bytes = 0
    """Bytes since the last part of a body: sizes of chunks, trailers."""
    _last = False
    """Whether the request just read is the last one, by its own word."""
    _offered = False
    """Whether the head just read offers another protocol."""
    _fault: HttpFault | None = None
    _version = "1.1"
    """Of the last head."""

    # ------------------------------------------------------------ bytes

    def data_received(self, data: bytes) -> None:
        """Reads what came."""
        if self._over:
            if self._parted:
                self._throw_away(len(data))
            return
        self._idle_since = None
        if self._in_head:
            # Counted whole, before parsing: a header that never ends is kept by the parser, out of our sight.
            self._head_bytes += len(data)
        else:
            self._bare_bytes += len(data)
            if self.cycle is not None and self.cycle.response_complete:
                self._throw_away(len(data))
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._take_offers(data, offer.args[0])
        except httptools.HttpParserError:
            self._stopped()
        if not self._in_head or self._head_bytes:  # nearly always a whole request came, and awaits nothing
            self._await_rest()

    def _await_rest(self) -> None:
        """Bounds the head or the body under way."""
        if self._over or self.transport.is_closing():
            return
        if not self._in_head:
            if self._bare_bytes > self.bounds.max_head_bytes:
                self._refuse(http_faults.HEAD_TOO_LARGE)
            elif self._timer is None:
                self.await_body()
        elif self._head_bytes > self.bounds.max_head_bytes:
            self._refuse(http_faults.HEAD_TOO_LARGE)
        elif self._timer is None:
            self._await_head()

    def _take_offers(self, data: bytes, read: int) -> None:
        """Parses on behind an offer of another protocol; each costs one turn, and there are no more than may be ahead."""
        rest = memoryview(data)
        while self._decline():
            rest = rest[read:]
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                read = offer.args[0]
            except httptools.HttpParserError:
                self._stopped()
                return
            else:
                return

    def _decline(self) -> bool:
        """Declines another protocol by reading the head anew without the offer: uvicorn would lose its body."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(http_faults.MALFORMED)
            return False
        head = without_offer(method, self.url, self.parser.get_http_version(), self.headers)
        self.parser = httptools.HttpRequestParser(self)
        try:
            self.parser.feed_data(head)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._stopped()
            return False
        return True

    def _stopped(self) -> None:
        """The parser will read no more, for a fault of its own, or one of ours, or because there is enough."""
        fault, self._fault = self._fault, None
        if fault is None and self._last and self._in_head:
            self._over = True  # RFC 9112, 9.6: nothing is served behind `Connection: close`
            return
        if fault is None and self._in_head and self.parser.get_method() == b"PRI":
            fault = http_faults.NO_HTTP2
        self._refuse(fault or http_faults.MALFORMED)

    # ------------------------------------------------------------ called by httptools

    def on_message_begin(self) -> None:
        """Begins a head. Not as uvicorn does, which makes an ASGI scope: see `to_asgi`."""
        if self._last:
            raise _Enough
        if len(self.pipeline) >= self.bounds.max_pipelined:
            self._give_up(http_faults.TOO_MANY_AHEAD)
        self._in_head = True
        self.url = b""
        self.headers: Headers = []
        self._trailers = 0

    def on_url(self, url: bytes) -> None:
        """Takes a part of the target."""
        self.url += url
        if len(self.url) > self.bounds.max_target_bytes:
            self._give_up(http_faults.TARGET_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header."""
        if self._in_head:
            headers = self.headers
            headers.append((name.lower(), value))
            if len(headers) > self.max_headers:
                self._give_up(http_faults.HEAD_TOO_LARGE)
        else:  # trailers are no headers: nobody has checked them
            self._trailers += 1
            if len(self.headers) + self._trailers > self.max_headers:
                self._give_up(http_faults.HEAD_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Judges the head, and serves its request."""
        parser = self.parser
        self._offered = parser.should_upgrade()
        if self._offered:
            return  # the parser takes the body for another protocol's: see `_decline`
        if self._head_bytes > self.bounds.max_head_bytes:
            self._weigh()
        self._version = version = parser.get_http_version()
        self.names = names = dict(self.headers)
        if (fault := fault_of(version, self.headers, names)) is not None:
            self._give_up(fault)
        if not self.url.startswith(b"/"):
            target = origin_form(parser.get_method(), self.url)
            if target is None:
                self._give_up(http_faults.MALFORMED)
            self.url = target
        self._in_head = False
        self._head_bytes = self._bare_bytes = 0
        self._last = version == "1.0" or not parser.should_keep_alive()
        if self._timer is not None:
            self._stop_timer()
        self.begin_request()

    def begin_request(self) -> None:
        """Serves the request whose head is here."""
        self.to_asgi()

    def to_asgi(self) -> None:
        """Makes uvicorn's cycle of it."""
        headers, url = self.headers, self.url
        super().on_message_begin()
        self.url = url
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Takes a part of the body."""
        self._bare_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Takes note that the body is whole."""
        if self._offered:
            return
        self._in_head = True
        self.feed_end()
        if self._timer is not None:
            self._stop_timer()

    def feed_end(self) -> None:
        """Tells the request so."""
        super().on_message_complete()

    def _weigh(self) -> None:
        """Weighs a head that came in a piece larger than the bound: what follows it may have made up the rest."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.bounds.max_head_bytes:
            self._give_up(http_faults.HEAD_TOO_LARGE)

    def _give_up(self, fault: HttpFault) -> NoReturn:
        self._fault = fault
        raise _Enough

    @classmethod
    def bounded(cls, bounds: HttpBounds, words: Words = plain_words) -> type[Self]:
        """Makes the class of one server's connections; of the process's descriptors clients get three quarters at most."""
        room = max(1, descriptors.limit() * 3 // 4)
        bounds = dataclasses.replace(bounds, max_connections=min(bounds.max_connections, room))
        fields = {"words": staticmethod(words), "turned_away": set(), "sparing": Sparing()}
        return type(cls.__name__, (cls,), {"bounds": bounds, "max_headers": bounds.max_headers, **fields})
