"""What RFC 9112 asks of a server, and the bounds of a connection: one table each, on real sockets, for every HTTP server."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

import pytest

from admin_svc.http import connection_words
from admin_svc.settings import Settings as AdminSettings
from relay_svc.exchange import Exchange
from relay_svc.http_protocol import RelayConnection
from relay_svc.settings import Settings as RelaySettings
from router_svc.settings import Settings as RouterSettings
from tests.harness.waiting import PATIENCE, eventually_async, turns
from trunkline import descriptors
from trunkline.http_bounds import DEFAULTS, HttpBounds
from trunkline.http_connection import BoundedConnection
from trunkline.serving import LIVENESS, Health, HttpServer, operations
from trunkline.settings import Listen, declared

PATH = LIVENESS.encode()
GET = b"GET " + PATH + b" HTTP/1.1\r\nhost: x\r\n"
END = b"\r\n"
NEXT = GET + b"connection: close\r\n\r\n"
"""A request that is fine, and the last."""


async def _serve(exchange: Exchange) -> None:
    body = b"" if exchange.header(b"x-unread") else await exchange.body(1000, 5)
    status = int(exchange.header(b"x-status") or 200)
    if exchange.header(b"x-parts"):
        exchange.start(status, [(b"content-length", b"2")])
        await exchange.write(b"a")
        await exchange.finish(b"b")
    else:
        await exchange.answer(status, [(b"x-path", exchange.raw_path)], body or b"body")


KINDS: dict[str, Callable[[HttpBounds], type[BoundedConnection]]] = {
    "router": BoundedConnection.bounded,
    "admin": lambda bounds: BoundedConnection.bounded(bounds, connection_words),
    "relay": lambda bounds: RelayConnection.direct(_serve, bounds, frozenset()),
}
"""The connections of each service, as it makes them."""


@dataclass
class Serving:
    """A server under test."""

    server: HttpServer

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection."""
        host, _, port = self.server.address.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def answers(self, *parts: bytes) -> tuple[list[int], bytes]:
        """The statuses of all that a connection answers to bytes before it ends, and the bytes."""
        reader, writer = await self.connect()
        with contextlib.suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
        came = b""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(1 << 16):
                    came += piece
        writer.close()
        return statuses_in(came), came


