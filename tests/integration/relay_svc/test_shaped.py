"""What a channel changes in a request on its way up and in an answer on its way down, through a running relay."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relay_svc.dialects import Dialect
from tests.harness.waiting import eventually_async
from tests.integration.relay_svc.conftest import Bench
from tests.integration.relay_svc.routers import candidate
from tests.integration.relay_svc.test_formats import PROVIDERS, golden
from tests.integration.relay_svc.upstreams import (
    DONE,
    LAST_CHUNK,
    SSE_HEAD,
    USAGE,
    Call,
    Script,
    Upstream,
    answers,
    error,
    event,
)
from trunkline.v1 import router_pb2 as pb

USER = [{"role": "user", "content": "x"}]
REQUESTS: dict[Dialect, tuple[str, dict[str, Any]]] = {
    Dialect.OPENAI_CHAT: ("/v1/chat/completions", {"model": "m", "messages": USER}),
    Dialect.OPENAI_RESPONSES: ("/v1/responses", {"model": "m", "input": "x"}),
    Dialect.ANTHROPIC: ("/v1/messages", {"model": "m", "max_tokens": 9, "messages": USER}),
    Dialect.GEMINI: (
        "/v1beta/models/m:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "x"}]}]},
    ),
}
"""A request of each format, and its path."""


async def shaped(bench: Bench, script: Script, provider: str = "openai-compatible", **fields: Any) -> Upstream:
    """Plan one channel, its shaping by keyword."""
    upstream = await bench.upstream(script)
    own = {name: fields.pop(name) for name in ("header_overrides", "parameter_overrides_json") if name in fields}
    bench.router.plans["m"] = [
        candidate(1, upstream.base_url, provider=provider, upstream_model="u", shaping=pb.Shaping(**fields), **own)
    ]
    return upstream


async def post(bench: Bench, client: Dialect, *, headers: dict[str, str] | None = None, **members: Any) -> Any:
    """Post a client's request with more members."""
    path, body = REQUESTS[client]
    async with bench.relay.http() as http:
        return await http.post(path, json=body | members, headers=headers)


# ---------------------------------------------------------------- statuses


@pytest.mark.parametrize("client", Dialect)
async def test_a_mapped_status_is_shown_and_the_error_stays_the_upstreams(bench: Bench, client: Dialect) -> None:
    """In every format, translated or not."""
    await shaped(bench, error(400, "context_length_exceeded"), status_mapping={400: 422})
    answer = await post(bench, client)
    assert answer.status_code == 422
    assert "no" in answer.text


async def test_what_follows_is_decided_by_the_status_that_the_upstream_gave(bench: Bench) -> None:
    """A rate limit shown as a client's fault is still passed over, and a client's fault shown as trouble still stops."""
    first, second = await bench.plan(
        error(429, "rate_limit_exceeded"), answers(), shaping={"status_mapping": {429: 400}}
    )
    assert (await bench.chat()).status_code == 200
    assert (len(first.calls), len(second.calls)) == (1, 1)
    first, second = await bench.plan(error(400), answers(), shaping={"status_mapping": {400: 503}})
    assert (await bench.chat()).status_code == 503
    assert (len(first.calls), len(second.calls)) == (1, 0)
    await eventually_async(lambda: len(bench.outcomes) == 3)
    assert [told.http_status for told in bench.outcomes] == [429, 200, 400]


async def test_a_success_is_never_mapped(bench: Bench) -> None:
    """The mapping is of error statuses."""
    await shaped(bench, answers(), status_mapping={200: 500, 500: 200})
    assert (await bench.chat()).status_code == 200


# ---------------------------------------------------------------- system prompts

OF_ITS_OWN: dict[Dialect, dict[str, Any]] = {
    Dialect.OPENAI_CHAT: {"messages": [{"role": "system", "content": "own"}, *USER]},
    Dialect.OPENAI_RESPONSES: {"instructions": "own"},
    Dialect.ANTHROPIC: {"system": "own"},
    Dialect.GEMINI: {"systemInstruction": {"parts": [{"text": "own"}]}},
}


def system_of(upstream: Upstream) -> str:
    """What the system says in the last request, by the place where its format says it."""
    body = json.loads(upstream.calls[-1].body)
    if "systemInstruction" in body:
        return "\n\n".join(part["text"] for part in body["systemInstruction"]["parts"])
    said = body.get("instructions") or body.get("system") or body["messages"][0]["content"]
    return said if isinstance(said, str) else "\n\n".join(part["text"] for part in said)


