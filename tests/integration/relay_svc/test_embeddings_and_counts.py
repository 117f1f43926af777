"""Embeddings and counts of tokens across formats: asked in one family's words, answered by another's upstream."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from tests.integration.relay_svc.conftest import Bench
from tests.integration.relay_svc.routers import candidate
from tests.integration.relay_svc.upstreams import Upstream, answers

VECTORS = [[0.5, -1.0], [0.25, 2.0]]
GEMINI_VECTORS = json.dumps({"embeddings": [{"values": vector} for vector in VECTORS]}).encode()
OPENAI_VECTORS = json.dumps(
    {
        "data": [{"index": index, "embedding": vector} for index, vector in reversed(list(enumerate(VECTORS)))],
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
).encode()
TEXTS: dict[str, Any] = {"requests": [{"content": {"parts": [{"text": text}]}} for text in ("a", "b")]}


async def behind(bench: Bench, provider: str, answer: bytes, status: int = 200) -> Upstream:
    """Plan the model over one upstream of a provider."""
    upstream = await bench.upstream(answers(status, answer))
    bench.router.plans["m"] = [candidate(1, upstream.base_url, provider=provider, upstream_model="u")]
    return upstream


async def asked(bench: Bench, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """Post, and read the answer."""
    async with bench.relay.http() as client:
        answer = await client.post(path, json=body)
        return answer.status_code, answer.json()


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_openais_embeddings_come_from_gemini(bench: Bench, encoding: str) -> None:
    """Texts, their order, their size; base64 is what OpenAI's SDK asks for unasked."""
    upstream = await behind(bench, "gemini", GEMINI_VECTORS)
    body = {"model": "m", "input": ["a", "b"], "dimensions": 2, "encoding_format": encoding}
    status, said = await asked(bench, "/v1/embeddings", body)
    assert (status, said["model"], said["object"]) == (200, "m", "list")
    given = [entry["embedding"] for entry in said["data"]]
    if encoding == "base64":
        given = [list(struct.unpack("<2f", base64.b64decode(text))) for text in given]
    assert given == VECTORS
    assert upstream.calls[0].line.split()[1].endswith("/models/u:batchEmbedContents")
    sent = json.loads(upstream.calls[0].body)["requests"]
    assert sent[1] == {"model": "models/u", "content": {"parts": [{"text": "b"}]}, "outputDimensionality": 2}


@pytest.mark.parametrize("provider", ["openai", "openai-compatible"])
async def test_geminis_embeddings_come_from_openai(bench: Bench, provider: str) -> None:
    """Of one text and of several, in their order."""
    upstream = await behind(bench, provider, OPENAI_VECTORS)
    status, said = await asked(bench, "/v1beta/models/m:batchEmbedContents", TEXTS)
    assert (status, [entry["values"] for entry in said["embeddings"]]) == (200, VECTORS)
    assert json.loads(upstream.calls[0].body) == {"model": "u", "input": ["a", "b"], "encoding_format": "float"}
    upstream.script = answers(200, b'{"data":[{"index":0,"embedding":[1]}]}')
    status, said = await asked(bench, "/v1beta/models/m:embedContent", TEXTS["requests"][0])
    assert (status, said) == (200, {"embedding": {"values": [1]}})


async def test_what_cannot_be_embedded_elsewhere_is_refused(bench: Bench) -> None:
    """Tokens are one model's own; and an answer that tells no embeddings is a broken one."""
    upstream = await behind(bench, "gemini", b'{"embeddings":[]}')
    status, said = await asked(bench, "/v1/embeddings", {"model": "m", "input": [1, 2]})
    assert (status, said["error"]["param"]) == (400, "input")
    assert not upstream.calls
    status, said = await asked(bench, "/v1/embeddings", {"model": "m", "input": "a"})
    assert status >= 500


async def test_tokens_are_counted_by_the_other_family(bench: Bench) -> None:
    """The conversation goes through the internal form."""
    upstream = await behind(bench, "gemini", b'{"totalTokens": 7}')
    body: dict[str, Any] = {"model": "m", "system": "be brief", "messages": [{"role": "user", "content": "hi"}]}
    assert await asked(bench, "/v1/messages/count_tokens", body) == (200, {"input_tokens": 7})
    sent = json.loads(upstream.calls[0].body)["generateContentRequest"]
    assert sent["model"] == "models/u"
    assert sent["contents"] == [{"role": "user", "parts": [{"text": "hi"}]}]
    upstream = await behind(bench, "anthropic", b'{"input_tokens": 9}')
    contents: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    for body in (contents, {"generateContentRequest": {"model": "models/m", **contents}}):
        assert await asked(bench, "/v1beta/models/m:countTokens", body) == (200, {"totalTokens": 9})
    sent = json.loads(upstream.calls[0].body)
    assert (sent["model"], sent["messages"][0]["role"]) == ("u", "user")
    assert not sent.keys() & {"max_tokens", "stream"}


async def test_an_upstream_that_counts_nothing_is_passed_over_in_the_clients_words(bench: Bench) -> None:
    """No attempt is made; and an error of an upstream is said in the client's words, too."""
    upstream = await behind(bench, "openai-compatible", b"{}")
    status, said = await asked(bench, "/v1/messages/count_tokens", {"model": "m", "messages": []})
    assert (status, said["type"], said["error"]["reason"]) == (400, "error", "OPERATION_NOT_OFFERED")
    status, said = await asked(bench, "/v1beta/models/m:countTokens", {"contents": []})
    assert (status, said["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert not upstream.calls
    await behind(bench, "gemini", b'{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}', 400)
    status, said = await asked(bench, "/v1/embeddings", {"model": "m", "input": "a"})
    assert (status, said["error"]["type"]) == (400, "invalid_request_error")
