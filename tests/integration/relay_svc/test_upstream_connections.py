"""Which connections the upstream clients use again, and which never."""

from __future__ import annotations

import asyncio

import pytest

from relay_svc.upstream import BrokenAnswer
from tests.harness.waiting import eventually_async, turns
from tests.integration.relay_svc.clients import (
    CHUNKED,
    EVERY,
    OWN,
    Client,
    Line,
    Manner,
    Peer,
    answering,
    asked,
    chunks,
    holds_for,
    plain,
    post,
    rest_of,
)

END = b"0\r\n\r\n"
HELLO = plain(b"hello")


@holds_for(EVERY)
async def test_the_connection_used_last_is_used_first(client: Client) -> None:
    """So that the others grow old and go."""
    served: list[int] = []

    async def manner(line: Line) -> None:
        while True:
            await line.request()
            served.append(line.number)
            await line.send(HELLO)

    async with Peer(manner).serving() as peer, client.open() as upstream:
        first, second = await post(upstream, peer.url), await post(upstream, peer.url)
        assert await rest_of(first) == await rest_of(second) == b"hello"
        for _ in range(3):
            await asked(upstream, peer.url)
        assert served == [1, 2, 2, 2, 2] or client not in OWN.values()  # httpx2 takes the oldest
        assert peer.connections == 2


@holds_for(EVERY)
async def test_a_connection_is_not_another_requests_before_its_answer_was_read(client: Client) -> None:
    """Even when the answer is all here: what the next request got would be the last one's body."""
    number = 0

    async def manner(line: Line) -> None:
        nonlocal number
        while True:
            await line.request()
            number += 1
            await line.send(plain(b"%d" % number * 100_000))

    async with Peer(manner).serving() as peer, client.open() as upstream:
        first = await post(upstream, peer.url)
        await turns(50)
        second = await post(upstream, peer.url)
        assert await rest_of(second) == b"2" * 100_000
        assert await rest_of(first) == b"1" * 100_000
        assert peer.connections == 2


@holds_for(EVERY)
async def test_an_answer_let_go_before_its_end_takes_its_connection_along(client: Client) -> None:
    """At once, so that the upstream stops; however much of it was read."""
    async with Peer(answering(CHUNKED + chunks(b"hello"))).serving() as peer, client.open() as upstream:
        for read in (False, True):
            answer = await post(upstream, peer.url)
            assert len(peer.open) == 1
            if read:
                assert await answer.read() == b"hello"
            await answer.aclose()
            await eventually_async(lambda: not peer.open)


@pytest.mark.parametrize("wire", [CHUNKED + chunks(b"hello"), b"HTTP/1.1 200 OK\r\n\r\nhello"], ids=["chunks", "close"])
@holds_for(OWN)
async def test_an_answer_let_go_unread_is_read_no_more(client: Client, wire: bytes) -> None:
    """And is not taken for one that has ended: our own closing is no end of it."""
    async with Peer(answering(wire)).serving() as peer, client.open() as upstream:
        answer = await post(upstream, peer.url)
        assert await answer.read() == b"hello"
        await answer.aclose()
        await eventually_async(lambda: not peer.open)
        await turns()
        with pytest.raises(BrokenAnswer):
            await answer.read()


def dies_when_used_again(how: str) -> Manner:
    """Serve one request on each connection; end it without a word at the second, in one way or the other."""

    async def manner(line: Line) -> None:
        await line.request()
        await line.send(HELLO)
        await line.head()
        line.reset() if how == "reset" else line.close()

    return manner


@pytest.mark.parametrize("how", ["closed", "reset"])
@pytest.mark.parametrize("size", [10, 3_000_000])
@holds_for(EVERY)
async def test_a_pooled_connection_that_dies_without_a_word_is_replaced_once(
    client: Client, how: str, size: int
) -> None:
    """The upstream had closed it while it lay idle; the request goes out again on a fresh one."""
    async with Peer(dies_when_used_again(how)).serving() as peer, client.open() as upstream:
        assert await asked(upstream, peer.url) == (200, b"hello")
        assert await asked(upstream, peer.url, b"x" * size) == (200, b"hello")
        assert peer.connections == 2


