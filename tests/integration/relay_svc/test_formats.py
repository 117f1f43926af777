"""Every format of clients against every format of upstreams, through a running relay: what the SDKs do not show.

Law: a stream that was cut never ends as if it were whole, a refusal is in the words of its path, and what cannot be carried
is named. What the official SDKs see stands in `tests/matrix`.
"""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from relay_svc.dialects import Dialect
from tests.integration.relay_svc.conftest import Bench
from tests.integration.relay_svc.routers import candidate
from tests.integration.relay_svc.upstreams import LAST_CHUNK, SSE_HEAD, Call, Script, answers, response
from tests.unit.relay_svc.dialects.samples import ANSWERS, STREAMS
from trunkline.v1 import router_pb2 as pb

PROVIDERS = {
    Dialect.OPENAI_CHAT: "openai-compatible",
    Dialect.OPENAI_RESPONSES: "openai",
    Dialect.ANTHROPIC: "anthropic",
    Dialect.GEMINI: "gemini",
}
every_upstream = pytest.mark.parametrize("upstream", Dialect)


def spoken(path: str) -> Dialect:
    """The format that a path is of."""
    if "/chat/completions" in path:
        return Dialect.OPENAI_CHAT
    if "/responses" in path:
        return Dialect.OPENAI_RESPONSES
    return Dialect.ANTHROPIC if "/messages" in path else Dialect.GEMINI


def speaks(call: Call) -> Dialect:
    """The format that a call is of."""
    return spoken(call.line.split(" ")[1])


def wants_stream(call: Call) -> bool:
    """Whether a call asks for a stream."""
    return "streamGenerateContent" in call.line or json.loads(call.body).get("stream") is True


async def golden(call: Call) -> None:
    """Answer as the providers do, in the format asked for."""
    dialect = speaks(call)
    if not wants_stream(call):
        await call.send(response(200, json.dumps(ANSWERS[dialect]).encode()))
        return
    await call.send(SSE_HEAD)
    await call.chunk(STREAMS[dialect])
    await call.send(LAST_CHUNK)


async def cut(call: Call) -> None:
    """Break a stream off in the middle."""
    stream = STREAMS[speaks(call)]
    await call.send(SSE_HEAD)
    await call.chunk(stream[: len(stream) * 3 // 4])
    call.writer.close()


async def plan(bench: Bench, upstream: Dialect, *scripts: Script, **fields: Any) -> None:
    """Plan the model over upstreams of one kind."""
    served = [await bench.upstream(script) for script in scripts]
    if upstream is Dialect.OPENAI_RESPONSES:  # asked so for every client, not for its own alone
        fields["shaping"] = pb.Shaping(provider_options={"api": "responses"})
    bench.router.plans["m"] = [
        candidate(number, each.base_url, provider=PROVIDERS[upstream], upstream_model="u", **fields)
        for number, each in enumerate(served, 1)
    ]


BODIES = {
    "/v1/chat/completions": {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]},
    "/v1/responses": {"model": "m", "stream": True, "input": "x"},
    "/v1/messages": {"model": "m", "stream": True, "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]},
    "/v1beta/models/m:streamGenerateContent?alt=sse": {"contents": [{"role": "user", "parts": [{"text": "x"}]}]},
}
CLEAN = (b"data: [DONE]", b'"response.completed"', b'"message_stop"', b'"finishReason"')


@every_upstream
@pytest.mark.parametrize("path", BODIES)
async def test_a_stream_that_is_cut_ends_in_an_error(bench: Bench, path: str, upstream: Dialect) -> None:
    """Never as if it were whole."""
    await plan(bench, upstream, cut)
    async with bench.relay.http() as client:
        try:
            body = (await client.post(path, json=BODIES[path])).content
        except httpx2.HTTPError:
            return  # broken off: nobody takes that for a whole one
    assert b"error" in body
    assert not any(word in body for word in CLEAN)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/messages", "anthropic"),
        ("/v1beta/models/m:generateContent", "google"),
        ("/v1beta/models/m%3AgenerateContent", "google"),
        ("/v1/responses", "openai"),
    ],
)
async def test_a_missing_key_is_refused_in_the_paths_own_words(bench: Bench, path: str, kind: str) -> None:
    """From authentication on."""
    async with bench.relay.http() as client:
        answer = await client.post(path, json={}, headers={"authorization": ""})
    assert answer.status_code == 401
    body = answer.json()
    shapes = {
        "anthropic": body.get("type") == "error",
        "google": "status" in body["error"],
        "openai": "code" in body["error"],
    }
    assert shapes[kind]


async def test_what_cannot_be_carried_is_named_and_a_strict_caller_is_refused(bench: Bench) -> None:
    """The header says it, and nothing is sent for a caller that would not have it."""
    await plan(bench, Dialect.ANTHROPIC, golden)
    body = json.dumps({"model": "m", "seed": 7, "messages": [{"role": "user", "content": "x"}]}).encode()
    answer = await bench.chat(body)
    assert (answer.status_code, answer.headers["x-trunkline-lost"]) == (200, "seed")
    strict = await bench.chat(body, headers={"x-trunkline-strict": "true"})
    assert (strict.status_code, strict.json()["error"]["param"]) == (400, "seed")


async def test_a_translated_answer_that_holds_an_error_fails_over(bench: Bench) -> None:
    """It is read whole before its head is sent."""
    broken = answers(200, b'{"error":{"type":"overloaded_error","message":"later"}}')
    await plan(bench, Dialect.ANTHROPIC, broken, golden)
    answer = await bench.chat(b'{"model":"m","messages":[{"role":"user","content":"x"}]}')
    assert (answer.status_code, answer.headers["x-trunkline-attempts"]) == (200, "2")


async def test_an_operation_that_no_channel_offers_is_refused(bench: Bench) -> None:
    """And no attempt is made of it."""
    await plan(bench, Dialect.ANTHROPIC, golden)
    async with bench.relay.http() as client:
        answer = await client.post("/v1/embeddings", json={"model": "m", "input": "x"})
    assert (answer.status_code, answer.json()["error"]["reason"]) == (400, "OPERATION_NOT_OFFERED")


async def test_other_operations_pass_as_they_are(bench: Bench) -> None:
    """Only the model changes."""
    upstream = await bench.upstream(answers(200, b'{"data":[]}'))
    bench.router.plans["m"] = [candidate(1, upstream.base_url, upstream_model="u")]
    form = {"files": {"file": ("a.wav", b"RIFF")}, "data": {"model": "m"}}
    async with bench.relay.http() as client:
        for path in ("embeddings", "moderations", "rerank", "images/generations", "audio/speech", "completions"):
            answer = await client.post(f"/v1/{path}", content=b'{"model":"m", "input":"x"}')
            assert (answer.status_code, answer.content) == (200, b'{"data":[]}')
            assert upstream.calls[-1].body == b'{"model":"u", "input":"x"}'
        assert (await client.post("/v1/audio/transcriptions", **form)).status_code == 200  # type: ignore[arg-type]
    assert b'name="model"\r\n\r\nu\r\n' in upstream.calls[-1].body
