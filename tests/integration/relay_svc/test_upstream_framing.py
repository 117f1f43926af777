"""How the upstream clients read answers: every framing of HTTP/1.1, however cut, and nothing that can be read in two ways."""

from __future__ import annotations

import pytest

from relay_svc.upstream import BrokenAnswer, Upstream
from tests.integration.relay_svc.clients import (
    CHUNKED,
    EVERY,
    OWN,
    Client,
    Line,
    Peer,
    answering,
    asked,
    broken_after,
    chunks,
    holds_for,
    once,
    plain,
    post,
)

END = b"0\r\n\r\n"
GOOD = {
    "a length": (plain(b"hello"), 200, b"hello"),
    "no body": (plain(b""), 200, b""),
    "chunks": (CHUNKED + chunks(b"he", b"llo") + END, 200, b"hello"),
    "chunks with extensions": (CHUNKED + b"5;a=b\r\nhello\r\n" + END, 200, b"hello"),
    "chunks in capitals": (CHUNKED.replace(b"chunked", b"Chunked") + b"A\r\nhellohello\r\n" + END, 200, b"hello" * 2),
    "chunks and trailers": (CHUNKED + chunks(b"hello") + b"0\r\nx-t: 1\r\nx-u: 2\r\n\r\n", 200, b"hello"),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 5\r\n\r\nhello", 200, b"hello"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "304 with a length": (b"HTTP/1.1 304 X\r\ncontent-length: 5\r\n\r\n", 304, b""),
    "interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + plain(b"hello"),
        200,
        b"hello",
    ),
    "an offer of another protocol": (
        plain(b"hello", extra=b"upgrade: h2,h2c\r\nconnection: Upgrade\r\n"),
        200,
        b"hello",
    ),
    "an error": (plain(b"no", "529 Overloaded"), 529, b"no"),
    "an interim answer with a length": (
        b"HTTP/1.1 102 P\r\ncontent-length: 9\r\n\r\n" + plain(b"hello"),
        200,
        b"hello",
    ),
}
UNTIL_CLOSE = {
    "1.1": b"HTTP/1.1 200 OK\r\n\r\n",
    "1.0": b"HTTP/1.0 200 OK\r\n\r\n",
    "close": b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
}


@pytest.mark.parametrize(("wire", "status", "body"), GOOD.values(), ids=GOOD.keys())
@holds_for(EVERY)
async def test_an_answer_is_the_same_wherever_it_is_cut(client: Client, wire: bytes, status: int, body: bytes) -> None:
    """At every byte, and into single bytes; the connection goes on, and nothing is left over for the next answer."""
    cuts = iter(
        [*((wire[:at], wire[at:]) for at in range(1, len(wire))), [wire[at : at + 1] for at in range(len(wire))]]
    )

    async def manner(line: Line) -> None:
        while True:
            await line.request()
            await line.send(*next(cuts))

    async with Peer(manner).serving() as peer, client.open() as upstream:
        for _ in range(len(wire)):
            assert await asked(upstream, peer.url) == (status, body)
        assert peer.connections == 1


@pytest.mark.parametrize("head", UNTIL_CLOSE.values(), ids=UNTIL_CLOSE.keys())
@holds_for(EVERY)
async def test_an_answer_without_a_length_ends_with_its_connection(client: Client, head: bytes) -> None:
    """As old as HTTP: and each takes a connection of its own."""
    async with Peer(once(head + b"he", b"llo")).serving() as peer, client.open() as upstream:
        for number in (1, 2):
            assert await asked(upstream, peer.url) == (200, b"hello")
            assert peer.connections == number


@holds_for(EVERY)
async def test_headers_come_as_they_are(client: Client) -> None:
    """Their order, their case, doubled ones, empty ones, and bytes that are no ASCII."""
    sent = [(b"X-Two", b"1"), (b"x-two", b"2"), (b"x-empty", b""), (b"x-odd", b"\xe4\tb"), (b"content-length", b"0")]
    wire = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b: %b\r\n" % pair for pair in sent) + b"\r\n"
    async with Peer(answering(wire)).serving() as peer, client.open() as upstream:
        answer = await post(upstream, peer.url)
        assert answer.headers == sent
        await answer.aclose()


AMBIGUOUS = {
    "two lengths": b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "a list of lengths": b"content-length: 5, 6\r\n\r\nhello!",
    "a length with a sign": b"content-length: +5\r\n\r\nhello",
    "a negative length": b"content-length: -5\r\n\r\nhello",
    "an encoding within chunks": b"transfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunks that are not last": b"transfer-encoding: chunked, gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "an unknown encoding": b"transfer-encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunked twice": b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a chunk size with a prefix": b"transfer-encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "a negative chunk size": b"transfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "no chunk size": b"transfer-encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
    "a chunk longer than its size": b"transfer-encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
    "NUL in a value": b"x-a: b\0c\r\ncontent-length: 5\r\n\r\nhello",
    "CR in a value": b"x-a: b\rc: d\r\ncontent-length: 5\r\n\r\nhello",
    "a space before the colon": b"content-length : 5\r\n\r\nhello",
    "a line without a name": b": b\r\ncontent-length: 5\r\n\r\nhello",
    "a line without a colon": b"x-a\r\ncontent-length: 5\r\n\r\nhello",
}
STRICTER = {
    "a length and chunks": b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a length beyond bounds": b"content-length: 99999999999999999999\r\n\r\nhello",
    "a chunk size beyond bounds": b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello",
    "a folded line": b"x-a: b\r\n c\r\ncontent-length: 5\r\n\r\nhello",
    "bare line ends": b"x-a: b\ncontent-length: 5\n\nhello",
    "bare line ends among chunks": b"transfer-encoding: chunked\r\n\r\n5\nhello\n0\n\n",
}


