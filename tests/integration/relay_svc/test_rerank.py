"""Rerank by Cohere and by Jina, asked in the form that both families of clients share, through a running relay."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from tests.harness.waiting import eventually_async
from tests.integration.relay_svc.conftest import Bench
from tests.integration.relay_svc.routers import candidate
from tests.integration.relay_svc.upstreams import Script, Upstream, answers, error

ASKED = {"model": "m", "query": "capital?", "documents": ["Oslo", {"text": "Rome"}], "top_n": 2}
COHERE = {
    "id": "r1",
    "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}],
    "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}, "tokens": {"input_tokens": 12}},
}
JINA = {
    "model": "u",
    "object": "list",
    "usage": {"total_tokens": 15},
    "results": [{"index": 1, "relevance_score": 0.9, "document": {"text": "Rome"}}],
}


async def rerank(bench: Bench, provider: str, script: Script, **members: Any) -> tuple[httpx2.Response, Upstream]:
    """Ask a channel of a provider to rerank."""
    upstream = await bench.upstream(script)
    bench.router.plans["m"] = [candidate(1, upstream.base_url, provider=provider, upstream_model="u")]
    async with bench.relay.http() as http:
        return await http.post("/v1/rerank", json=ASKED | members), upstream


@pytest.mark.parametrize("documents", [False, True], ids=["scores", "documents"])
async def test_cohere_is_asked_in_its_own_form_and_answers_in_the_common_one(bench: Bench, documents: bool) -> None:
    """It takes texts only, and gives none back: those come from the request."""
    answer, upstream = await rerank(
        bench, "cohere", answers(200, json.dumps(COHERE).encode()), return_documents=documents
    )
    said = answer.json()
    assert (answer.status_code, said["model"], said["id"]) == (200, "m", "r1")
    assert [(each["index"], each["relevance_score"]) for each in said["results"]] == [(1, 0.9), (0, 0.1)]
    texts = [{"text": "Rome"}, {"text": "Oslo"}] if documents else [None, None]
    assert [each.get("document") for each in said["results"]] == texts
    assert said["usage"]["total_tokens"] == 12
    (call,) = upstream.calls
    assert call.line == "POST /v2/rerank HTTP/1.1"
    assert json.loads(call.body) == {"model": "u", "query": "capital?", "documents": ["Oslo", "Rome"], "top_n": 2}
    assert call.headers["authorization"] == "Bearer sk-channel-1"


async def test_jina_is_asked_and_answers_in_the_common_form_itself(bench: Bench) -> None:
    """So its bytes pass as they are, and its tokens are counted."""
    body = json.dumps(JINA).encode()
    answer, upstream = await rerank(bench, "jina", answers(200, body))
    assert (answer.status_code, answer.content) == (200, body)
    assert upstream.calls[0].line == "POST /v1/rerank HTTP/1.1"
    assert json.loads(upstream.calls[0].body) == ASKED | {"model": "u"}


@pytest.mark.parametrize("provider", ["cohere", "jina"])
async def test_a_refused_rerank_fails_over(bench: Bench, provider: str) -> None:
    """As any other operation does."""
    served = {"cohere": COHERE, "jina": JINA}[provider]
    refused = await bench.upstream(error(429))
    good = await bench.upstream(answers(200, json.dumps(served).encode()))
    bench.router.plans["m"] = [
        candidate(1, refused.base_url, provider=provider),
        candidate(2, good.base_url, provider=provider),
    ]
    async with bench.relay.http() as http:
        answer = await http.post("/v1/rerank", json=ASKED)
    assert (answer.status_code, answer.headers["x-trunkline-channel-id"]) == (200, "2")
    await eventually_async(lambda: [told.http_status for told in bench.outcomes] == [429, 200])


@pytest.mark.parametrize("documents", [[1], "Oslo", [{"title": "no text"}]])
async def test_documents_that_are_no_texts_are_the_clients_fault(bench: Bench, documents: Any) -> None:
    """Said before Cohere is asked."""
    answer, upstream = await rerank(bench, "cohere", answers(200, b"{}"), documents=documents)
    assert (answer.status_code, answer.json()["error"]["reason"]) == (400, "INVALID_BODY")
    assert not upstream.calls


async def test_jina_embeds_and_does_not_chat(bench: Bench) -> None:
    """What it does not offer is known before it is asked."""
    _, upstream = await rerank(bench, "jina", answers(200, b'{"data":[]}'))
    async with bench.relay.http() as http:
        assert (await http.post("/v1/embeddings", json={"model": "m", "input": "x"})).status_code == 200
        refused = await http.post("/v1/chat/completions", json={"model": "m", "messages": []})
    assert (refused.status_code, refused.json()["error"]["reason"]) == (400, "OPERATION_NOT_OFFERED")
    assert [call.line.split()[1] for call in upstream.calls] == ["/v1/rerank", "/v1/embeddings"]
