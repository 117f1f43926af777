"""What the upstream clients send, where to, and what they refuse to."""

from __future__ import annotations

import random

import pytest

from relay_svc.upstream import ConnectFailed
from tests.harness.waiting import eventually_async
from tests.integration.relay_svc.clients import (
    BODY,
    EVERY,
    OWN,
    Client,
    Line,
    Peer,
    answering,
    asked,
    holds_for,
    plain,
    post,
)

HELLO = plain(b"hello")


@holds_for(OWN)
async def test_an_answer_before_the_request_is_sent_whole_ends_the_sending(client: Client) -> None:
    """An upstream that refuses a large request need not read it, and its connection is out of step from then on."""
    size, taken = 64 << 20, 0

    async def manner(line: Line) -> None:
        nonlocal taken
        await line.head()
        await line.send(plain(b"too large", "413 Content Too Large"))
        while data := await line.reader.read(1 << 20):
            taken += len(data)

    async with Peer(manner).serving() as peer, client.open() as upstream:
        for number in (1, 2):
            assert await asked(upstream, peer.url, bytes(size)) == (413, b"too large")
            assert peer.connections == number
            await eventually_async(lambda: not peer.open)
        assert taken < size


@holds_for(EVERY)
async def test_a_large_request_arrives_whole(client: Client) -> None:
    """However often the sending has to wait."""
    body = random.Random(7).randbytes(20 << 20)
    got = b""

    async def manner(line: Line) -> None:
        nonlocal got
        while True:
            got = await line.request()
            await line.send(HELLO)

    async with Peer(manner).serving() as peer, client.open() as upstream:
        for sent in (body, body[: 1 << 20], body[: 64 << 10], body[: (64 << 10) + 1], b""):
            assert await asked(upstream, peer.url, sent) == (200, b"hello")
            assert got == sent
        assert peer.connections == 1


@holds_for(EVERY)
async def test_what_cannot_be_sent_is_not_sent(client: Client) -> None:
    """Neither a URL that leads nowhere nor a header that would make another; and nothing of them is told."""
    secret = b"sk-very-secret"
    headers = [
        (b"x-bad", secret + b"\r\nx-more: y"),
        (b"x-bad", secret + b"\n"),
        (b"x-bad", secret + b"\0"),
        (b"x-bad", secret + b"\r"),
        (b"x bad" + secret, b"y"),
        (b"", secret),
        (b"x:bad", secret),
        (b"x-bad\r\n", secret),
    ]
    urls = ["", "nowhere", "ftp://127.0.0.1/", "http://", "http://[broken", "http://[::1", "http://127.0.0.1:99999/",
            "http://127.0.0.1:0/", "http://127.0.0.1:x/", "http://a b/", "http://nowhere.invalid/", "http://\n/"]  # fmt: skip
    heard = b""

    async def manner(line: Line) -> None:
        nonlocal heard
        while data := await line.reader.read(1000):
            heard += data

    async with Peer(manner).serving() as peer, client.open() as upstream:
        for pair in headers:
            with pytest.raises(ConnectFailed) as caught:
                await post(upstream, peer.url, headers=[(b"authorization", b"Bearer " + secret), pair])
            assert secret.decode() not in repr(caught.value)
        for url in urls:
            with pytest.raises(ConnectFailed):
                await post(upstream, url)
        await eventually_async(lambda: not peer.open)
    assert not heard


@holds_for(EVERY)
async def test_a_port_that_nobody_listens_on_is_a_failed_connection(client: Client) -> None:
    """Refused, and known at once."""
    async with Peer(answering(HELLO)).serving() as peer:
        url = peer.url
    async with client.open() as upstream:
        with pytest.raises(ConnectFailed):
            await post(upstream, url)


@holds_for(EVERY)
async def test_addresses_of_both_families_are_reached(client: Client) -> None:
    """By number and by name; a name's addresses are tried until one answers."""
    async with Peer(answering(HELLO)).serving() as four, client.open() as upstream:
        assert await asked(upstream, four.url.replace("127.0.0.1", "localhost")) == (200, b"hello")
    try:
        async with Peer(answering(HELLO)).serving(host="::1") as six, client.open() as upstream:
            assert await asked(upstream, six.url.replace("://::1:", "://[::1]:"), BODY) == (200, b"hello")
    except OSError:
        pytest.skip("this machine has no IPv6")