async def refused(upstream: Upstream, url: str) -> None:
    """Ask, and be given no whole answer."""
    with pytest.raises(BrokenAnswer):
        await asked(upstream, url)


@pytest.mark.parametrize("rest", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
@holds_for(EVERY)
async def test_what_can_be_read_in_two_ways_is_not_read(client: Client, rest: bytes) -> None:
    """Whoever reads it otherwise than the next would be made to see an answer that nobody gave."""
    async with Peer(answering(b"HTTP/1.1 200 OK\r\n" + rest)).serving() as peer, client.open() as upstream:
        await refused(upstream, peer.url)
        await refused(upstream, peer.url)
        assert peer.connections == 2


@pytest.mark.parametrize("rest", STRICTER.values(), ids=STRICTER.keys())
@holds_for(OWN)
async def test_the_relays_own_client_is_stricter(client: Client, rest: bytes) -> None:
    """What httpx2 reads in one of the ways, or waits for, and what old servers may send and none of today does."""
    async with Peer(answering(b"HTTP/1.1 200 OK\r\n" + rest)).serving() as peer, client.open() as upstream:
        await refused(upstream, peer.url)


NONSENSE = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "HTTP/2": b"\0\0\0\4\0\0\0\0\0",
    "version 2.0": b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    "version 0.9": b"HTTP/0.9 200 OK\r\ncontent-length: 0\r\n\r\n",
    "status 99": b"HTTP/1.1 099 X\r\ncontent-length: 0\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\ncontent-length: 0\r\n\r\n",
    "another protocol after all": b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhello",
    "a request": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
}


@pytest.mark.parametrize("wire", NONSENSE.values(), ids=NONSENSE.keys())
@holds_for(OWN)
async def test_what_is_no_answer_is_none(client: Client, wire: bytes) -> None:
    """However much it looks like one."""
    async with Peer(once(wire)).serving() as peer, client.open() as upstream:
        await refused(upstream, peer.url)


ENDLESS = {
    "a head": (b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"y" * 1000 + b"\r\n"),
    "a header": (b"HTTP/1.1 200 OK\r\nx-more: ", b"y" * 1000),
    "small headers": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 10),
    "interim answers": (b"", b"HTTP/1.1 102 Processing\r\nx-more: y\r\n\r\n" * 10),
    "a reason": (b"HTTP/1.1 200 ", b"y" * 1000),
}
ENDLESS_AFTER_IT = {
    "trailers": (CHUNKED + b"0\r\n", b"x-more: y\r\n" * 10),
    "a trailer": (CHUNKED + b"0\r\nx-more: ", b"y" * 1000),
    "a chunk's extension": (CHUNKED + b"5;a=", b"y" * 1000),
}


@pytest.mark.parametrize(("begin", "more"), {**ENDLESS, **ENDLESS_AFTER_IT}.values(), ids=[*ENDLESS, *ENDLESS_AFTER_IT])
@holds_for(OWN)
async def test_lines_without_end_are_ended(client: Client, begin: bytes, more: bytes) -> None:
    """They would fill the memory, and no time limit for silence would end them."""
    sent = 0

    async def manner(line: Line) -> None:
        nonlocal sent
        await line.request()
        await line.send(begin)
        while not line.writer.is_closing():
            await line.send(more)
            sent += len(more)

    async with Peer(manner).serving() as peer, client.open() as upstream:
        await refused(upstream, peer.url)
    assert sent < 16 << 20


@holds_for(EVERY)
async def test_a_head_may_be_large(client: Client) -> None:
    """Up to 60 KB, or 100 headers."""
    large = plain(b"hello", extra=b"x-large: " + b"y" * 60_000 + b"\r\n")
    many = plain(b"hello", extra=b"".join(b"x-%d: y\r\n" % number for number in range(99)))
    for wire in (large, many):
        async with Peer(answering(wire)).serving() as peer, client.open() as upstream:
            assert await asked(upstream, peer.url) == (200, b"hello")


CUT_SHORT = {
    "before anything": b"",
    "in the head": b"HTTP/1.1 200 OK\r\ncontent-",
    "after the head": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
    "in the body": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
    "in a chunk": CHUNKED + b"5\r\nhel",
    "between chunks": CHUNKED + chunks(b"hello"),
    "before the last line": CHUNKED + chunks(b"hello") + b"0\r\n",
    "after an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("wire", CUT_SHORT.values(), ids=CUT_SHORT.keys())
@holds_for(EVERY)
async def test_an_answer_cut_short_is_broken(client: Client, wire: bytes) -> None:
    """Never a short answer that passes for a whole one."""
    async with Peer(once(wire)).serving() as peer, client.open() as upstream:
        await refused(upstream, peer.url)


@holds_for(EVERY)
async def test_what_came_before_a_break_is_read_first(client: Client) -> None:
    """And the break is told again however often one asks."""

    async def manner(line: Line) -> None:
        await line.request()
        await line.send(CHUNKED + chunks(b"he"), chunks(b"llo"))

    async with Peer(manner).serving() as peer, client.open() as upstream:
        answer = await post(upstream, peer.url)
        assert await broken_after(answer) == b"hello"
        if client in OWN.values():  # httpx2 tells it once
            assert await broken_after(answer) == b""
        await answer.aclose()
        await answer.aclose()
