"""Answers on their way: passed on at the client's pace, and never cut short in silence."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json

import httpx2
import openai
import pytest

from tests.harness.waiting import PATIENCE, eventually_async, pace
from tests.integration.relay_svc.conftest import CHAT, HEADERS, Bench, open_bench
from tests.integration.relay_svc.upstreams import (
    DONE,
    LAST_CHUNK,
    SSE_HEAD,
    Call,
    Script,
    Upstream,
    answers,
    event,
    streams,
)
from trunkline.errors import ApiKeyDisabled, Cause, Unverified
from trunkline.v1 import router_pb2 as pb

BODY = b'{"model":"m","messages":[],"stream":true}'
HEAD = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: {HEADERS['authorization']}\r\n"


async def read_all(bench: Bench, body: bytes = BODY) -> tuple[list[bytes], bool]:
    """Stream an answer: its events, and whether the transfer ended as HTTP says."""
    received = b""
    async with bench.relay.http() as client:
        try:
            async with client.stream("POST", CHAT, content=body) as answer:
                assert answer.status_code == 200
                async for chunk in answer.aiter_raw():
                    received += chunk
        except httpx2.RemoteProtocolError:
            return [part for part in received.split(b"\n\n") if part], False
    return [part for part in received.split(b"\n\n") if part], True


async def test_a_stream_passes_unchanged(bench: Bench) -> None:
    """Through the official SDK, and byte for byte."""
    await bench.plan(streams)
    async with bench.relay.openai() as client:
        stream = await client.chat.completions.create(model="m", messages=[], stream=True)
        text = [chunk.choices[0].delta.content async for chunk in stream]
    assert text == ["a", "b", "c", None]
    events, whole = await read_all(bench)
    assert whole
    assert b"\n\n".join(events) + b"\n\n" == event("a") + event("b") + event("c") + event(None, "stop") + DONE
    await eventually_async(lambda: len(bench.outcomes) == 2)
    assert {outcome.result for outcome in bench.outcomes} == {pb.OUTCOME_RESULT_SUCCESS}
    assert all(outcome.streamed for outcome in bench.outcomes)


async def test_an_answer_that_is_not_streamed_passes_unchanged(bench: Bench) -> None:
    """Through the official SDK."""
    await bench.plan(answers())
    async with bench.relay.openai() as client:
        answer = await client.chat.completions.create(model="m", messages=[])
    assert answer.choices[0].message.content == "hello"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 16


async def test_events_arrive_as_they_are_made(bench: Bench) -> None:
    """The first event is the client's before the second is written."""
    go_on = asyncio.Event()

    async def script(call: Call) -> None:
        await call.send(SSE_HEAD)
        await call.chunk(event("a"))
        await go_on.wait()
        await call.chunk(event("b", "stop") + DONE)
        await call.send(LAST_CHUNK)

    await bench.plan(script)
    async with bench.relay.http() as client, client.stream("POST", CHAT, content=BODY) as answer:
        chunks = answer.aiter_raw()
        assert await anext(chunks) == event("a")
        go_on.set()
        assert b"".join([chunk async for chunk in chunks]) == event("b", "stop") + DONE


def ends(*parts: bytes, cleanly: bool) -> Script:
    """A stream that ends after these parts, with or without HTTP's own end."""

    async def script(call: Call) -> None:
        await call.send(SSE_HEAD)
        for part in parts:
            await call.chunk(part)
        if cleanly:
            await call.send(LAST_CHUNK)
        call.writer.close()

    return script


BAD_ENDS = {
    "the connection breaks": ends(event("a"), cleanly=False),
    "in the middle of an event": ends(event("a"), event("b")[:20], cleanly=False),
    "in the middle of an event, cleanly": ends(event("a"), event("b")[:20], cleanly=True),
    "cleanly without a last event": ends(event("a"), cleanly=True),
    "the connection breaks after the finish": ends(event("a"), event(None, "stop"), cleanly=False),
}


@pytest.mark.parametrize("script", BAD_ENDS.values(), ids=BAD_ENDS.keys())
async def test_a_stream_that_ends_badly_ends_in_an_error_event(bench: Bench, script: Script) -> None:
    """Never a silent truncation or a false `[DONE]`, and never another candidate after the first byte."""
    _, second = await bench.plan(script, streams)
    events, whole = await read_all(bench)
    assert not whole
    assert events[0] == event("a").strip()
    last = json.loads(events[-1].removeprefix(b"data: "))["error"]
    assert last["reason"] == "UPSTREAM_BROKEN"
    assert last["request_id"]
    assert all(json.loads(part.removeprefix(b"data: ")) for part in events)
    assert not second.calls
    await eventually_async(lambda: bench.outcomes)
    assert bench.outcomes[0].result == pb.OUTCOME_RESULT_BROKEN_ANSWER