def statuses_in(came: bytes) -> list[int]:
    """The statuses of responses, one after another."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", came)]


@contextlib.asynccontextmanager
async def serving(kind: str, bounds: HttpBounds = DEFAULTS) -> AsyncIterator[Serving]:
    """Serve until the block ends."""
    stop = asyncio.Event()
    server = HttpServer(operations(Health()), Listen("127.0.0.1", 0), drain_timeout=1, http=KINDS[kind](bounds))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve(stop))
        try:
            yield Serving(server)
        finally:
            stop.set()


# ---------------------------------------------------------------- RFC 9112

CHUNKED = b"transfer-encoding: chunked\r\n"
RULES: dict[str, tuple[bytes, list[int]]] = {
    "a plain request": (NEXT, [200]),
    "two, one after another": (GET + END + NEXT, [200, 200]),
    "nothing behind Connection: close": (NEXT + NEXT, [200]),
    "garbage behind Connection: close": (NEXT + b"\x00", [200]),
    "a line's end before a request": (b"\r\n" + NEXT, [200]),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", [400]),
    "two Hosts": (GET + b"host: y\r\n\r\n", [400]),
    "the same Host twice": (GET + b"Host: x\r\n\r\n", [400]),
    "a Host that is none": (b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n", [400]),
    "a list of Hosts": (b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", [400]),
    "an empty Host": (b"GET " + PATH + b" HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n", [200]),
    "a Host with a port": (b"GET " + PATH + b" HTTP/1.1\r\nhost: [::1]:80\r\nconnection: close\r\n\r\n", [200]),
    "HTTP/1.0 without Host": (b"GET " + PATH + b" HTTP/1.0\r\n\r\n", [200]),
    "HTTP/1.0 closes": (b"GET " + PATH + b" HTTP/1.0\r\nconnection: keep-alive\r\n\r\n" + NEXT, [200]),
    "HTTP/1.0 with two Hosts": (b"GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n", [400]),
    "HTTP/0.9": (b"GET /\r\n\r\n", [505]),
    "HTTP/2.0 in words": (b"GET / HTTP/2.0\r\nhost: x\r\n\r\n", [505]),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nhost: x\r\n\r\n", [400]),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", [505]),
    "an absolute target": (b"GET http://other" + PATH + b"?q HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", [200]),
    "a target that is no path": (b"GET * HTTP/1.1\r\nhost: x\r\n\r\n", [400]),
    "an authority as a target": (b"GET a:1 HTTP/1.1\r\nhost: x\r\n\r\n", [400]),
    "CONNECT": (b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n", [400]),
    "a space in a target": (b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n", [400]),
    "a folded line": (GET + b"a: b\r\n c\r\n\r\n", [400]),
    "a line feed alone": (GET + b"a: b\n\r\n", [400]),
    "a carriage return alone": (GET + b"a: b\rc: d\r\n\r\n", [400]),
    "only line feeds": (b"GET / HTTP/1.1\nhost: x\n\n", [400]),
    "a space before a colon": (GET + b"a : b\r\n\r\n", [400]),
    "a space in a name": (GET + b"a b: c\r\n\r\n", [400]),
    "a header without a name": (GET + b": b\r\n\r\n", [400]),
    "a header without a colon": (GET + b"a\r\n\r\n", [400]),
    "a NUL in a value": (GET + b"a: b\0c\r\n\r\n", [400]),
    "ESC in a value": (GET + b"a: \x1b[31m\r\n\r\n", [400]),
    "two lengths": (GET + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab", [400]),
    "one length twice": (GET + b"content-length: 1\r\ncontent-length: 1\r\n\r\na", [400]),
    "a list of lengths": (GET + b"content-length: 1, 1\r\n\r\na", [400]),
    "a length with a sign": (GET + b"content-length: +1\r\n\r\na", [400]),
    "a length beside chunks": (GET + b"content-length: 3\r\n" + CHUNKED + b"\r\n0\r\n\r\n", [400]),
    "chunks beside a length": (GET + CHUNKED + b"content-length: 3\r\n\r\n0\r\n\r\n", [400]),
    "chunks": (GET + CHUNKED + b"\r\n1\r\na\r\n0\r\n\r\n" + NEXT, [200, 200]),
    "chunks of HTTP/1.0": (b"GET / HTTP/1.0\r\n" + CHUNKED + b"\r\n0\r\n\r\n", [400]),
    "another coding": (GET + b"transfer-encoding: gzip\r\n\r\n", [501]),
    "two codings": (GET + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", [501]),
    "a coding twice": (GET + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n", [400]),
    "an unknown coding that looks alike": (GET + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", [501]),
    "a bad size of a chunk": (b"GET / HTTP/1.1\r\nhost: x\r\nx-unread: 1\r\n" + CHUNKED + b"\r\nZZ\r\n", [400]),
    "an offer": (GET + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n" + NEXT, [200, 200]),
    "an offer with a body": (
        GET + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 3\r\n\r\nabc" + NEXT,
        [200, 200],
    ),
    "an offer that closes": (GET + b"connection: close, Upgrade\r\nupgrade: h2c\r\n\r\n" + NEXT, [200]),
    "an offer of HTTP/1.0": (b"GET " + PATH + b" HTTP/1.0\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n", [200]),
    "a bad request behind a good one": (GET + END + b"GET / HTTP/1.1\r\n\r\n", [200]),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_every_server_keeps_the_rules_of_rfc_9112(kind: str) -> None:
    """Each in one piece and byte by byte; whatever is refused ends the connection, and nothing is left hanging."""
    async with serving(kind) as server:
        for name, (request, statuses) in RULES.items():
            found, came = await server.answers(request)
            # What a server of the house refuses as bad syntax it may refuse before or after it knows the coding.
            expected = [statuses, [400]] if statuses == [501] else [statuses]
            assert found in expected, (kind, name, came)
            assert (b"connection: close" in came.lower()) or statuses == [200, 200], (kind, name, came)


async def test_the_preface_of_http2_is_answered_in_words_wherever_it_is_cut() -> None:
    """In HTTP/1.1, naming it."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    async with serving("relay") as server:
        for cut in (1, 5, 15, 18):
            reader, writer = await server.connect()
            writer.write(preface[:cut])
            await writer.drain()
            await turns()
            writer.write(preface[cut:])
            async with asyncio.timeout(PATIENCE):
                came = await reader.read()
            writer.close()
            assert came.startswith(b"HTTP/1.1 505 ")
            assert b"this port speaks HTTP/1.1, not HTTP/2" in came


