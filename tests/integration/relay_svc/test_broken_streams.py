"""Streams that break after their first content: what the client is told, in every format, passed and translated.

Law: each broken stream ends in an error of the client's own format that says where it broke, why, and of which request; no
SDK returns from one as if it were whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as google_errors
from google.genai import types as google

from relay_svc.dialects import Dialect
from tests.harness.waiting import eventually_async
from tests.integration.relay_svc.conftest import Bench, open_bench
from tests.integration.relay_svc.routers import API_KEY
from tests.integration.relay_svc.test_formats import BODIES, plan, speaks, spoken
from tests.integration.relay_svc.upstreams import LAST_CHUNK, SSE_HEAD, Call, Script, response
from tests.unit.relay_svc.dialects.samples import STREAMS
from trunkline.v1 import router_pb2 as pb

REQUEST_ID = "req-1.a:b"
BROKEN = ("UPSTREAM_BROKEN", pb.OUTCOME_RESULT_BROKEN_ANSWER)
SILENT = ("UPSTREAM_TIMEOUT", pb.OUTCOME_RESULT_READ_TIMEOUT)
"""What becomes of it: the reason, and what the router is told."""
Break = Callable[[Call, asyncio.Event], Awaitable[None]]


def half(dialect: Dialect) -> bytes:
    """Whole events from the beginning of a stream, with content among them and without its end."""
    between = b"\r\n\r\n" if b"\r\n\r\n" in STREAMS[dialect] else b"\n\n"
    events = STREAMS[dialect].split(between)
    return between.join(events[: len(events) // 2]) + between


async def reset(call: Call, seen: asyncio.Event) -> None:
    """The connection is reset."""
    await seen.wait()
    call.writer.transport.abort()


async def silence(call: Call, _seen: asyncio.Event) -> None:
    """Nothing more comes."""
    await call.until_gone()


async def nonsense(call: Call, seen: asyncio.Event) -> None:
    """An event that cannot be read."""
    await seen.wait()
    await call.chunk(b"data: {nonsense\n\n")
    await call.send(LAST_CHUNK)


async def unfinished(call: Call, seen: asyncio.Event) -> None:
    """The body's end, and no event said that it was coming."""
    await seen.wait()
    await call.send(LAST_CHUNK)


BREAKS: dict[Break, tuple[str, int]] = {reset: BROKEN, silence: SILENT, nonsense: BROKEN, unfinished: BROKEN}
every_break = pytest.mark.parametrize("breaks", BREAKS, ids=lambda breaks: breaks.__name__)
every_upstream = pytest.mark.parametrize("upstream", Dialect)
TRANSLATED = [(path, upstream) for path in BODIES for upstream in Dialect if upstream is not spoken(path)]
every_path = pytest.mark.parametrize("path", BODIES, ids=spoken)


@pytest.fixture(scope="module")
async def shared_bench() -> AsyncIterator[Bench]:
    """A relay that is patient, so that only what is meant to breaks."""
    async with open_bench() as started:
        yield started


@pytest.fixture(scope="module")
async def short_bench() -> AsyncIterator[Bench]:
    """A relay that soon takes silence for a break."""
    async with open_bench(TRUNKLINE_RELAY_IDLE_TIMEOUT="400ms") as started:
        yield started


@pytest.fixture
def chosen(bench: Bench, short_bench: Bench, breaks: Break, request: pytest.FixtureRequest) -> Bench:
    """The relay for a break."""
    short_bench.router.forget(request.node.name)
    return Bench(short_bench.router, short_bench.relay, bench.stack) if breaks is silence else bench


def broken_by(breaks: Break, seen: asyncio.Event) -> Script:
    """Sends half a stream, and breaks it once that is with the client: before, another channel might be asked."""

    async def script(call: Call) -> None:
        await call.send(SSE_HEAD)
        await call.chunk(half(speaks(call)))
        await breaks(call, seen)

    return script


def last_error(dialect: Dialect, body: bytes) -> tuple[int, str, str, str]:
    """The place of the error that ends a body; its words, reason and request id as this format's clients read them."""
    name = {Dialect.ANTHROPIC: b"event: error\n", Dialect.OPENAI_RESPONSES: b"event: error\n"}.get(dialect, b"")
    place = body.rindex(name + b"data: {" if name else b'data: {"error"')
    event = json.loads(body[place + len(name) :].split(b"\n")[0].removeprefix(b"data: "))
    error = event["error"]
    if dialect is Dialect.GEMINI:
        [info] = error["details"]
        return place, error["message"], info["reason"], info["metadata"]["request_id"]
    if dialect is Dialect.ANTHROPIC:
        return place, error["message"], error["reason"], event["request_id"]
    if dialect is Dialect.OPENAI_RESPONSES:
        assert (event["message"], event["code"]) == (error["message"], error["code"])
    return place, error["message"], error["reason"], error["request_id"]


async def read(bench: Bench, path: str, seen: asyncio.Event) -> bytes:
    """Ask, and read all there is; what follows a passed stream's error is a connection that breaks."""
    body = b""
    async with bench.relay.http() as http:
        with contextlib.suppress(httpx2.HTTPError):
            async with http.stream("POST", path, json=BODIES[path], headers={"x-request-id": REQUEST_ID}) as answer:
                async for piece in answer.aiter_raw():
                    body += piece
                    seen.set()
    return body