async def test_the_official_sdk_raises_on_a_stream_that_breaks(bench: Bench) -> None:
    """A user's loop over chunks does not end as if all were well."""
    await bench.plan(BAD_ENDS["in the middle of an event"])
    async with bench.relay.openai() as client:
        stream = await client.chat.completions.create(model="m", messages=[], stream=True)
        with pytest.raises(openai.APIError, match="broke off"):
            [chunk async for chunk in stream]


async def test_a_stream_with_a_finish_reason_needs_no_done(bench: Bench) -> None:
    """Some upstreams never say `[DONE]`; a proper end after a finish reason is an end."""
    await bench.plan(ends(event("a"), event(None, "stop"), cleanly=True))
    events, whole = await read_all(bench)
    assert whole
    assert len(events) == 2


async def test_an_error_that_the_upstream_streams_is_passed_and_not_doubled(bench: Bench) -> None:
    """Its own words are enough; the router learns that it failed."""
    await bench.plan(ends(event("a"), b'data: {"error":{"message":"overloaded"}}\n\n', cleanly=True))
    events, _ = await read_all(bench)
    assert [b"error" in part for part in events] == [False, True]
    await eventually_async(lambda: bench.outcomes)
    assert bench.outcomes[0].result == pb.OUTCOME_RESULT_UPSTREAM_ERROR


async def test_a_stream_that_stalls_ends_in_an_error_event() -> None:
    """The idle limit holds between any two reads."""

    async def stalls(call: Call) -> None:
        await call.send(SSE_HEAD)
        await call.chunk(event("a"))
        await call.until_gone()

    async with open_bench(TRUNKLINE_RELAY_IDLE_TIMEOUT="150ms") as bench:
        await bench.plan(stalls)
        events, whole = await read_all(bench)
        assert not whole
        assert json.loads(events[-1].removeprefix(b"data: "))["error"]["reason"] == "UPSTREAM_TIMEOUT"


async def test_the_total_deadline_ends_a_stream_with_an_error_event() -> None:
    """However lively it is."""

    async def endless(call: Call) -> None:
        await call.send(SSE_HEAD)
        while not call.writer.is_closing():
            await call.chunk(event("a"))
            await pace(0.01)

    async with open_bench(TRUNKLINE_RELAY_TOTAL_TIMEOUT="300ms") as bench:
        await bench.plan(endless)
        events, whole = await read_all(bench)
        assert not whole
        assert json.loads(events[-1].removeprefix(b"data: "))["error"]["reason"] == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("framing", ["content-length: 1000", "transfer-encoding: chunked"])
