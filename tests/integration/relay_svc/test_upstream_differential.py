"""Responses made by hypothesis, whole and damaged, read by every upstream client."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from relay_svc.upstream import Upstream, UpstreamFailure
from tests.integration.relay_svc.clients import (
    EVERY,
    Client,
    Line,
    Peer,
    chunks,
    post,
    rest_of,
)

NAMES = st.text("abcxyz-", min_size=1, max_size=12).map(lambda name: "x-" + name)
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)
PIECES = st.lists(st.binary(min_size=1, max_size=200), max_size=6)


@st.composite
def wires(draw: st.DrawFn) -> tuple[bytes, int, list[tuple[bytes, bytes]], bytes]:
    """A valid response, and what is to be read from it: status, headers, body."""
    status = draw(st.sampled_from([200, 201, 400, 429, 500, 529]))
    headers = [(name.encode(), value.encode()) for name, value in draw(st.lists(st.tuples(NAMES, VALUES), max_size=5))]
    pieces = draw(PIECES)
    body = b"".join(pieces)
    if draw(st.booleans()):
        headers.append((b"Transfer-Encoding", b"chunked"))
        trailers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=2))
        end = b"".join(f"{name}: {value}\r\n".encode() for name, value in trailers)
        framed = chunks(*pieces) + b"0\r\n" + end + b"\r\n"
    else:
        headers.append((b"Content-Length", b"%d" % len(body)))
        framed = body
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n"]))
    lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
    return interim + b"HTTP/1.1 %d X\r\n%b\r\n%b" % (status, lines, framed), status, headers, body


@contextlib.contextmanager
def stage(
    client: Client, *, closing: bool = False
) -> Iterator[tuple[asyncio.Runner, Upstream, Peer, list[list[bytes]]]]:
    """A client, and a peer that answers each request with the next of what is listed, and may close after each."""
    listed: list[list[bytes]] = []

    async def manner(line: Line) -> None:
        while True:
            await line.request()
            await line.send(*listed.pop(0))
            if closing:
                return

    with asyncio.Runner(loop_factory=client.new_loop) as runner:
        stack = contextlib.AsyncExitStack()
        peer = runner.run(stack.enter_async_context(Peer(manner).serving()))
        upstream = runner.run(stack.enter_async_context(client.open()))
        try:
            yield runner, upstream, peer, listed
        finally:
            runner.run(stack.aclose())


async def seen(upstream: Upstream, url: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """What is read: status, headers, body."""
    answer = await post(upstream, url)
    return answer.status, answer.headers, await rest_of(answer)


def cut(wire: bytes, where: list[int]) -> list[bytes]:
    """A response in parts."""
    edges = [0, *sorted({at % len(wire) for at in where}), len(wire)]
    return [wire[begin:end] for begin, end in itertools.pairwise(edges) if begin < end]


def test_every_client_reads_every_response_alike() -> None:
    """What is expected, whatever the response and however it is cut; on one connection from the first to the last."""
    with stage(EVERY["http1 on uvloop"]) as own, stage(EVERY["httpx2"]) as twin:

        @settings(max_examples=200, deadline=None)
        @given(wires(), st.lists(st.integers(0, 10_000), max_size=4))
        def alike(made: tuple[bytes, int, list[tuple[bytes, bytes]], bytes], where: list[int]) -> None:
            wire, *expected = made
            for runner, upstream, peer, listed in (own, twin):
                listed.append(cut(wire, where))
                assert runner.run(seen(upstream, peer.url)) == tuple(expected)

        alike()
        assert own[2].connections == twin[2].connections == 1


def test_no_client_reads_a_damaged_response_otherwise_than_another() -> None:
    """A byte changed, dropped or put in: the relay's own refuses it, or reads what httpx2 reads, or httpx2 refuses."""
    with stage(EVERY["http1 on uvloop"], closing=True) as own, stage(EVERY["httpx2"], closing=True) as twin:

        @settings(max_examples=300, deadline=None)
        @given(wires(), st.integers(0, 10_000), st.binary(max_size=2), st.integers(0, 2))
        def alike(made: tuple[bytes, int, list[tuple[bytes, bytes]], bytes], at: int, put: bytes, dropped: int) -> None:
            wire = made[0]
            at %= len(wire)
            damaged = wire[:at] + put + wire[at + dropped :]
            read = []
            for runner, upstream, peer, listed in (own, twin):
                listed[:] = [[damaged], [damaged]]
                with contextlib.suppress(UpstreamFailure):
                    read.append(runner.run(seen(upstream, peer.url)))
            assert len(read) < 2 or read[0] == read[1]

        alike()
