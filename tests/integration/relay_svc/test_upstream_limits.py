"""Every wait of the upstream clients has its limit, and nothing fills the memory: time and backpressure."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from relay_svc.upstream import ConnectFailed, ConnectTimeout, ReadTimeout, UpstreamFailure
from tests.harness.waiting import eventually_async, pace, turns
from tests.integration.relay_svc.clients import (
    CHUNKED,
    EVERY,
    OWN,
    PATIENT,
    Client,
    Line,
    Peer,
    answering,
    asked,
    broken_after,
    chunks,
    holds_for,
    plain,
    post,
    rest_of,
)

SHORT = 0.1  # seconds, of a limit that is reached
AMPLE = 1.5  # seconds, of a limit that is not, though the machine is busy
HELLO = plain(b"hello")


@contextlib.contextmanager
def in_time(limit: float = SHORT) -> Iterator[None]:
    """What is done inside takes a limit's time, not less, and not the time of another limit."""
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    assert limit * 0.9 <= took < PATIENT.idle


async def says_nothing(line: Line) -> None:
    """Reads, and never answers."""
    await line.until_gone()


async def stalls(line: Line) -> None:
    """Answers in part, and no more."""
    await line.request()
    await line.send(CHUNKED + chunks(b"hello"))
    await line.until_gone()


@holds_for(EVERY)
async def test_an_answer_that_does_not_begin_is_given_up(client: Client) -> None:
    """As a time-out after sending: the upstream may be at work. Its connection is closed."""
    async with Peer(says_nothing).serving() as peer, client.open() as upstream:
        with in_time(), pytest.raises(ReadTimeout):
            await post(upstream, peer.url, limits=replace(PATIENT, first_byte=SHORT))
        await eventually_async(lambda: not peer.open)


@holds_for(EVERY)
async def test_an_answer_whose_head_trickles_is_given_up(client: Client) -> None:
    """The limit is for the head, not for a byte of it; interim answers do not lengthen it."""

    async def manner(line: Line) -> None:
        await line.request()
        with contextlib.suppress(ConnectionError):
            while not line.writer.is_closing():
                await line.send(b"HTTP/1.1 102 Processing\r\n\r\n")
                await pace(SHORT / 10)

    async with Peer(manner).serving() as peer, client.open() as upstream:
        with in_time(), pytest.raises(ReadTimeout):
            await post(upstream, peer.url, limits=replace(PATIENT, first_byte=SHORT))


@holds_for(EVERY)
async def test_an_answer_that_stalls_is_given_up(client: Client) -> None:
    """The limit holds between two reads; what is here is given at once."""
    async with Peer(stalls).serving() as peer, client.open() as upstream:
        answer = await post(upstream, peer.url, limits=replace(PATIENT, idle=SHORT))
        assert await answer.read() == b"hello"
        with in_time(), pytest.raises(ReadTimeout):
            await answer.read()
        await eventually_async(lambda: not peer.open or client not in OWN.values())
        await answer.aclose()


@holds_for(EVERY)
async def test_the_idle_limit_begins_anew_with_every_read(client: Client) -> None:
    """A stream may last many times as long, and a reader may take its time."""

    async def manner(line: Line) -> None:
        await line.request()
        await line.send(CHUNKED)
        for _ in range(8):
            await line.send(chunks(b"x"))
            await pace(AMPLE / 6)
        await line.send(b"0\r\n\r\n")

    async with Peer(manner).serving() as peer, client.open() as upstream:
        answer = await post(upstream, peer.url, limits=replace(PATIENT, idle=AMPLE))
        assert await answer.read() == b"x"
        await pace(AMPLE * 1.2)  # longer than the limit
        assert await rest_of(answer) == b"x" * 7


@pytest.mark.parametrize("manner", [says_nothing, stalls])
@holds_for(EVERY)
async def test_the_total_limit_ends_everything(client: Client, manner: object) -> None:
    """Whatever is waited for."""
    async with Peer(manner).serving() as peer, client.open() as upstream:  # type: ignore[arg-type]  # both are manners
        with in_time(), pytest.raises(ReadTimeout):
            await asked(upstream, peer.url, limits=replace(PATIENT, total=SHORT))


@holds_for(EVERY)
async def test_a_request_that_is_not_taken_is_given_up(client: Client) -> None:
    """As a time-out before it was sent whole, bounded by the size of its body."""

    async def manner(_line: Line) -> None:
        await asyncio.Event().wait()

    async with Peer(manner).serving() as peer, client.open() as upstream:
        with in_time(), pytest.raises(ConnectTimeout):
            await post(upstream, peer.url, bytes(16 << 20), replace(PATIENT, total=SHORT))


@holds_for(OWN)
async def test_an_answer_of_one_connection_after_another_keeps_its_own_time(client: Client) -> None:
    """The connection's timer serves limits of every length, in whatever order they come."""
    waits = iter([0.0, 0.0, 1.4 * AMPLE, 0.0, 1.2 * AMPLE, 0.0])

    async def manner(line: Line) -> None:
        while True:
            await line.request()
            await pace(next(waits, 60))
            await line.send(HELLO)

    async with Peer(manner).serving() as peer, client.open() as upstream:
        for first_byte in (60, AMPLE, 60, AMPLE, 60, AMPLE):
            assert await asked(upstream, peer.url, limits=replace(PATIENT, first_byte=first_byte)) == (200, b"hello")
        assert peer.connections == 1
        with in_time(2 * SHORT), pytest.raises(ReadTimeout):
            await asked(upstream, peer.url, limits=replace(PATIENT, first_byte=2 * SHORT))


