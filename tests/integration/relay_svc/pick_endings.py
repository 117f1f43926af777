"""How a peer can end a pick call, in order and out of it, and what the call says then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import h2.errors
import hpack
from hyperframe import frame as frames

from relay_svc.router_client.call import MOST_BYTES
from tests.integration.relay_svc.pick_peers import HEAD, Far, framed

OTHERS_HEAD = hpack.Encoder().encode([(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "x")])


async def refuses(far: Far, status: str, code: str, said: str) -> None:
    """Answer with trailers alone."""
    refused = [(":status", status), ("grpc-status", code), ("grpc-message", said)]
    far.http.send_headers(1, refused, end_stream=True)
    await far.send()


async def ends(far: Far, trailers: list[tuple[str, str]] | None = None) -> None:
    """End after a message, with these trailers."""
    await far.answer(b"m")
    if trailers is None:
        far.http.end_stream(1)
    else:
        far.http.send_headers(1, trailers, end_stream=True)
    await far.send()


async def resets(far: Far) -> None:
    """Reset the stream."""
    far.http.reset_stream(1, h2.errors.ErrorCodes.REFUSED_STREAM)
    await far.send()


async def says_and_closes(far: Far, data: bytes) -> None:
    """Write bytes, and close."""
    await far.send(data)
    far.line.close()


async def goes_away(far: Far, code: int, last: int) -> None:
    """Send GOAWAY."""
    await far.send(frames.GoAwayFrame(0, last_stream_id=last, error_code=code).serialize())


async def floods_headers(far: Far) -> None:
    """Begin a header block that never ends."""
    more = frames.ContinuationFrame(1, data=b"\0" * 16_000).serialize()
    await far.send(frames.HeadersFrame(1, data=b"").serialize() + more * 100)


async def bombs(far: Far) -> None:
    """Send a small header block that says very much: one long value, again and again."""
    encoder = hpack.Encoder()
    block = encoder.encode([(b":status", b"200"), (b"x", b"v" * 4000)]) + bytes([0x80 | 62]) * 10_000
    await far.send(frames.HeadersFrame(1, data=block, flags=["END_HEADERS"]).serialize())


async def answers(far: Far, data: bytes) -> None:
    """Begin the answer with these bytes."""
    far.http.send_headers(1, HEAD)
    await far.pour(data)


ENDINGS: dict[str, tuple[Callable[[Far], Awaitable[None]], str]] = {
    "refused": (
        lambda far: refuses(far, "200", "16", "no such%20token: sk%C3%A9"),
        "UNAUTHENTICATED: no such token: ské",
    ),
    "forbidden": (lambda far: refuses(far, "200", "7", "needs %0Apick"), "PERMISSION_DENIED: needs \npick"),
    "a long refusal": (lambda far: refuses(far, "200", "14", "x" * 5000), "UNAVAILABLE: " + "x" * 300),
    "nonsense refused": (lambda far: refuses(far, "200", "99", "%zz%ff"), "UNKNOWN: %zz�"),
    "status": (lambda far: refuses(far, "503", "14", "no"), "HTTP status 503"),
    "in order": (lambda far: ends(far, [("grpc-status", "0")]), "OK: "),
    "without status": (lambda far: ends(far, [("x", "y")]), "ended without a status"),
    "without trailers": (ends, "ended without a status"),
    "reset": (resets, "StreamReset: REFUSED_STREAM"),
    "too much": (lambda far: goes_away(far, 11, 1), "ConnectionTerminated: ENHANCE_YOUR_CALM"),
    "goes away without": (lambda far: goes_away(far, 0, 0), "ConnectionTerminated: NO_ERROR"),
    "goes away for reasons of its own": (lambda far: goes_away(far, 0xFFFF, 1), "ConnectionTerminated: 65535"),
    "compressed": (lambda far: answers(far, b"\1\0\0\0\1x"), "a message is compressed, or too large"),
    "too large": (
        lambda far: answers(far, b"\0" + (MOST_BYTES + 1).to_bytes(4, "big")),
        "a message is compressed, or too large",
    ),
    "pushes": (
        lambda far: far.send(
            frames.PushPromiseFrame(1, promised_stream_id=2, data=OTHERS_HEAD, flags=["END_HEADERS"]).serialize()
        ),
        "this is not HTTP/2: ProtocolError",
    ),
    "calls back": (
        lambda far: far.send(frames.HeadersFrame(2, data=OTHERS_HEAD, flags=["END_HEADERS"]).serialize()),
        "this is not HTTP/2: TooManyStreamsError",
    ),
    "answers another": (
        lambda far: far.send(frames.DataFrame(3, data=framed(b"m")).serialize()),
        "this is not HTTP/2: NoSuchStreamError",
    ),
    "speaks HTTP/1.1": (
        lambda far: says_and_closes(far, b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n"),
        "the connection was lost",
    ),
    "writes frames that are none": (
        lambda far: far.send(b"\0\0\5\4\0\0\0\0\0abcde"),
        "this is not HTTP/2: FrameDataMissingError",
    ),
    "writes frames too large": (
        lambda far: far.send(b"\0\x40\1\0\0\0\0\0\1" + bytes(0x4001)),
        "this is not HTTP/2: FrameTooLargeError",
    ),
    "begins without end": (floods_headers, "this is not HTTP/2: ProtocolError"),
    "says too much": (bombs, "this is not HTTP/2: DenialOfServiceError"),
    "gives too much": (
        lambda far: far.send(frames.WindowUpdateFrame(0, window_increment=(1 << 31) - 1).serialize()),
        "this is not HTTP/2: FlowControlError",
    ),
}
