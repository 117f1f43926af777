"""Allow-lists hold for every way to name a model, over real sockets: what a key may not use reaches no upstream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.relay_svc.conftest import CHAT, Bench
from tests.integration.relay_svc.routers import candidate
from tests.integration.relay_svc.upstreams import Upstream, answers
from trunkline.errors import Cause, ModelNotAllowed, Unverified

USER: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]
RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
GEMINI = "/v1beta/models/m"


async def planned(bench: Bench, provider: str = "openrouter", **fields: Any) -> Upstream:
    """One channel for `m` and `also`, and a model that the key may not use."""
    upstream = await bench.upstream(answers())
    for model in ("m", "also"):
        given = {"upstream_model": model, **fields}
        bench.router.plans[model] = [candidate(1, upstream.base_url, provider=provider, **given)]
    bench.router.refuses["secret"] = ModelNotAllowed(api_key_id=5, model="secret", revision=7)
    return upstream


async def post(bench: Bench, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Send a body; gives the status and what an error says, whoever's words it is in."""
    async with bench.relay.http() as client:
        answer = await client.post(path, json=body)
    said = answer.json().get("error", {})
    details = said.get("details")
    if isinstance(details, list):
        said = {**said, **details[0], **details[0].get("metadata", {})}
    return answer.status_code, said


NAMING = {
    "OpenRouter's models": ("openrouter", CHAT, {"models": ["m", "secret"]}, "models"),
    "OpenRouter's models, in responses": ("openrouter", RESPONSES, {"input": "x", "models": ["secret"]}, "models"),
    "OpenRouter's models, in messages": ("openrouter", MESSAGES, {"max_tokens": 5, "models": ["secret"]}, "models"),
    "LiteLLM's fallbacks": ("openai-compatible", CHAT, {"fallbacks": [{"model": "secret"}]}, "fallbacks"),
    "an image tool": (
        "openai",
        RESPONSES,
        {"input": "x", "tools": [{"type": "image_generation", "model": "secret"}]},
        "tools.model",
    ),
    "an advisor": (
        "anthropic",
        MESSAGES,
        {"max_tokens": 5, "tools": [{"type": "advisor_20260301", "name": "advisor", "model": "secret"}]},
        "tools.model",
    ),
    "an extra body": ("openai-compatible", CHAT, {"extra_body": {"model": "secret"}}, "extra_body.model"),
    "another case": ("openai-compatible", CHAT, {"MODELS": ["secret"]}, "MODELS"),
    "Gemini's batch": ("gemini", f"{GEMINI}:batchEmbedContents", {"requests": [{"model": "models/secret"}]}, ""),
    "Gemini's count": ("gemini", f"{GEMINI}:countTokens", {"generateContentRequest": {"model": "models/secret"}}, ""),
    "Gemini's body": ("gemini", f"{GEMINI}:generateContent", {"model": "secret", "contents": []}, ""),
}


@pytest.mark.parametrize(("provider", "path", "body", "member"), NAMING.values(), ids=NAMING.keys())
async def test_what_the_key_may_not_use_it_may_not_name(
    bench: Bench, provider: str, path: str, body: dict[str, Any], member: str
) -> None:
    """403, the member named in OpenAI's words, and nothing is sent."""
    upstream = await planned(bench, provider)
    routed = {} if path.startswith(GEMINI) else {"model": "m", "messages": USER}
    status, said = await post(bench, path, routed | body)
    assert (status, said["reason"]) == (403, "MODEL_NOT_ALLOWED")
    if path in (CHAT, RESPONSES):
        assert said["param"] == member
    assert not upstream.calls
    allowed = json.loads(json.dumps(routed | body).replace("secret", "also"))
    status, _ = await post(bench, path, allowed)
    assert (status, json.loads(upstream.calls[0].body)) == (200, allowed)