@pytest.mark.parametrize("client", Dialect)
@pytest.mark.parametrize("upstream", Dialect)
async def test_a_channels_prompt_reaches_the_model_whoever_asks(
    bench: Bench, client: Dialect, upstream: Dialect
) -> None:
    """Where the caller gave none, or before the caller's own; translated requests too."""
    prompted = await shaped(bench, golden, PROVIDERS[upstream], system_prompt="house")
    assert (await post(bench, client)).status_code == 200
    assert system_of(prompted) == "house"
    assert (await post(bench, client, **OF_ITS_OWN[client])).status_code == 200
    assert system_of(prompted) == "own"
    bench.router.plans["m"][0].shaping.system_prompt_mode = pb.SYSTEM_PROMPT_MODE_PREPEND
    assert (await post(bench, client, **OF_ITS_OWN[client])).status_code == 200
    assert system_of(prompted) == "house\n\nown"


# ---------------------------------------------------------------- headers


async def test_headers_are_taken_away_and_put_in_place_of_the_callers(bench: Bench) -> None:
    """Removed ones never go up, whoever set them; overridden ones go up once, as the channel says."""
    upstream = await shaped(
        bench,
        answers(),
        removed_headers=["user-agent", "x-secret", "x-both"],
        header_overrides={"X-Team": "channel", "X-Both": "channel"},
        provider_options={"forward_headers": "x-secret, X-Kept, cookie"},
    )
    headers = {"x-secret": "1", "x-team": "caller", "x-kept": "yes", "user-agent": "sdk/1", "cookie": "a=b"}
    await bench.chat(headers=headers | {"x-user": "somebody"})
    (call,) = upstream.calls
    assert not {"cookie", "x-user"} & call.headers.keys()
    assert {"user-agent", "x-secret", "x-both"} & call.headers.keys() == set()
    assert (call.headers["x-team"], call.headers["x-kept"]) == ("channel", "yes")
    assert call.headers["authorization"] == "Bearer sk-channel-1"


async def test_a_translated_request_is_shaped_in_its_headers_too(bench: Bench) -> None:
    """And what only the caller's family understands stays at home."""
    upstream = await shaped(
        bench, golden, "anthropic", removed_headers=["x-secret"], header_overrides={"anthropic-beta": "b"}
    )
    await post(bench, Dialect.OPENAI_CHAT, headers={"x-secret": "1", "openai-beta": "assistants=v2"})
    (call,) = upstream.calls
    assert {"x-secret", "openai-beta", "authorization"} & call.headers.keys() == set()
    assert (call.headers["anthropic-beta"], call.headers["x-api-key"]) == ("b", "sk-channel-1")
    assert call.headers["anthropic-version"] == "2023-06-01"


async def test_a_channel_says_which_organisation_pays(bench: Bench) -> None:
    """And the caller does not."""
    upstream = await shaped(bench, answers(), "openai", provider_options={"organization": "org-1", "project": "proj_1"})
    await bench.chat(headers={"openai-organization": "org-callers", "openai-project": "proj_callers"})
    (call,) = upstream.calls
    assert (call.headers["openai-organization"], call.headers["openai-project"]) == ("org-1", "proj_1")
    await shaped(bench, answers(), "openai")
    other = await shaped(bench, answers(), "openai")
    await bench.chat(headers={"openai-organization": "org-callers"})
    assert "openai-organization" not in other.calls[0].headers


# ---------------------------------------------------------------- parameters

OPERATIONS = [
    {"op": "set", "path": "temperature", "value": 0.5, "when": {"model": "u*"}},
    {"op": "set", "path": "seed", "value": 1, "when": {"model": "other*"}},
    {"op": "delete", "path": "top_p", "when": {"path": ["/v1/chat/completions", "/v1/messages"]}},
    {"op": "delete", "path": "max_tokens", "when": {"path": "/v1/completions"}},
    {"op": "default", "path": "metadata.team", "value": "house"},
    {"op": "rename", "path": "effort", "to": "reasoning.effort"},
]


async def test_parameters_are_overridden_for_the_models_and_paths_they_are_meant_for(bench: Bench) -> None:
    """The model by its name upstream, the path as the client called it."""
    upstream = await shaped(bench, answers(), parameter_overrides_json=json.dumps(OPERATIONS))
    asked = {"model": "m", "temperature": 1, "top_p": 0.1, "max_tokens": 9, "effort": "low"}
    async with bench.relay.http() as http:
        await http.post("/v1/chat/completions", json={**asked, "messages": USER})
        await http.post("/v1/completions", json={**asked, "prompt": "x"})
    chat, completions = (json.loads(call.body) for call in upstream.calls)
    common = {"model": "u", "temperature": 0.5, "metadata": {"team": "house"}, "reasoning": {"effort": "low"}}
    assert chat == {**common, "max_tokens": 9, "messages": USER}
    assert completions == {**common, "top_p": 0.1, "prompt": "x"}


async def test_a_translated_request_is_overridden_as_its_upstream_reads_it(bench: Bench) -> None:
    """The last word is the channel's."""
    operations = [{"op": "set", "path": "generationConfig.topK", "value": 3, "when": {"path": "/v1/messages"}}]
    upstream = await shaped(bench, golden, "gemini", parameter_overrides_json=json.dumps(operations))
    for client in (Dialect.ANTHROPIC, Dialect.OPENAI_CHAT):
        assert (await post(bench, client)).status_code == 200
    first, second = (json.loads(call.body).get("generationConfig", {}) for call in upstream.calls)
    assert (first.get("topK"), second.get("topK")) == (3, None)