@holds_for(OWN)
async def test_the_replacement_is_a_fresh_connection(client: Client) -> None:
    """However many lie idle: they are as old as the one that died."""
    stale = asyncio.Event()

    async def manner(line: Line) -> None:
        await line.request()
        await line.send(HELLO)
        if line.number <= 3:
            await line.head()
            return
        await line.request()

    async with Peer(manner).serving() as peer, client.open() as upstream:
        answers = [await post(upstream, peer.url) for _ in range(3)]
        for answer in answers:
            await rest_of(answer)
        stale.set()
        assert await asked(upstream, peer.url) == (200, b"hello")
        assert peer.connections == 4


@holds_for(EVERY)
async def test_a_fresh_connection_that_dies_without_a_word_is_not_replaced(client: Client) -> None:
    """What was sent may have been heard: to send it again is a failover, which is decided elsewhere."""

    async def manner(line: Line) -> None:
        await line.request()

    async with Peer(manner).serving() as peer, client.open() as upstream:
        with pytest.raises(BrokenAnswer):
            await asked(upstream, peer.url)
        assert peer.connections == 1


@pytest.mark.parametrize("said", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
@holds_for(OWN)
async def test_a_pooled_connection_that_dies_after_a_byte_is_not_replaced(client: Client, said: bytes) -> None:
    """One byte shows that the request was read."""

    async def manner(line: Line) -> None:
        await line.request()
        await line.send(HELLO)
        await line.request()
        await line.send(said)

    async with Peer(manner).serving() as peer, client.open() as upstream:
        await asked(upstream, peer.url)
        with pytest.raises(BrokenAnswer):
            await asked(upstream, peer.url)
        assert peer.connections == 1


@holds_for(EVERY)
async def test_an_idle_connection_that_the_upstream_closes_is_dropped_unseen(client: Client) -> None:
    """Nothing is tried on it."""

    async def manner(line: Line) -> None:
        await line.request()
        await line.send(HELLO)

    async with Peer(manner).serving() as peer, client.open() as upstream:
        for number in (1, 2, 3):
            assert await asked(upstream, peer.url) == (200, b"hello")
            await eventually_async(lambda: not peer.open)
            assert peer.connections == number


SURPLUS = {
    "with the answer": (HELLO + HELLO,),
    "a byte with the answer": (HELLO + b"!",),
    "after it": (HELLO, HELLO),
    "after chunks": (CHUNKED + chunks(b"hello") + END + HELLO,),
    "a line end after it": (HELLO, b"\r\n"),
    "after a bodiless answer": (b"HTTP/1.1 204 X\r\n\r\n" + HELLO,),
}


@pytest.mark.parametrize("parts", SURPLUS.values(), ids=SURPLUS.keys())
@holds_for(OWN)
async def test_what_comes_after_an_answer_poisons_its_connection(client: Client, parts: tuple[bytes, ...]) -> None:
    """An upstream could answer the next request before it is sent, with whatever it likes."""
    async with Peer(answering(*parts)).serving() as peer, client.open() as upstream:
        for number in (1, 2):
            status, body = await asked(upstream, peer.url)
            assert (status, body) in ((200, b"hello"), (204, b""))
            assert peer.connections == number
            await eventually_async(lambda: not peer.open)


@holds_for(OWN)
async def test_surplus_before_the_answer_is_read_does_not_spoil_it(client: Client) -> None:
    """The answer was whole; only its connection is not used again."""
    async with Peer(answering(HELLO, b"surplus")).serving() as peer, client.open() as upstream:
        answer = await post(upstream, peer.url)
        await eventually_async(lambda: not peer.open)
        assert await rest_of(answer) == b"hello"


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nconnection: close\r\n", b"HTTP/1.0 200 OK\r\n"], ids=["close", "1.0"]
)
@holds_for(EVERY)
async def test_an_upstream_that_means_to_close_is_taken_at_its_word(client: Client, head: bytes) -> None:
    """Though it has not closed yet."""
    async with Peer(answering(head + b"content-length: 5\r\n\r\nhello")).serving() as peer, client.open() as upstream:
        for number in (1, 2):
            assert await asked(upstream, peer.url) == (200, b"hello")
            assert peer.connections == number


@holds_for(EVERY)
async def test_an_upstream_that_closes_its_half_after_the_answer_is_understood(client: Client) -> None:
    """The answer is read, the connection is not used again."""

    async def manner(line: Line) -> None:
        await line.request()
        line.writer.write(HELLO)
        line.writer.write_eof()
        await line.until_gone()

    async with Peer(manner).serving() as peer, client.open() as upstream:
        for number in (1, 2):
            assert await asked(upstream, peer.url) == (200, b"hello")
            assert peer.connections == number
        await eventually_async(lambda: not peer.open)
