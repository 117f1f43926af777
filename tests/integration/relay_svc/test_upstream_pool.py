"""How many connections the upstream clients hold, who gets them, and that none is ever lost."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from collections.abc import Awaitable
from dataclasses import replace

import pytest

from relay_svc.plan import TimeLimits
from relay_svc.upstream import BrokenAnswer, ConnectFailed, ConnectTimeout, Upstream, UpstreamFailure
from relay_svc.upstream_http1 import Http1Upstream
from tests.harness.waiting import PATIENCE, eventually_async, turns
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
    chunks,
    holds_for,
    plain,
    post,
    rest_of,
)

HELLO = plain(b"hello")


@holds_for(EVERY)
async def test_there_are_never_more_connections_than_allowed(client: Client) -> None:
    """The others wait, each is served."""
    async with Peer(answering(HELLO)).serving() as peer, client.open(max_connections=3) as upstream:
        async with asyncio.TaskGroup() as tasks:
            every = [tasks.create_task(asked(upstream, peer.url)) for _ in range(50)]
        assert {task.result() for task in every} == {(200, b"hello")}
        assert peer.most <= 3


@holds_for(EVERY)
async def test_no_more_are_kept_idle_than_allowed(client: Client) -> None:
    """The rest is closed when it is let go."""
    async with Peer(answering(HELLO)).serving() as peer, client.open(max_idle=2) as upstream:
        answers = [await post(upstream, peer.url) for _ in range(5)]
        for answer in answers:
            assert await rest_of(answer) == b"hello"
        await eventually_async(lambda: len(peer.open) == 2)


@holds_for(EVERY)
async def test_an_idle_connection_makes_room_for_another_origins(client: Client) -> None:
    """Nobody waits while any lies idle."""
    async with (
        Peer(answering(HELLO)).serving() as one,
        Peer(answering(HELLO)).serving() as other,
        client.open(max_connections=1) as upstream,
    ):
        for peer in (one, other, one, other):
            assert await asked(upstream, peer.url) == (200, b"hello")
        assert one.connections == other.connections == 2


@holds_for(EVERY)
async def test_waiting_for_a_connection_has_an_end(client: Client) -> None:
    """Nothing was sent: another candidate may be tried."""
    async with Peer(answering(CHUNKED)).serving() as peer, client.open(max_connections=1) as upstream:
        answer = await post(upstream, peer.url)
        with pytest.raises(ConnectTimeout):
            await post(upstream, peer.url, limits=replace(PATIENT, connect=0.05))
        await answer.aclose()
        assert peer.connections == 1


@holds_for(OWN)
async def test_a_waiting_request_gets_the_connection_that_is_let_go_or_its_place(client: Client) -> None:
    """Whichever origin it is for, and in turn."""
    async with (
        Peer(answering(HELLO)).serving() as one,
        Peer(answering(HELLO)).serving() as other,
        client.open(max_connections=1) as upstream,
    ):
        held = await post(upstream, one.url)
        done: list[str] = []

        async def ask(url: str) -> None:
            assert await asked(upstream, url) == (200, b"hello")
            done.append(url)

        async with asyncio.TaskGroup() as tasks:
            for url in (one.url, other.url, one.url):
                tasks.create_task(ask(url))
                await turns()
            assert await rest_of(held) == b"hello"
        assert done == [one.url, other.url, one.url]
        assert (one.connections, other.connections) == (2, 1)


@holds_for(OWN)
async def test_an_idle_connection_is_closed_in_time(client: Client) -> None:
    """Each in its own time, and one that is used meanwhile begins anew."""
    upstream = Http1Upstream(max_connections=9, max_idle=9, keep_alive=0.1)
    async with Peer(answering(HELLO)).serving() as peer:
        answers = [await post(upstream, peer.url) for _ in range(3)]
        for answer in answers:
            await rest_of(answer)
        assert len(peer.open) == 3
        await eventually_async(lambda: not peer.open)
        assert upstream._pool.size == upstream._pool.idle == 0
        assert await asked(upstream, peer.url) == (200, b"hello")
        await upstream.aclose()
    assert client in OWN.values()


# ---------------------------------------------------------------- cancelling


async def stalls(line: Line) -> None:
    """Does something else on each connection, and never ends an answer."""
    if line.number % 3 == 0:
        await line.head()
    elif line.number % 3 == 1:
        await line.request()
        await line.send(CHUNKED + chunks(b"hello"))
    await line.until_gone()


async def ask_for_ever(upstream: Upstream, url: str, size: int) -> None:
    """Ask for an answer that never ends."""
    answer = await post(upstream, url, b"x" * size)
    try:
        while await answer.read():
            pass
    finally:
        await answer.aclose()


@holds_for(EVERY)
async def test_storms_of_cancelled_requests_take_no_connection_with_them(client: Client) -> None:
    """Hundreds, wherever they were: waiting, dialling, sending, before the answer or within it; and some twice."""
    rng = random.Random(11)
    good = Peer(answering(HELLO))
    async with Peer(stalls).serving() as peer, good.serving(), client.open(max_connections=10) as upstream:
        for _ in range(20):
            tasks = []
            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    size = rng.choice([10, 10, 8 << 20])
                    tasks.append(group.create_task(ask_for_ever(upstream, peer.url, size)))
                await turns(rng.randrange(60))
                for task in tasks:
                    task.cancel()
                await turns(rng.randrange(2))
                for task in tasks:
                    task.cancel()
        await eventually_async(lambda: not peer.open)
        async with asyncio.TaskGroup() as group:
            every = [group.create_task(asked(upstream, good.url)) for _ in range(30)]
        assert {task.result() for task in every} == {(200, b"hello")}


@holds_for(OWN)
async def test_a_cancelled_request_closes_its_connection_at_once(client: Client) -> None:
    """The upstream sees it, and may stop its work."""
    asked_for = asyncio.Event()
    gone = asyncio.Event()

    async def manner(line: Line) -> None:
        await line.request()
        asked_for.set()
        await line.until_gone()
        gone.set()

    async with Peer(manner).serving() as peer, client.open() as upstream:
        task = asyncio.ensure_future(post(upstream, peer.url))  # noqa: TID251 - awaited below
        await asked_for.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(PATIENCE):
            await gone.wait()


HASTY = TimeLimits(connect=1, first_byte=0.05, idle=0.05, total=2)


@holds_for(OWN)
async def test_the_pool_knows_what_it_has(client: Client) -> None:
    """Whatever went well or wrong: no slot is held by nobody, none is free twice."""
    rng = random.Random(3)
    wires = [
        HELLO,
        b"",
        b"nonsense",
        HELLO + b"!",
        CHUNKED + chunks(b"x"),
        plain(b"", "204 X"),
        b"HTTP/1.0 200 X\r\n\r\n",
    ]

    async def manner(line: Line) -> None:
        while True:
            await line.request()
            await line.send(rng.choice(wires))
            if rng.random() < 0.5:
                return

    async def ask(upstream: Upstream, url: str) -> None:
        with contextlib.suppress(UpstreamFailure, TimeoutError):
            async with asyncio.timeout(rng.choice([0, 0.001, 0.02, 5])):
                await asked(upstream, url, b"x" * rng.choice([1, 300_000]), HASTY)

    async with Peer(manner).serving() as peer, client.open(max_connections=7, max_idle=3) as upstream:
        assert isinstance(upstream, Http1Upstream)
        pool = upstream._pool
        for _ in range(20):
            async with asyncio.TaskGroup() as tasks:
                for _ in range(20):
                    tasks.create_task(ask(upstream, peer.url))
                    assert pool.size <= 7
            assert pool.size == pool.idle <= 3
            await eventually_async(functools.partial(as_many, peer, upstream))
    assert pool.size == 0


def as_many(peer: Peer, upstream: Http1Upstream) -> bool:
    """Whether both ends hold equally many connections."""
    return len(peer.open) == upstream._pool.size


@holds_for(OWN)
async def test_a_closed_client_has_no_connection_and_makes_none(client: Client) -> None:
    """Those that wait are told, and answers under way break."""
    async with Peer(answering(CHUNKED)).serving() as peer, client.open(max_connections=1) as upstream:
        answer = await post(upstream, peer.url)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(failure_of(rest_of(answer)))
            waiting = tasks.create_task(failure_of(post(upstream, peer.url)))
            await turns()
            await upstream.aclose()
        assert (await reading, await waiting) == (BrokenAnswer, ConnectFailed)
        assert await failure_of(post(upstream, peer.url)) is ConnectFailed
        await eventually_async(lambda: not peer.open)


async def failure_of(work: Awaitable[object]) -> type[Exception] | None:
    """How it fails."""
    try:
        await work
    except UpstreamFailure as failure:
        return type(failure)
    return None