STORED = {
    "an earlier response": (RESPONSES, {"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
    "a conversation": (RESPONSES, {"input": "x", "conversation": {"id": "conv_1"}}, "conversation"),
    "a stored prompt": (RESPONSES, {"prompt": {"id": "pmpt_1"}}, "prompt"),
    "a preset": (CHAT, {"preset": "cheap"}, "preset"),
    "an assistant": (CHAT, {"assistant_id": "asst_1"}, "assistant_id"),
    "a thread": (MESSAGES, {"max_tokens": 5, "thread": {"id": "thr_1"}}, "thread"),
    "a container": (MESSAGES, {"max_tokens": 5, "container": "container_1"}, "container"),
    "a cache": (f"{GEMINI}:generateContent", {"contents": [], "cachedContent": "cachedContents/1"}, "cachedContent"),
}


@pytest.mark.parametrize(("path", "body", "member"), STORED.values(), ids=STORED.keys())
async def test_what_stands_for_a_model_and_cannot_be_looked_into_is_refused(
    bench: Bench, path: str, body: dict[str, Any], member: str
) -> None:
    """400, naming the member, before anything is sent."""
    upstream = await planned(bench, "openai")
    routed = {} if path.startswith(GEMINI) else {"model": "m", "messages": USER}
    status, said = await post(bench, path, routed | body)
    assert (status, said["reason"]) == (400, "MODEL_UNCHECKED")
    assert said["message"].startswith(f"{member} is not taken")
    assert not upstream.calls


async def test_anthropics_sdks_are_told_of_threads_as_they_expect(bench: Bench) -> None:
    """They go on with the whole conversation in each request."""
    await planned(bench, "anthropic")
    body = {"model": "m", "max_tokens": 5, "messages": USER, "thread": {"id": "x"}}
    async with bench.relay.http() as client:
        answer = await client.post(MESSAGES, json=body)
    assert answer.json()["error"]["details"] == {"error_code": "thread_unsupported_request"}


async def test_a_large_body_is_checked_as_any_other(bench: Bench) -> None:
    """It is read in another process."""
    upstream = await planned(bench)
    large = [{"role": "user", "content": "x" * (2 << 20)}]
    status, said = await post(bench, CHAT, {"model": "m", "models": ["secret"], "messages": large})
    assert (status, said["reason"], said["param"]) == (403, "MODEL_NOT_ALLOWED", "models")
    assert not upstream.calls


async def test_a_named_model_goes_to_a_channel_that_serves_it_under_that_name_only(bench: Bench) -> None:
    """The first knows it by another name, the second not at all: there the client's word would go around the mapping."""
    upstreams = [await bench.upstream(answers()) for _ in range(3)]
    first, second, third = (upstream.base_url for upstream in upstreams)
    bench.router.plans["m"] = [
        candidate(1, first),
        candidate(2, second),
        candidate(3, third),
    ]
    bench.router.plans["also"] = [
        candidate(1, first, upstream_model="dear"),
        candidate(3, third, upstream_model="also"),
    ]
    status, _ = await post(bench, CHAT, {"model": "m", "messages": USER, "models": ["m", "also"]})
    assert status == 200
    assert [len(upstream.calls) for upstream in upstreams] == [0, 0, 1]


async def test_the_routed_models_own_name_goes_to_no_channel_that_knows_it_by_another(bench: Bench) -> None:
    """It would be the upstream's model of that name."""
    upstream = await planned(bench, upstream_model="m-mini")
    status, said = await post(bench, CHAT, {"model": "m", "messages": USER, "models": ["m"]})
    assert (status, said["reason"], said["param"]) == (400, "MODEL_UNCHECKED", "models")
    assert "1 do not serve a model that is named besides" in said["message"]
    assert not upstream.calls


async def test_names_that_do_not_go_up_hinder_no_translation(bench: Bench) -> None:
    """A channel of another format is sent none of them; what is lost is told."""
    upstream = await planned(bench, "anthropic", upstream_model="claude")
    await post(bench, CHAT, {"model": "m", "messages": USER, "models": ["also"]})
    assert b"also" not in upstream.calls[0].body


async def test_what_cannot_be_proven_of_a_named_model_is_said_so(bench: Bench) -> None:
    """Neither a no nor a yes."""
    upstream = await planned(bench)
    bench.router.refuses["also"] = Unverified(cause=Cause.HEAD_MOVING, revision=7)
    status, said = await post(bench, CHAT, {"model": "m", "messages": USER, "models": ["also"]})
    assert (status, said["reason"]) == (503, "UNVERIFIED")
    assert not upstream.calls


async def test_neither_queries_nor_headers_name_a_model_upstream(bench: Bench) -> None:
    """What the client puts there ends here."""
    upstream = await planned(bench, "openai-compatible")
    names = ("x-model", "azureml-model-deployment", "x-litellm-model", "x-portkey-config", "helicone-fallbacks")
    async with bench.relay.http(params={"model": "secret", "deployment": "secret"}) as client:
        answer = await client.post(CHAT, json={"model": "m"}, headers=dict.fromkeys(names, "secret"))
    assert answer.status_code == 200
    (call,) = upstream.calls
    assert "secret" not in call.line
    assert "secret" not in call.headers.values()


@pytest.mark.parametrize(
    "path",
    [
        "/openai/deployments/secret/chat/completions",
        "/v1/batches",
        "/v1/files",
        "/v1/threads/runs",
        "/v1/assistants",
        "/v1/responses/resp_1",
        "/v1/conversations",
        "/v1/realtime?model=secret",
        "/v1/engines/secret/completions",
        "/v1beta/cachedContents",
    ],
)
async def test_paths_that_would_name_a_model_or_keep_one_are_not_served(bench: Bench, path: str) -> None:
    """404, whatever the body says."""
    upstream = await planned(bench)
    async with bench.relay.http() as client:
        assert (await client.post(path, json={"model": "m"})).status_code in (404, 405)
    assert not upstream.calls
