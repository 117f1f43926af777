"""Reads the answers of one connection, one after another, from bytes as they come.

The law: pure; fed bytes and told of the end, it never waits. What can be read in two ways is not read: a length beside
chunks, two lengths, an encoding other than `chunked`, folded lines, bare line ends and control characters are faults
(llhttp's strict mode finds most of them). Heads, trailers and the lines between chunks are bounded. A byte after the
answer's end is never taken for a part of it, and the connection is not used again. (llhttp skips bare line ends between
answers; they carry nothing.)
"""

from functools import lru_cache
from typing import Final

import httptools

MAX_HEAD: Final = 64 << 10
"""Most bytes of a head, with all interim answers before it; the same for trailers, and for what lies between chunks."""
MAX_HEADERS: Final = 256
_INTERIM: Final = 200
_LOWEST: Final = 100
_SWITCHING: Final = 101
_BODILESS: Final = frozenset({204, 304})
_LINE_END: Final = b"\r\n"


class _Stop(Exception):  # noqa: N818 - raised into httptools, which stops at it; `fault` or `surplus` says why
    pass


class Reader:
    """Reads answers to POST and GET requests."""

    __slots__ = (
        "_between",
        "_bounded",
        "_chunked",
        "_fed",
        "_fields",
        "_parser",
        "_pieces",
        "complete",
        "fault",
        "headers",
        "keep_alive",
        "started",
        "status",
        "surplus",
        "unread",
    )

    def __init__(self) -> None:
        """Expect nothing yet."""
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self.begin()

    def begin(self) -> None:
        """Expect an answer; the last one was read to its end."""
        self.status = 0
        """The status; 0 until the head is here."""
        self.headers: list[tuple[bytes, bytes]] = []
        self.started = False
        """Whether a byte has come."""
        self.complete = False
        """Whether the answer is here to its end."""
        self.fault = ""
        """What was wrong with it, in our own words; empty while nothing is."""
        self.surplus = False
        """Whether something came after its end."""
        self.keep_alive = False
        """Whether the upstream will take another request, once the answer is complete."""
        self.unread = 0
        """Bytes of the body that `take` would give."""
        self._bounded = self._chunked = self._between = False
        self._fed = self._fields = 0

    @property
    def over(self) -> bool:
        """Whether nothing more will come: it is complete, or at fault."""
        return self.complete or bool(self.fault)

    def close(self) -> None:
        """Read no more; what is here can still be taken."""
        self._parser = None  # it refers to this object: without it nothing waits for the garbage collector
        if not (self.complete or self.fault):
            self.fault = "the answer was let go before its end"

    def feed(self, data: bytes) -> None:
        """Read bytes."""
        if self._parser is None or self.fault:
            return
        self.started = True
        self._fed += len(data)
        before = self.unread
        self._between = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._between = False
            if self.complete:
                self.surplus = True
            elif not self.fault:
                self.fault = "the answer is not HTTP/1.1"
            return
        self._between = self._between and data.endswith(_LINE_END)  # what follows it, if anything, has no end yet
        if self.unread != before:
            self._fed = 0
        elif self._fed > MAX_HEAD and not self.complete:
            self.fault = "the answer's lines are too long"

    def whole_chunk(self, data: bytes) -> int:
        """Tell where a chunk's own bytes begin if these are one, no more and no less; they are not to be fed then. Else 0.

        Most parts of an event stream come so, and finding one costs a tenth of parsing it. It starts where the parser stands:
        the last thing that it read was a chunk's end, and `whole_chunk` leaves it there.
        """
        if self._between and data.startswith(_size_lines(len(data))) and data.endswith(_LINE_END):
            return data.index(_LINE_END) + 2
        return 0

    def end(self) -> None:
        """Take note that nothing more will come."""
        if self.complete or self.fault:
            return
        if self.status and not self._bounded:
            self.complete = True
        else:
            self.fault = "the connection ended before the answer"

    def take(self) -> bytes:
        """Give the bytes of the body that are here; empty when there are none."""
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.unread = 0
        return data

    # ------------------------------------------------------------ called by httptools

    def on_message_begin(self) -> None:
        """Refuse a second answer to one request."""
        if self.complete:
            raise _Stop

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers are counted and dropped."""
        self._fields += 1
        if self._fields > MAX_HEADERS:
            self._stop("the answer has too many headers")
        if self.status:
            return
        self.headers.append((name, value.rstrip()))
        if len(name) in _LENGTHS:
            self._framing(name.lower(), value)

    def on_headers_complete(self) -> None:
        """Judge the head."""
        parser = self._parser
        if parser is None:
            return
        status, version = parser.get_status_code(), parser.get_http_version()
        if version != "1.1" and (version != "1.0" or self._chunked):
            self._stop("the answer's version is not HTTP/1.1")
        if status < _LOWEST or status == _SWITCHING:
            self._stop("the answer's status is none to a request")
        if self._fed > MAX_HEAD and sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD:
            self._stop("the answer's head is too large")
        if status < _INTERIM:
            self.headers.clear()
            self._bounded = self._chunked = False
            return
        self._bounded = self._bounded or status in _BODILESS
        self.status = status

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._pieces.append(body)
        self.unread += len(body)

    def on_chunk_header(self) -> None:
        """Note that a chunk begins."""
        self._between = False

    def on_chunk_complete(self) -> None:
        """Note that it is here."""
        self._between = True

    def on_message_complete(self) -> None:
        """Note the end, unless it is an interim answer's."""
        if self.status and self._parser is not None:
            self.complete = True
            self.keep_alive = self._parser.should_keep_alive()

    def _framing(self, name: bytes, value: bytes) -> None:
        if name == b"transfer-encoding":
            if self._chunked or value.strip().lower() != b"chunked":
                self._stop("the answer's encoding is not plainly chunked")
            self._bounded = self._chunked = True
        elif name == b"content-length":
            self._bounded = True

    def _stop(self, fault: str) -> None:
        self.fault = fault
        raise _Stop


@lru_cache(maxsize=4096)
def _size_lines(length: int) -> tuple[bytes, ...]:
    """Give the size lines, in small and large letters, of a chunk that is so long in all; some lengths have none."""
    for digits in range(1, 9):
        size = b"%x" % max(1, length - digits - 4)
        if len(size) == digits and int(size, 16) + digits + 4 == length:
            return size + _LINE_END, size.upper() + _LINE_END
    return ()


_LENGTHS: Final = frozenset({len(b"transfer-encoding"), len(b"content-length")})
"""Of the names that matter to framing: all other headers are passed without another look."""