@holds_for(OWN)
async def test_a_peer_that_never_finishes_the_handshake_is_given_up(client: Client) -> None:
    """TLS is a part of connecting."""
    async with Peer(says_nothing).serving() as peer, client.open() as upstream:
        with in_time(), pytest.raises(ConnectTimeout):
            await post(upstream, peer.url.replace("http:", "https:"), limits=replace(PATIENT, connect=SHORT))
        await eventually_async(lambda: not peer.open)


@pytest.mark.parametrize("how", ["closed", "reset"])
@holds_for(EVERY)
async def test_a_peer_that_hangs_up_in_the_handshake_is_a_failed_connection(client: Client, how: str) -> None:
    """At its beginning, or when the first words are in."""

    async def manner(line: Line) -> None:
        if line.number > 1:
            await line.reader.read(10)
        line.reset() if how == "reset" else line.close()

    async with Peer(manner).serving() as peer, client.open() as upstream:
        for _ in range(3):
            with pytest.raises(ConnectFailed):
                await post(upstream, peer.url.replace("http:", "https:"))
        await eventually_async(lambda: not peer.open)


@holds_for(EVERY)
async def test_a_peer_that_speaks_no_tls_is_a_failed_connection(client: Client) -> None:
    """And is told nothing."""

    async def manner(line: Line) -> None:
        await line.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n" * 10)
        await line.until_gone()

    async with Peer(manner).serving() as peer, client.open() as upstream:
        with pytest.raises(ConnectFailed):
            await post(upstream, peer.url.replace("http:", "https:"))
        await eventually_async(lambda: not peer.open)


@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
@holds_for(EVERY)
async def test_an_answer_that_is_not_read_stops_its_upstream(client: Client, framing: str) -> None:
    """Two sockets' buffers fill, and a bounded part of memory; then nothing moves until it is read, and then all of it."""
    piece, count = b"x" * 65536, 1000
    begin, one, end = {
        "length": (b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(piece) * count), piece, b""),
        "chunks": (CHUNKED, chunks(piece), b"0\r\n\r\n"),
        "close": (b"HTTP/1.1 200 OK\r\n\r\n", piece, b""),
    }[framing]
    sent = 0

    async def manner(line: Line) -> None:
        nonlocal sent
        await line.request()
        await line.send(begin)
        for _ in range(count):
            await line.send(one)
            sent += len(piece)
        await line.send(end)

    async with Peer(manner).serving() as peer, client.open() as upstream:
        answer = await post(upstream, peer.url)
        before = -1

        def came_to_a_stop() -> bool:
            nonlocal before
            stopped, before = sent == before, sent
            return stopped and sent > 0

        await eventually_async(came_to_a_stop)
        assert sent < 24 << 20
        assert len(await answer.read()) <= 1 << 20
        size = 0
        while chunk := await answer.read():
            size += len(chunk)
        assert sent == len(piece) * count
        assert size > sent - (1 << 20)
        await answer.aclose()


@holds_for(OWN)
async def test_an_answer_that_is_here_is_given_without_waiting(client: Client) -> None:
    """All of it at once, and the connection is free at once."""
    async with (
        Peer(answering(CHUNKED + chunks(b"he", b"llo") + b"0\r\n\r\n")).serving() as peer,
        client.open() as upstream,
    ):
        answer = await post(upstream, peer.url)
        await turns(50)
        reading = answer.read()
        with pytest.raises(StopIteration) as read:
            reading.send(None)  # a coroutine is what every implementation makes
        assert read.value.value == b"hello"
        assert await asked(upstream, peer.url) == (200, b"hello")
        assert peer.connections == 1
        await answer.aclose()


@holds_for(OWN)
async def test_a_break_while_nobody_reads_is_told_after_what_came(client: Client) -> None:
    """Beyond what is held in memory, too."""

    async def manner(line: Line) -> None:
        await line.request()
        await line.send(CHUNKED)
        for _ in range(20):
            await line.send(chunks(b"x" * 100_000))

    async with Peer(manner).serving() as peer, client.open() as upstream:
        answer = await post(upstream, peer.url)
        await turns(50)
        assert await broken_after(answer) == b"x" * 2_000_000


@holds_for(OWN)
async def test_a_failure_tells_nothing_of_the_request(client: Client) -> None:
    """Neither its URL, nor a header, nor its body."""
    async with Peer(says_nothing).serving() as peer, client.open() as upstream:
        headers = [(b"authorization", b"Bearer sk-secret")]
        for limits in (replace(PATIENT, first_byte=0.01), replace(PATIENT, total=0)):
            with pytest.raises(UpstreamFailure) as caught:
                await post(upstream, peer.url + "/sk-secret", b"sk-secret", limits, headers)
            assert "secret" not in repr(caught.value) + str(caught.value.__context__) * bool(caught.value.__cause__)
