"""The way from a client's connection to the relay and back: framing, pipelining, pace, and clients that leave."""

from __future__ import annotations

import asyncio

import pytest

from tests.harness.waiting import PATIENCE, eventually_async, turns
from tests.integration.relay_svc.conftest import CHAT, HEADERS, Bench, open_bench
from tests.integration.relay_svc.upstreams import LAST_CHUNK, SSE_HEAD, Call, answers, event, streams
from trunkline.v1 import router_pb2 as pb

BODY = b'{"model":"m","messages":[]}'
HEAD = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: {HEADERS['authorization']}\r\n".encode()
REQUEST = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Read one answer that has a length or is chunked."""
    async with asyncio.timeout(PATIENCE):
        line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in fields)}
        if "chunked" not in headers.get("transfer-encoding", ""):
            return int(line.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return int(line.split()[1]), headers, body


async def test_a_request_in_two_pieces_is_the_same_wherever_it_is_cut(bench: Bench) -> None:
    """Head and body, byte by byte; one connection carries them all."""
    (upstream,) = await bench.plan(answers())
    reader, writer = await bench.relay.connect()
    for cut in range(1, len(REQUEST)):
        writer.write(REQUEST[:cut])
        await writer.drain()
        await turns(1)
        writer.write(REQUEST[cut:])
        assert (await answer_of(reader))[0] == 200
    writer.close()
    assert {call.body for call in upstream.calls} == {BODY}


async def test_requests_sent_ahead_are_each_answered_in_order(bench: Bench) -> None:
    """Refusals, streams, whole answers and the operations' paths, all in one packet."""
    await bench.plan(answers(), model="m")
    await bench.plan(streams, model="s")
    stream = b'{"model":"s","stream":true}'
    many = [
        (REQUEST, 200, b"chat.completion"),
        (b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n", 200, b"ok"),
        (HEAD + b"content-length: %d\r\n\r\n" % len(stream) + stream, 200, b"[DONE]"),
        (HEAD + b'content-length: 13\r\n\r\n{"model":"z"}', 404, b"MODEL_UNKNOWN"),
        (REQUEST, 200, b"chat.completion"),
    ]
    reader, writer = await bench.relay.connect()
    writer.write(b"".join(request for request, _, _ in many))
    for _, status, part in many:
        got, _, body = await answer_of(reader)
        assert (got, part in body) == (status, True)
    writer.close()


async def test_a_connection_serves_on_after_a_refusal(bench: Bench) -> None:
    """Whether the refused body had come or not, the next answer is the next request's."""
    await bench.plan(answers())
    reader, writer = await bench.relay.connect()
    keyless = REQUEST.replace(b"authorization", b"x-authorization")
    for request, status in [
        (keyless, 401),
        (REQUEST, 200),
        (HEAD + b"content-length: 2\r\n\r\n{}", 400),
        (REQUEST, 200),
    ]:
        writer.write(request)
        assert (await answer_of(reader))[0] == status
    writer.write(keyless[: -len(BODY)])
    assert (await answer_of(reader))[0] == 401
    writer.write(BODY + REQUEST)
    assert (await answer_of(reader))[0] == 200
    writer.close()


async def test_a_client_of_http_1_0_gets_no_chunks(bench: Bench) -> None:
    """It would take them for the body; the connection's end is the answer's."""
    await bench.plan(streams)
    reader, writer = await bench.relay.connect()
    writer.write(REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"))
    async with asyncio.timeout(PATIENCE):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert body.startswith(b"data: ")
    assert body.endswith(b"data: [DONE]\n\n")


async def test_an_answer_cut_short_is_a_broken_transfer_for_http_1_0_too(bench: Bench) -> None:
    """A reset, since a plain end would look like the answer's own."""

    async def broken(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        await call.chunk(b'{"half":')
        call.writer.close()

    await bench.plan(broken)
    reader, writer = await bench.relay.connect()
    writer.write(REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"))
    with pytest.raises(ConnectionResetError):
        async with asyncio.timeout(PATIENCE):
            await reader.read()
    writer.close()


async def test_a_client_that_leaves_while_it_sends_costs_no_pick(bench: Bench) -> None:
    """Its body will never be whole."""
    await bench.plan(answers())
    _, writer = await bench.relay.connect()
    writer.write(REQUEST[:-3])
    await writer.drain()
    writer.transport.abort()
    assert (await bench.chat()).status_code == 200
    assert len(bench.router.picks) == 1


async def test_a_client_that_leaves_while_its_pick_waits_is_let_go(bench: Bench) -> None:
    """Nothing of it is left, with the router or in the count of requests."""
    await bench.plan(answers())
    bench.router.deferred.add("m")
    _, writer = await bench.relay.connect()
    writer.write(REQUEST)
    await eventually_async(lambda: bool(bench.router.picks))
    writer.transport.abort()

    async def none_left() -> bool:
        async with bench.relay.http() as client:
            return "trunkline_relay_in_flight_requests 0.0" in (await client.get("/metrics")).text

    await eventually_async(none_left)
    bench.router.release.set()


async def test_a_client_that_leaves_with_requests_sent_ahead_is_served_none_of_them(bench: Bench) -> None:
    """The one under way is cut off, those behind it never begin."""

    async def endless(call: Call) -> None:
        await call.send(SSE_HEAD)
        await call.chunk(event("a"))
        await call.until_gone()

    (upstream,) = await bench.plan(endless)
    reader, writer = await bench.relay.connect()
    writer.write(REQUEST)
    await reader.readuntil(b"\n\n")
    writer.write(REQUEST)
    writer.transport.abort()
    await eventually_async(lambda: [told.result for told in bench.outcomes] == [pb.OUTCOME_RESULT_CLIENT_LEFT])
    assert len(upstream.calls) == 1


async def test_a_drain_waits_for_an_open_stream_and_closes_what_is_idle() -> None:
    """The stream ends as it would have; its connection is not kept for another request."""
    go_on = asyncio.Event()

    async def script(call: Call) -> None:
        await call.send(SSE_HEAD)
        await call.chunk(event("a"))
        await go_on.wait()
        await call.chunk(event(None, "stop"))
        await call.send(LAST_CHUNK)

    async with open_bench(TRUNKLINE_DRAIN_TIMEOUT="5s") as bench:
        await bench.plan(script)
        idle_reader, idle_writer = await bench.relay.connect()
        idle_writer.write(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await answer_of(idle_reader))[0] == 200
        reader, writer = await bench.relay.connect()
        writer.write(REQUEST)
        await reader.readuntil(b"\n\n")
        bench.relay.stop.set()
        async with asyncio.timeout(PATIENCE):
            assert await idle_reader.read() == b""
            go_on.set()
            assert (await reader.read()).endswith(b"0\r\n\r\n")
        writer.close()
        idle_writer.close()
        await bench.relay.task


async def test_an_upstreams_header_cannot_begin_another_answer(bench: Bench) -> None:
    """A bare line end in a value ends the attempt, not the client's framing."""
    await bench.plan(lambda call: call.send(b"HTTP/1.1 200 OK\r\nx: a\nset: b\r\ncontent-length: 2\r\n\r\n{}"))
    answer = await bench.chat()
    assert "set" not in answer.headers