async def test_a_plain_answer_that_breaks_breaks_for_the_client(bench: Bench, framing: str) -> None:
    """A body cut short is a broken transfer, not a short body."""

    async def breaks(call: Call) -> None:
        await call.send(f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{framing}\r\n\r\n".encode())
        await (call.chunk if "chunked" in framing else call.send)(b'{"choices": [')
        call.writer.close()

    await bench.plan(breaks)
    with pytest.raises(httpx2.RemoteProtocolError):
        await bench.chat()


async def test_a_client_that_leaves_mid_stream_is_noticed_upstream_at_once(bench: Bench) -> None:
    """Within a second, and the router learns that the client left."""
    gone = asyncio.Event()

    async def script(call: Call) -> None:
        await call.send(SSE_HEAD)
        await call.chunk(event("a"))
        await call.until_gone()
        gone.set()

    await bench.plan(script)
    async with bench.relay.http() as client, client.stream("POST", CHAT, content=BODY) as answer:
        assert await anext(answer.aiter_raw()) == event("a")
    async with asyncio.timeout(PATIENCE):
        await gone.wait()
    await eventually_async(lambda: bench.outcomes)
    assert bench.outcomes[0].result == pb.OUTCOME_RESULT_CLIENT_LEFT


async def test_a_client_that_leaves_before_any_answer_is_noticed_upstream_at_once(bench: Bench) -> None:
    """Nothing need be written for the leaving to be seen."""
    asked, gone = asyncio.Event(), asyncio.Event()

    async def script(call: Call) -> None:
        asked.set()
        await call.until_gone()
        gone.set()

    await bench.plan(script)
    _, writer = await bench.relay.connect()
    writer.write(f"{HEAD}content-length: 13\r\n\r\n".encode() + b'{"model":"m"}')
    await asked.wait()
    writer.close()
    async with asyncio.timeout(PATIENCE):
        await gone.wait()
    await eventually_async(lambda: bench.outcomes)
    assert bench.outcomes[0].result == pb.OUTCOME_RESULT_CLIENT_LEFT


def more_calls(upstream: Upstream, before: int) -> bool:
    """Whether an upstream was called again."""
    return len(upstream.calls) > before


async def test_clients_that_leave_take_no_connection_with_them() -> None:
    """However many left, in the middle of a stream or before it: the pool is as large as it was."""

    async def never_ends(call: Call) -> None:
        await call.send(SSE_HEAD)
        await call.chunk(event("a"))
        await call.until_gone()

    async def never_begins(call: Call) -> None:
        await call.until_gone()

    async with open_bench(TRUNKLINE_RELAY_MAX_CONNECTIONS="3") as bench:
        await bench.plan(never_ends)
        (silent,) = await bench.plan(never_begins, model="silent")
        await bench.plan(streams, model="good")
        for _ in range(20):
            async with bench.relay.http() as client, client.stream("POST", CHAT, content=BODY) as answer:
                assert await anext(answer.aiter_raw()) == event("a")
            before = len(silent.calls)
            _, writer = await bench.relay.connect()
            writer.write(f"{HEAD}content-length: 18\r\n\r\n".encode() + b'{"model":"silent"}')
            await eventually_async(functools.partial(more_calls, silent, before))
            writer.close()
        for _ in range(3):
            assert (await bench.chat(b'{"model":"good"}')).status_code == 200


async def test_a_slow_client_slows_the_upstream_and_fills_no_memory(bench: Bench) -> None:
    """What a client does not take, the relay does not read: the upstream's writing comes to a stop."""
    taken = 0
    chunk = b"data: " + b"x" * 65528 + b"\n\n"

    async def floods(call: Call) -> None:
        nonlocal taken
        await call.send(SSE_HEAD)
        for _ in range(2000):  # 128 MB
            await call.chunk(chunk)
            taken += len(chunk)

    await bench.plan(floods)
    reader, writer = await bench.relay.connect()
    writer.write(f"{HEAD}content-length: {len(BODY)}\r\n\r\n".encode() + BODY)
    await reader.readuntil(b"\r\n\r\n")
    before = -1

    def came_to_a_stop() -> bool:
        nonlocal before
        stopped, before = taken == before, taken
        return stopped and taken > 0

    await eventually_async(came_to_a_stop)
    assert taken < 32 << 20  # two sockets' buffers, and a few chunks in hand
    writer.close()


async def test_a_client_that_takes_nothing_is_given_up() -> None:
    """The upstream's connection is not held for one who does not read."""
    gone = asyncio.Event()

    async def floods(call: Call) -> None:
        await call.send(SSE_HEAD)
        try:
            while True:
                await call.chunk(b"data: " + b"x" * 65000 + b"\n\n")
        finally:
            gone.set()

    async with open_bench(TRUNKLINE_RELAY_CLIENT_TIMEOUT="300ms") as bench:
        await bench.plan(floods)
        reader, writer = await bench.relay.connect()
        writer.write(f"{HEAD}content-length: {len(BODY)}\r\n\r\n".encode() + BODY)
        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            await gone.wait()
        writer.close()


async def test_an_upstream_that_trickles_is_passed_on_event_by_event(bench: Bench) -> None:
    """A byte at a time makes whole events all the same."""

    async def trickles(call: Call) -> None:
        await call.send(SSE_HEAD)
        for byte in event("a") + event(None, "stop") + DONE:
            await call.chunk(bytes([byte]))
        await call.send(LAST_CHUNK)

    await bench.plan(trickles)
    events, whole = await read_all(bench)
    assert whole
    assert [part + b"\n\n" for part in events] == [event("a"), event(None, "stop"), DONE]


async def test_a_compressed_answer_passes_as_it_is(bench: Bench) -> None:
    """Upstreams are asked for plain bytes; one that compresses anyway is not tampered with."""
    await bench.plan(answers(200, b"\x1f\x8bnot really", content_encoding="x-odd"))
    async with bench.relay.http() as client, client.stream("POST", CHAT, content=b'{"model":"m"}') as answer:
        assert answer.headers["content-encoding"] == "x-odd"
        assert b"".join([chunk async for chunk in answer.aiter_raw()]) == b"\x1f\x8bnot really"


async def test_a_stream_ends_when_its_api_key_is_switched_off() -> None:
    """In the client's words, with the reason, and its attempt is told as given up; a doubt ends nothing."""
    over = asyncio.Event()

    async def script(call: Call) -> None:
        await call.send(SSE_HEAD)
        await call.chunk(event("a"))
        await over.wait()

    async with open_bench(TRUNKLINE_RELAY_KEY_RECHECK="150ms") as bench:
        await bench.plan(script)
        async with (
            bench.relay.http() as client,
            client.stream("POST", "/v1/chat/completions", content=b'{"model":"m","stream":true}') as answer,
        ):
            chunks = answer.aiter_raw()
            assert await anext(chunks) == event("a")
            asked = len(bench.router.picks)
            bench.router.refuses["m"] = Unverified(cause=Cause.HEAD_MOVING)
            await eventually_async(lambda: len(bench.router.picks) >= asked + 3)  # it was checked, and goes on
            bench.router.refuses["m"] = ApiKeyDisabled(api_key_id=5, revision=9)
            rest = b""
            with contextlib.suppress(httpx2.RemoteProtocolError):  # it is not whole, and does not look so
                async for chunk in chunks:
                    rest += chunk
        assert b"API_KEY_DISABLED" in rest
        assert b"[DONE]" not in rest
        await eventually_async(lambda: bool(bench.outcomes))
        over.set()
