"""Bodies that are still coming in while they are sent: whole, paced, and never held."""

from __future__ import annotations

import asyncio
import random

import pytest

from relay_svc.plan import TimeLimits
from relay_svc.upstream import BrokenAnswer, ConnectTimeout, Upstream, UpstreamAnswer, UpstreamRequest
from tests.harness.waiting import eventually_async
from tests.integration.relay_svc.clients import (
    EVERY,
    OWN,
    PATIENT,
    Client,
    Line,
    Peer,
    Source,
    holds_for,
    plain,
    rest_of,
)

HELLO = plain(b"hello")
PIECE = 64 << 10


class Gone(Exception):  # noqa: N818 - a fact
    """The sender of the body has left."""


async def uploaded(
    upstream: Upstream, url: str, body: bytes, coming: Source, limits: TimeLimits = PATIENT
) -> UpstreamAnswer:
    """Send a request whose body is still coming in."""
    return await upstream.send(UpstreamRequest(url, [], body, limits, coming=coming))


@holds_for(EVERY)
async def test_a_body_that_comes_in_while_it_is_sent_arrives_whole(client: Client) -> None:
    """With a length where one is known, in chunks otherwise; and the connection is used again."""
    got: list[bytes] = []

    async def manner(line: Line) -> None:
        while True:
            got.append(await line.request())
            await line.send(HELLO)

    pieces = [random.Random(7).randbytes(size) for size in (1, 300_000, 70_000)]
    whole = b"".join(pieces)
    async with Peer(manner).serving() as peer, client.open() as upstream:
        for length in (len(whole), None):
            for body in (b"head", b""):
                coming = Source(length)
                async with asyncio.TaskGroup() as tasks:
                    sending = tasks.create_task(uploaded(upstream, peer.url, body, coming))
                    for number, piece in enumerate(pieces, 1):
                        waited = coming.asked
                        coming.give(piece, last=number == len(pieces))
                        await eventually_async(lambda: coming.over or coming.asked > waited)  # noqa: B023 - awaited here
                assert await rest_of(await sending) == b"hello"
                assert got.pop() == body + whole
        assert peer.connections == 1


@holds_for(EVERY)
async def test_no_more_is_taken_than_the_upstream_takes(client: Client) -> None:
    """The source is left alone while the upstream reads nothing."""
    go_on = asyncio.Event()
    got = 0

    async def manner(line: Line) -> None:
        nonlocal got
        await line.head()
        await go_on.wait()
        got = len(await line.reader.readexactly(size))
        await line.send(HELLO)

    size = 1024 * PIECE
    coming = Source(size)
    coming.give(*[bytes(PIECE)] * 1024, last=True)
    async with Peer(manner).serving() as peer, client.open() as upstream, asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(uploaded(upstream, peer.url, b"", coming))
        seen: list[int] = []

        async def stands() -> bool:
            seen.append(coming.taken)
            return len(seen) > 20 and seen[-20] == coming.taken > 0

        await eventually_async(stands)
        assert coming.taken < size // 2
        go_on.set()
        assert await rest_of(await sending) == b"hello"
        assert got == size


@holds_for(EVERY)
async def test_a_source_that_fails_ends_the_request_before_it_is_whole(client: Client) -> None:
    """What it raises is raised, and the upstream sees the connection end within the body."""
    for length in (100, None):
        heard = b""

        async def manner(line: Line) -> None:
            nonlocal heard
            while data := await line.reader.read(1000):
                heard += data

        coming = Source(length)
        coming.give(b"some")
        async with Peer(manner).serving() as peer, client.open() as upstream, asyncio.TaskGroup() as tasks:

            async def fails(url: str) -> None:
                with pytest.raises(Gone):
                    await uploaded(upstream, url, b"", coming)  # noqa: B023 - awaited here

            sending = tasks.create_task(fails(peer.url))
            await eventually_async(lambda: b"some" in heard)  # noqa: B023 - awaited here
            coming.fault = Gone()
            coming.wake()
            await sending
            await eventually_async(lambda: not peer.open)
        assert not heard.endswith(b"0\r\n\r\n")


@holds_for(EVERY)
async def test_a_stale_connection_is_replaced_while_the_body_can_begin_again(client: Client) -> None:
    """And is a broken answer when it cannot."""

    async def manner(line: Line) -> None:
        await line.request()
        await line.send(HELLO)
        if line.number == 1:
            await line.head()
            line.reset()
            return
        while True:
            await line.request()
            await line.send(HELLO)

    for kept in (True, False):
        async with Peer(manner).serving() as peer, client.open() as upstream:
            for number in range(2):
                coming = Source(4, kept=kept)
                coming.give(b"body", last=True)
                if kept or not number:
                    assert await rest_of(await uploaded(upstream, peer.url, b"", coming)) == b"hello"
                else:
                    with pytest.raises(BrokenAnswer):
                        await uploaded(upstream, peer.url, b"", coming)
            assert peer.connections == (2 if kept else 1)


@holds_for(EVERY)
async def test_an_upstream_that_takes_nothing_is_given_up(client: Client) -> None:
    """Each piece has the time to connect."""

    async def manner(line: Line) -> None:
        await line.head()
        await asyncio.Event().wait()

    coming = Source(1024 * PIECE)
    coming.give(*[bytes(PIECE)] * 1024, last=True)
    limits = TimeLimits(connect=0.2, first_byte=5, idle=5, total=10)
    async with Peer(manner).serving() as peer, client.open() as upstream:
        with pytest.raises(ConnectTimeout):
            await uploaded(upstream, peer.url, b"", coming, limits)


@holds_for(OWN)
async def test_an_answer_ends_an_upload(client: Client) -> None:
    """A refusal need not wait for a body that nobody wants; the connection is out of step from then on."""

    async def manner(line: Line) -> None:
        await line.head()
        await line.send(plain(b"no", "413 Content Too Large"))
        await line.until_gone()

    coming = Source(100)
    coming.give(b"some")
    async with Peer(manner).serving() as peer, client.open() as upstream:
        answer = await uploaded(upstream, peer.url, b"", coming)
        assert (answer.status, await rest_of(answer)) == (413, b"no")
        await eventually_async(lambda: not peer.open)