@every_break
@every_upstream
@every_path
async def test_a_broken_stream_says_where_and_why_and_of_which_request(
    chosen: Bench, path: str, upstream: Dialect, breaks: Break
) -> None:
    """The channel, the bytes before, the reason and the request id, whoever wrote the stream."""
    seen = asyncio.Event()
    await plan(chosen, upstream, broken_by(breaks, seen))
    body = await read(chosen, path, seen)
    place, words, reason, request_id = last_error(spoken(path), body)
    expected, result = BREAKS[breaks]
    assert (reason, request_id) == (expected, REQUEST_ID)
    sent = int(words.split(" bytes of it")[0].rsplit(" ", 1)[1])
    assert words.startswith("the answer of channel 1 ")
    assert sent in (place, place - 2)  # before it a blank line, where an event may be open
    assert sent > 0
    await eventually_async(lambda: [outcome.result for outcome in chosen.outcomes] == [result])


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("path", "upstream"), TRANSLATED)
async def test_an_answer_that_cannot_be_read_at_all_is_a_refusal_as_any_other(
    bench: Bench, path: str, upstream: Dialect, *, stream: bool
) -> None:
    """Its reason and request id in the client's words, and the same to the router, whoever found the break."""
    body = b"data: {nonsense\n\n" if stream else b"{nonsense"
    head = response(200, body, "text/event-stream" if stream else "application/json")
    asked: Any = BODIES[path]
    if "stream" in asked:
        asked = {**asked, "stream": stream}
    target = path if stream else path.replace(":streamGenerateContent?alt=sse", ":generateContent")

    async def script(call: Call) -> None:
        await call.send(head)

    await plan(bench, upstream, script)
    async with bench.relay.http() as http:
        answer = await http.post(target, json=asked, headers={"x-request-id": REQUEST_ID})
    assert answer.status_code == 502
    said = answer.json()
    info = said["error"]["details"][0] if spoken(path) is Dialect.GEMINI else said["error"]
    assert info["reason"] == "UPSTREAM_BROKEN"
    assert said["error"]["message"] == "the upstream's answer is not valid JSON in UTF-8"
    assert REQUEST_ID in answer.text
    await eventually_async(lambda: [outcome.result for outcome in bench.outcomes] == [pb.OUTCOME_RESULT_BROKEN_ANSWER])


async def by_chat(url: str) -> AsyncIterator[Any]:
    """OpenAI's SDK, chat."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=API_KEY, max_retries=0) as sdk:
        async for event in await sdk.chat.completions.create(
            model="m", stream=True, messages=[{"role": "user", "content": "x"}]
        ):
            yield event


async def by_responses(url: str) -> AsyncIterator[Any]:
    """OpenAI's SDK, responses."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=API_KEY, max_retries=0) as sdk:
        async for event in await sdk.responses.create(model="m", stream=True, input="x"):
            yield event


async def by_anthropic(url: str) -> AsyncIterator[Any]:
    """Anthropic's SDK."""
    async with anthropic.AsyncAnthropic(base_url=url, api_key=API_KEY, max_retries=0) as sdk:
        async for event in await sdk.messages.create(
            model="m", stream=True, max_tokens=9, messages=[{"role": "user", "content": "x"}]
        ):
            yield event


async def by_google(url: str) -> AsyncIterator[Any]:
    """Google's SDK."""
    async with genai.Client(api_key=API_KEY, http_options=google.HttpOptions(base_url=url)).aio as sdk:
        async for event in await sdk.models.generate_content_stream(model="m", contents="x"):
            yield event


SDKS = {
    Dialect.OPENAI_CHAT: by_chat,
    Dialect.OPENAI_RESPONSES: by_responses,
    Dialect.ANTHROPIC: by_anthropic,
    Dialect.GEMINI: by_google,
}


@every_break
@every_upstream
@pytest.mark.parametrize("client", SDKS)
async def test_no_sdk_returns_from_a_broken_stream_as_if_it_were_whole(
    chosen: Bench, client: Dialect, upstream: Dialect, breaks: Break
) -> None:
    """It raises an error of its own that holds the relay's words; of nonsense that passed, what it makes of it."""
    seen = asyncio.Event()
    await plan(chosen, upstream, broken_by(breaks, seen))
    own: tuple[type[Exception], ...] = (openai.APIError, anthropic.APIError, google_errors.APIError)
    raised, words = own, "channel 1 "
    if breaks is nonsense and client is upstream:
        raised, words = (*own, ValueError), ""

    async def until_its_end() -> None:
        async for _ in SDKS[client](chosen.relay.url):
            seen.set()

    with pytest.raises(raised) as caught:
        await until_its_end()
    assert words in str(caught.value)


@pytest.mark.parametrize("upstream", Dialect)
@every_path
async def test_a_stream_that_outlives_its_time_says_so_in_the_clients_format(path: str, upstream: Dialect) -> None:
    """The relay's own bound of a request ends it as a break does."""
    async with open_bench(TRUNKLINE_RELAY_TOTAL_TIMEOUT="800ms") as bench:
        await plan(bench, upstream, broken_by(silence, seen := asyncio.Event()))
        body = await read(bench, path, seen)
        place, words, reason, request_id = last_error(spoken(path), body)
    assert (reason, request_id) == ("DEADLINE_EXCEEDED", REQUEST_ID)
    assert f"after {place} bytes" in words or f"after {place - 2} bytes" in words
