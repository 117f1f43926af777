"""The relay's own gRPC call, fed with bytes: what a router's double would send, cut anywhere, and anything else.

Law: nothing is raised into the event loop. The call goes on, or ends with CallEnded; what it keeps is bounded.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any, cast

import h2.config
import h2.connection
import pytest
from hyperframe import frame as frames
from hypothesis import example, given
from hypothesis import strategies as st

from relay_svc.router_client.call import MOST_BYTES, Call, CallEnded, Peer
from tests.harness.fuzz import examples
from trunkline.secret import Secret

MESSAGES = [b"", b"one", b"two" * 30]
_LARGEST = (1 << 24) + 9
"""Bytes of a frame that `h2` waits for before it finds it too large."""


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        """Begin open."""
        self.written, self.aborted = bytearray(), False

    def get_extra_info(self, name: str) -> Any:
        """No TLS; a socket that knows no options."""
        return None if name == "ssl_object" else self

    def setsockopt(self, *_: int) -> None:
        """As some systems say."""
        raise OSError

    def write(self, data: bytes) -> None:
        """Keep it."""
        assert not self.aborted
        self.written += data

    def abort(self) -> None:
        """Close."""
        self.aborted = True


def opened(loop: asyncio.AbstractEventLoop) -> tuple[Call, Wire, list[bytes]]:
    """A call that has begun, and what it hears."""
    heard: list[bytes] = []

    async def make() -> Call:
        return Call(Peer("router.test:1", Secret("t")), "/s/m", heard.append, secure=False)

    call, wire = loop.run_until_complete(make()), Wire()
    call.connection_made(cast("Any", wire))
    return call, wire, heard


def transcript(begun: bytes) -> bytes:
    """What a router's end of HTTP/2 sends of its own to a call with these messages, to the end."""
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    http.initiate_connection()
    http.receive_data(begun)
    http.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
    for message in MESSAGES:
        http.send_data(1, b"\0" + len(message).to_bytes(4, "big") + message, pad_length=len(message) % 5)
        http.ping(b"12345678")
    http.send_headers(1, [("grpc-status", "14"), ("grpc-message", "the%20end")], end_stream=True)
    return http.data_to_send()


@pytest.fixture(scope="module")
def loop() -> Any:
    """An event loop that does not turn."""
    loop = asyncio.SelectorEventLoop()
    yield loop
    loop.close()


@pytest.mark.parametrize("cuts", [1, 2, 0])
def test_messages_are_the_same_however_they_are_cut(loop: asyncio.AbstractEventLoop, cuts: int) -> None:
    """In two at every byte, in three, and byte by byte."""
    whole = transcript(bytes(opened(loop)[1].written))
    at: list[list[int]] = {
        0: [list(range(1, len(whole)))],
        1: [[cut] for cut in range(len(whole))],
        2: [[cut, cut + 5] for cut in range(len(whole))],
    }[cuts]
    for cut in at:
        call, wire, heard = opened(loop)
        for begin, end in zip([0, *cut], [*cut, len(whole)], strict=True):
            call.data_received(whole[begin:end])
        assert heard == MESSAGES
        with pytest.raises(CallEnded, match=r"^UNAVAILABLE: the end$"):
            call.ended.result()
        assert wire.aborted


HEADS = st.sampled_from(
    [b"", b"\x88", b"\x88\x5f\x10application/grpc", b"\x08\x03103", b"\x48\x82\x64\x02", b"\xbe" * 50]
)


@st.composite
def any_frame(draw: st.DrawFn) -> bytes:
    """A frame whose head is well formed; what is in it need not be."""
    kind = draw(st.integers(0, 11))
    body = draw(st.one_of(st.binary(max_size=40), HEADS, st.sampled_from([b"\0\0\0\0\1x", b"\0\0\x80\0\1", bytes(8)])))
    flags = draw(st.one_of(st.sampled_from([0, 1, 4, 5]), st.integers(0, 255)))
    stream = draw(st.one_of(st.sampled_from([0, 1, 1, 1, 2, 3]), st.integers(0, (1 << 31) - 1)))
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


SENT = st.lists(
    st.one_of(any_frame(), any_frame(), st.just(frames.SettingsFrame(0).serialize()), st.binary(max_size=60))
)


@given(SENT, st.integers(0, 400), st.lists(st.integers(0, 800), max_size=8), st.booleans())
@example([b"\0\0\0\1\5\0\0\0\1"], 0, [], True)
@examples(400)
def test_any_bytes_end_the_call_or_do_not(sent: list[bytes], kept: int, cuts: list[int], writes: bool) -> None:
    """After any part of what a router sends, cut anywhere, whether the call has written or not."""
    loop = asyncio.SelectorEventLoop()
    loop.set_debug(True)
    try:
        call, wire, heard = opened(loop)
        data = transcript(bytes(wire.written))[:kept] + b"".join(sent)
        begun = len(wire.written)
        edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        for begin, end in pairwise(edges):
            call.data_received(data[begin:end])
            if writes:
                call.write(b"x" * 100)
        judge(call, wire, heard, len(data), begun + writes * 200 * len(edges))
    finally:
        loop.close()


def judge(call: Call, wire: Wire, heard: list[bytes], received: int, asked: int) -> None:
    """Hold the law against what became of a call."""
    assert wire.aborted == call.ended.done()
    if call.ended.done():
        assert isinstance(call.ended.exception(), CallEnded)
    assert sum(map(len, heard)) + len(call._unread) <= received
    assert len(call._unread) <= MOST_BYTES + 5 + (1 << 14)
    assert len(call._http.incoming_buffer._data) <= min(received, _LARGEST)
    assert len(call._http.streams) <= 1
    assert len(wire.written) <= asked + 4 * received + 100


def test_a_message_that_never_ends_is_kept_up_to_its_bound(loop: asyncio.AbstractEventLoop) -> None:
    """And the one that is as large as can be is heard."""
    call, wire, heard = opened(loop)
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    http.initiate_connection()
    read = 0

    def send(data: bytes) -> None:
        nonlocal read
        for begin in range(0, len(data), 1 << 14):
            http.receive_data(bytes(wire.written[read:]))
            read = len(wire.written)
            http.send_data(1, data[begin : begin + (1 << 14)])
            call.data_received(http.data_to_send())

    http.receive_data(bytes(wire.written))
    read = len(wire.written)
    http.send_headers(1, [(":status", "200")])
    send(b"\0" + MOST_BYTES.to_bytes(4, "big"))
    for _ in range(MOST_BYTES >> 20):
        assert not heard
        send(b"x" * (1 << 20))
    assert [len(message) for message in heard] == [MOST_BYTES]
    assert not call._unread
    assert not call.ended.done()
    send(b"\0" + (MOST_BYTES + 1).to_bytes(4, "big"))
    assert call.ended.done()