async def test_leave_to_send_a_body_is_given_only_to_who_can_read_it() -> None:
    """`100 Continue` is HTTP/1.1's: RFC 9110, 10.1.1."""
    expecting = (
        b"POST /x HTTP/1.%d\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1\r\nconnection: close\r\n\r\n"
    )
    async with serving("relay") as server:
        reader, writer = await server.connect()
        writer.write(expecting % 1)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"a")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        reader, writer = await server.connect()
        writer.write(expecting % 0)
        await turns(50)
        writer.write(b"a")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("parts", [b"", b"x-parts: 1\r\n"], ids=["at once", "in parts"])
async def test_a_status_without_a_body_has_neither_body_nor_length(status: int, parts: bytes) -> None:
    """Whatever was to be sent with it; the next response is where a reader looks for it."""
    async with serving("relay") as server:
        found, came = await server.answers(GET + b"x-status: %d\r\n" % status + parts + b"\r\n" + NEXT)
        assert found == [status, 200]
        first, _, second = came.partition(b"\r\n\r\n")
        assert b"content-length" not in first
        assert b"transfer-encoding" not in first
        assert second.startswith(b"HTTP/1.1 200 ")


# ---------------------------------------------------------------- bounds

SLOW = b"GET / HTTP/1.1\r\nx-slow: "
BOUNDS: dict[str, tuple[HttpBounds, tuple[bytes, ...], list[int]]] = {
    "size of a head": (replace(DEFAULTS, max_head_bytes=500), (GET + b"a: " + b"b" * 600 + b"\r\n\r\n",), [431]),
    "a head that never ends": (replace(DEFAULTS, max_head_bytes=500), (GET + b"a: ", b"b" * 600), [431]),
    "count of headers": (replace(DEFAULTS, max_headers=5), (GET + b"a: b\r\n" * 6,), [431]),
    "count of trailers": (
        replace(DEFAULTS, max_headers=5),
        (GET + CHUNKED + b"\r\n0\r\n" + b"a: b\r\n" * 6 + b"\r\n",),
        [431],
    ),
    "a trailer that never ends": (
        replace(DEFAULTS, max_head_bytes=500),
        (GET + CHUNKED + b"\r\n", b"1\r\na\r\n0\r\na: ", b"b" * 600),
        [431],
    ),
    "a size of a chunk that never ends": (
        replace(DEFAULTS, max_head_bytes=500),
        (GET + CHUNKED + b"\r\n", b"1;" + b"b" * 600),
        [431],
    ),
    "size of a target": (replace(DEFAULTS, max_target_bytes=50), (b"GET /" + b"a" * 60,), [414]),
    "time of a head": (replace(DEFAULTS, head_timeout=0.05), (SLOW,), [408]),
    "time until a head begins": (replace(DEFAULTS, head_timeout=0.05), (), []),
    "time between requests": (replace(DEFAULTS, idle_timeout=0.05), (GET + END,), [200]),
    "requests ahead": (replace(DEFAULTS, max_pipelined=3), ((GET + END) * 30,), [200] * 4),
    "offers ahead": (
        replace(DEFAULTS, max_pipelined=3),
        ((GET + b"connection: upgrade\r\nupgrade: x\r\n\r\n") * 30,),
        [200] * 4,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", BOUNDS)
async def test_every_server_keeps_every_bound(kind: str, name: str) -> None:
    """Past it the client is told, or the connection ends with the last response."""
    bounds, parts, statuses = BOUNDS[name]
    async with serving(kind, bounds) as server:
        reader, writer = await server.connect()
        for part in parts:  # each read by itself, where the event loop will
            writer.write(part)
            await turns(20)
        came = b""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(1 << 16):
                    came += piece
        writer.close()
        found = statuses_in(came)
        # A server that does not wait for a body has answered before its trailers come.
        assert found in (statuses, [200]) if "hunk" in name or "trailer" in name else found == statuses, came


@pytest.mark.parametrize("kind", KINDS)
async def test_a_body_that_does_not_end_holds_no_connection(kind: str) -> None:
    """Whether it was waited for or refused."""
    async with serving(kind, replace(DEFAULTS, body_timeout=0.05)) as server:
        reader, writer = await server.connect()
        writer.write(b"POST " + PATH + b" HTTP/1.1\r\nhost: x\r\nx-unread: 1\r\ncontent-length: 100\r\n\r\nab")
        async with asyncio.timeout(PATIENCE):
            came = await reader.read()
        writer.close()
        assert came.startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_body_that_goes_wrong_behind_its_response_has_no_second_one(kind: str) -> None:
    """The client would take it for the response to its next request."""
    async with serving(kind) as server:
        reader, writer = await server.connect()
        writer.write(b"POST " + PATH + b" HTTP/1.1\r\nhost: x\r\nx-unread: 1\r\n" + CHUNKED + b"\r\n")
        async with asyncio.timeout(PATIENCE):
            came = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"ZZ\r\n")
            came += await reader.read()
        writer.close()
        assert len(statuses_in(came)) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_connection_above_the_bound_is_told_so_and_those_below_go_on(kind: str) -> None:
    """503 with when to come again; room that is given back is given away."""
    async with serving(kind, replace(DEFAULTS, max_connections=2)) as server:
        held = [await server.connect() for _ in range(2)]
        held[0][1].write(GET + END)
        assert (await held[0][0].readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        found, came = await server.answers(NEXT)
        assert found == [503]
        assert b"retry-after: 1" in came
        assert b"too many connections" in came
        held[1][1].close()

        async def served() -> bool:
            return (await server.answers(NEXT))[0] == [200]

        await eventually_async(served)
        held[0][1].close()


async def test_a_client_that_takes_one_of_the_last_descriptors_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """503 that says it, and a metric; the descriptors that are left are for the database, routers and logs."""
    async with serving("relay") as server:
        before = descriptors.EXHAUSTED.labels("clients")._value.get()
        monkeypatch.setattr(descriptors, "highest_for_clients", lambda: 3)
        found, came = await server.answers(NEXT)
        assert found == [503]
        assert b"out of file descriptors" in came
        assert descriptors.EXHAUSTED.labels("clients")._value.get() == before + 1


@pytest.mark.parametrize("settings", [RouterSettings, AdminSettings, RelaySettings], ids=KINDS)
def test_every_bound_is_a_setting_of_every_service(settings: type) -> None:
    """With the default that `HttpBounds` has."""
    names = {each.name for each in declared(settings)}
    assert {
        "TRUNKLINE_HTTP_MAX_TARGET_BYTES",
        "TRUNKLINE_HTTP_HEAD_TIMEOUT",
        "TRUNKLINE_HTTP_BODY_TIMEOUT",
        "TRUNKLINE_HTTP_IDLE_TIMEOUT",
        "TRUNKLINE_HTTP_MAX_PIPELINED",
        "TRUNKLINE_HTTP_MAX_CONNECTIONS",
    } <= names
    assert {"TRUNKLINE_HTTP_MAX_HEADERS", "TRUNKLINE_RELAY_MAX_HEADERS"} & names
