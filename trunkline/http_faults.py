"""Faults for which an HTTP connection ends without a request that could be served, and how the response is framed.

Law: pure data. Every server of the house ends a connection for the same faults, with the same status and the same sentence;
only the body around the sentence is the server's own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class HttpFault:
    """Why a connection ends."""

    status: int
    phrase: str
    code: str
    message: str
    retry: bool = False
    """Whether the same request may be served a moment later."""

    def response(self, body: bytes) -> bytes:
        """The whole response around a JSON body; the connection closes behind it."""
        again = b"retry-after: 1\r\n" if self.retry else b"x-should-retry: false\r\n"  # SDKs heed it
        return (
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n%b"
            % (self.status, self.phrase.encode(), len(body), again, body)
        )


Words = Callable[[HttpFault, bytes], bytes]
"""Writes the whole response to a fault; the second argument is the request target as far as it came."""

MALFORMED: Final = HttpFault(400, "Bad Request", "malformed_request", "this is not HTTP/1.1 as RFC 9112 writes it")
BAD_HOST: Final = HttpFault(
    400, "Bad Request", "bad_host", "an HTTP/1.1 request has exactly one valid Host header (RFC 9112, 3.2)"
)
HEAD_TOO_SLOW: Final = HttpFault(
    408, "Request Timeout", "headers_too_slow", "the request's headers did not arrive in time", retry=True
)
BODY_TOO_SLOW: Final = HttpFault(
    408, "Request Timeout", "body_too_slow", "the request's body did not arrive in time", retry=True
)
TARGET_TOO_LONG: Final = HttpFault(414, "URI Too Long", "target_too_long", "the request's path and query are too long")
HEAD_TOO_LARGE: Final = HttpFault(
    431, "Request Header Fields Too Large", "headers_too_large", "the request's headers are too large or too many"
)
TRANSFER_CODING: Final = HttpFault(
    501, "Not Implemented", "transfer_coding_unknown", "the only transfer coding that is understood is chunked"
)
TOO_MANY_CONNECTIONS: Final = HttpFault(
    503, "Service Unavailable", "too_many_connections", "too many connections are open: try again", retry=True
)
OUT_OF_DESCRIPTORS: Final = HttpFault(
    503,
    "Service Unavailable",
    "out_of_descriptors",
    "the server has run out of file descriptors: try again",
    retry=True,
)
NO_HTTP2: Final = HttpFault(
    505,
    "HTTP Version Not Supported",
    "http2_not_served",
    "this port speaks HTTP/1.1, not HTTP/2: have the client use HTTP/1.1, or put a proxy in front that does HTTP/2",
)
OTHER_VERSION: Final = HttpFault(
    505, "HTTP Version Not Supported", "http_version", "this port speaks HTTP/1.1 and HTTP/1.0"
)
TOO_MANY_AHEAD: Final = HttpFault(
    503, "Service Unavailable", "too_many_ahead", "too many requests were sent ahead of their responses", retry=True
)
"""Written to nobody: the connection ends with the response to the last request that was taken in."""

FAULTS: Final = (
    MALFORMED,
    BAD_HOST,
    HEAD_TOO_SLOW,
    BODY_TOO_SLOW,
    TARGET_TOO_LONG,
    HEAD_TOO_LARGE,
    TRANSFER_CODING,
    TOO_MANY_CONNECTIONS,
    OUT_OF_DESCRIPTORS,
    NO_HTTP2,
    OTHER_VERSION,
    TOO_MANY_AHEAD,
)
"""Every fault."""


def plain_words(fault: HttpFault, _target: bytes) -> bytes:
    """A response in nobody's format."""
    return fault.response(b'{"error":"%b","code":"%b"}' % (fault.message.encode(), fault.code.encode()))
