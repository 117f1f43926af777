"""Lists of models in each family's shape, and Gemini's streams that are one JSON array, through a running relay."""

from __future__ import annotations

import anthropic
import pytest
from google import genai
from google.genai import types as google

from relay_svc.dialects import Dialect
from tests.harness.waiting import PATIENCE
from tests.integration.relay_svc.conftest import Bench
from tests.integration.relay_svc.routers import API_KEY, candidate
from tests.integration.relay_svc.test_formats import PROVIDERS, cut, golden, plan
from tests.integration.relay_svc.upstreams import Call, error, response
from tests.unit.relay_svc.dialects.samples import GEMINI_ARRAY

GOOGLES = {"authorization": "", "x-goog-api-key": API_KEY}
ANTHROPICS = {"authorization": "", "x-api-key": API_KEY, "anthropic-version": "2023-06-01"}


def three(bench: Bench) -> None:
    """Plan two models and a wildcard."""
    for name in ("gpt-4o", "org/claude", "qwen-*"):
        bench.router.plans[name] = [candidate(1, "http://127.0.0.1:9/v1")]


async def test_models_are_listed_for_openais_clients(bench: Bench) -> None:
    """By the SDK; a wildcard is none that a client could name, and finds what it stands for."""
    three(bench)
    async with bench.relay.openai() as client:
        assert [model.id async for model in client.models.list()] == ["gpt-4o", "org/claude"]
        found = await client.models.retrieve("qwen-7b")
        assert (found.id, found.object, found.owned_by) == ("qwen-7b", "model", "openai-compatible")
    async with bench.relay.http() as http:
        assert (await http.get("/v1/models")).headers["x-trunkline-revision"] == "7"
        missing = await http.get("/v1/models/nobody")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


async def test_models_are_listed_for_anthropics_clients(bench: Bench) -> None:
    """On the same path: their version header tells them."""
    three(bench)
    async with anthropic.AsyncAnthropic(base_url=bench.relay.url, api_key=API_KEY, max_retries=0) as client:
        assert [model.id async for model in client.models.list()] == ["gpt-4o", "org/claude"]
        found = await client.models.retrieve("gpt-4o")
        assert (found.id, found.type, found.display_name) == ("gpt-4o", "model", "gpt-4o")
        with pytest.raises(anthropic.NotFoundError):
            await client.models.retrieve("nobody")
    async with bench.relay.http() as http:
        listed = (await http.get("/v1/models", headers=ANTHROPICS)).json()
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("gpt-4o", "org/claude", False)


async def test_models_are_listed_for_googles_clients(bench: Bench) -> None:
    """On its own paths and on the shared one, with what each can do."""
    three(bench)
    options = google.HttpOptions(base_url=bench.relay.url, timeout=1000 * PATIENCE)
    client = genai.Client(api_key=API_KEY, http_options=options)
    names = [model.name async for model in await client.aio.models.list()]
    found = await client.aio.models.get(model="gpt-4o")
    await client.aio.aclose()
    assert names == ["models/gpt-4o", "models/org/claude"]
    assert found.name == "models/gpt-4o"
    assert "generateContent" in (found.supported_actions or [])
    async with bench.relay.http() as http:
        for path in ("/v1/models", "/v1beta/models"):
            listed = (await http.get(path, headers=GOOGLES)).json()
            assert [model["name"] for model in listed["models"]] == ["models/gpt-4o", "models/org/claude"]
        missing = await http.get("/v1beta/models/nobody", headers=GOOGLES)
    assert (missing.status_code, missing.json()["error"]["status"]) == (404, "NOT_FOUND")


# ---------------------------------------------------------------- one JSON array

ARRAY = "/v1beta/models/m:streamGenerateContent"
ASKED = {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}


async def in_an_array(call: Call) -> None:
    """Answer as Gemini does where no events are asked for."""
    assert "alt=sse" not in call.line
    await call.send(response(200, GEMINI_ARRAY))


@pytest.mark.parametrize("upstream", Dialect)
async def test_a_stream_without_alt_sse_is_one_array(bench: Bench, upstream: Dialect) -> None:
    """From Gemini as it came, from others written anew."""
    await plan(bench, upstream, in_an_array if upstream is Dialect.GEMINI else golden)
    async with bench.relay.http() as http:
        answer = await http.post(ARRAY, json=ASKED, headers=GOOGLES)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    parts = [part for piece in answer.json() for part in piece["candidates"][0]["content"]["parts"]]
    said = "".join(part.get("text", "") for part in parts if not part.get("thought"))
    assert said == "Let me see. ☂"
    assert [part["functionCall"]["args"] for part in parts if "functionCall" in part] == [
        {"city": "Oslo"},
        {"city": "Rome"},
    ]
    assert answer.json()[-1]["usageMetadata"]["candidatesTokenCount"]


@pytest.mark.parametrize("upstream", [dialect for dialect in Dialect if dialect is not Dialect.GEMINI])
async def test_an_array_whose_upstream_is_cut_ends_in_an_error(bench: Bench, upstream: Dialect) -> None:
    """It is closed, so that a reader gets what there was, and its last element says that there is no more."""
    await plan(bench, upstream, cut)
    async with bench.relay.http() as http:
        answer = await http.post(ARRAY, json=ASKED, headers=GOOGLES)
    *_, last = answer.json()
    assert last["error"]["code"] == 500
    assert "finishReason" not in answer.text


async def test_an_error_before_an_array_is_an_error_and_no_array(bench: Bench) -> None:
    """In Google's words, with the upstream's status, after every candidate."""
    first = await bench.upstream(error(500))
    second = await bench.upstream(error(429, "rate_limit_exceeded"))
    bench.router.plans["m"] = [
        candidate(1, first.base_url, provider=PROVIDERS[Dialect.ANTHROPIC]),
        candidate(2, second.base_url),
    ]
    async with bench.relay.http() as http:
        answer = await http.post(ARRAY, json=ASKED, headers=GOOGLES)
    assert (answer.status_code, answer.json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")


async def test_lists_of_models_have_pages_where_their_sdks_turn_them(bench: Bench) -> None:
    """Anthropic's both ways, Google's onwards; the SDKs come to the end, and a page that is none is refused."""
    names = [f"m{number}" for number in range(5)]
    for name in names:
        bench.router.plans[name] = [candidate(1, "http://127.0.0.1:9/v1")]
    async with anthropic.AsyncAnthropic(base_url=bench.relay.url, api_key=API_KEY, max_retries=0) as client:
        assert [model.id async for model in client.models.list(limit=2)] == names
        assert [model.id for model in (await client.models.list(before_id="m4", limit=2)).data] == ["m2", "m3"]
        with pytest.raises(anthropic.BadRequestError):
            await client.models.list(after_id="nobody")
    google_client = genai.Client(
        api_key=API_KEY, http_options=google.HttpOptions(base_url=bench.relay.url, timeout=1000 * PATIENCE)
    )
    listed = await google_client.aio.models.list(config={"page_size": 2})
    assert [model.name async for model in listed] == [f"models/{name}" for name in names]
    await google_client.aio.aclose()
    async with bench.relay.http() as http:
        assert len((await http.get("/v1/models?limit=2")).json()["data"]) == len(names)
        head = await http.head("/v1beta/models?pageSize=2", headers=GOOGLES)
        assert (head.status_code, head.content) == (200, b"")