# ---------------------------------------------------------------- usage


async def counts(call: Call) -> None:
    """Stream, and tell the tokens where that was asked for, as OpenAI does."""
    await call.send(SSE_HEAD)
    await call.chunk(event("a"))
    await call.chunk(event(None, "stop"))
    options = json.loads(call.body).get("stream_options") or {}
    if options.get("include_usage"):
        told = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": USAGE}
        await call.chunk(b"data: " + json.dumps(told).encode() + b"\n\n")
    await call.chunk(DONE)
    await call.send(LAST_CHUNK)


@pytest.mark.parametrize("options", [None, {"include_usage": False}, {"include_obfuscation": False}])
async def test_usage_is_asked_for_and_hidden_from_a_client_that_did_not_ask(bench: Bench, options: Any) -> None:
    """It gets the bytes that it would have got without a relay; the router is told the tokens."""
    (upstream,) = await bench.plan(counts)
    asked = {"model": "m", "messages": USER, "stream": True} | ({"stream_options": options} if options else {})
    answer = await bench.chat(json.dumps(asked).encode())
    assert answer.content == event("a") + event(None, "stop") + DONE
    assert json.loads(upstream.calls[0].body)["stream_options"] == {**(options or {}), "include_usage": True}
    await eventually_async(lambda: bench.outcomes)
    assert (bench.outcomes[0].input_tokens, bench.outcomes[0].output_tokens) == (11, 5)


async def test_usage_is_shown_to_a_client_that_asked(bench: Bench) -> None:
    """And its request goes up as it came."""
    (upstream,) = await bench.plan(counts)
    body = b'{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}'
    answer = await bench.chat(body)
    assert b'"usage": {"prompt_tokens": 11' in answer.content
    assert upstream.calls[0].body == body


async def test_a_vendor_that_refuses_the_question_is_not_asked(bench: Bench) -> None:
    """It tells the tokens by itself."""
    upstream = await shaped(bench, counts, provider_options={"vendor": "mistral"})
    await bench.chat(b'{"model":"m","messages":[],"stream":true}')
    assert "stream_options" not in json.loads(upstream.calls[0].body)


# ---------------------------------------------------------------- what is lost


@pytest.mark.parametrize("who", ["the caller", "the channel"])
async def test_what_would_be_lost_is_refused_where_nothing_may_be(bench: Bench, who: str) -> None:
    """By whoever says so; the error names it, in the client's words, and no attempt is made."""
    upstream = await shaped(bench, golden, "anthropic", strict=who == "the channel")
    headers = {"x-trunkline-strict": "true"} if who == "the caller" else {}
    answer = await post(bench, Dialect.OPENAI_CHAT, headers=headers, seed=7)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "seed")
    assert answer.json()["error"]["reason"] == "CANNOT_CARRY"
    told = await post(bench, Dialect.GEMINI, headers=headers, generationConfig={"seed": 7})
    assert (told.status_code, told.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert not upstream.calls
    assert (await post(bench, Dialect.OPENAI_CHAT, headers=headers)).status_code == 200


async def test_a_strict_channel_is_passed_over_for_one_that_loses_nothing(bench: Bench) -> None:
    """Or for one that may."""
    strict = await bench.upstream(golden)
    bench.router.plans["m"] = [
        candidate(1, strict.base_url, provider="anthropic", shaping=pb.Shaping(strict=True)),
        candidate(2, strict.base_url),
    ]
    answer = await post(bench, Dialect.OPENAI_CHAT, seed=7)
    assert (answer.status_code, answer.headers["x-trunkline-channel-id"]) == (200, "2")
    assert (answer.headers["x-trunkline-attempts"], "x-trunkline-lost" in answer.headers) == ("1", False)


async def test_what_was_lost_is_in_a_header_and_in_a_metric(bench: Bench) -> None:
    """Names of the dialects' own by name; what a client made up under one label, so that nobody can fill the metric."""
    await shaped(bench, golden, "anthropic")

    async def lost() -> dict[str, float]:
        async with bench.relay.http() as http:
            lines = (await http.get("/metrics")).text.splitlines()
        return {
            line.split('"')[1]: float(line.split()[-1])
            for line in lines
            if line.startswith("trunkline_relay_lost_total{")
        }

    before = await lost()
    for stream in (False, True):
        answer = await post(bench, Dialect.OPENAI_CHAT, seed=7, made_up=1, stream=stream)
        assert set(answer.headers["x-trunkline-lost"].split(", ")) == {"seed", "made_up"}
    after = await lost()
    assert {name: after[name] - before.get(name, 0) for name in ("seed", "unknown")} == {"seed": 2, "unknown": 2}
    assert "made_up" not in after
