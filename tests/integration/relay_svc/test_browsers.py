"""Web pages of other origins that ask the relay, paths that are none, and where an API key may be."""

from __future__ import annotations

import pytest

from relay_svc.cors import EXPOSED
from tests.integration.relay_svc.conftest import CHAT, Bench, open_bench
from tests.integration.relay_svc.routers import API_KEY
from tests.integration.relay_svc.upstreams import answers

APP = "https://app.example.com"
ASKS = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,x-stainless-lang"}
PATHS = [
    CHAT,
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1beta/models/m:generateContent",
    "/v1/models",
]


async def test_pages_of_the_origins_set_may_ask_and_no_others() -> None:
    """Without a key before they ask, on every dialect's paths; errors too can be read."""
    async with open_bench(TRUNKLINE_RELAY_CORS_ORIGINS=f"{APP},http://localhost:5173") as bench:
        await bench.plan(answers(200))
        async with bench.relay.http() as http:
            for path in PATHS:
                told = await http.options(path, headers={"authorization": "", "origin": APP, **ASKS})
                assert (told.status_code, told.content) == (200, b"")
                assert told.headers["access-control-allow-origin"] == APP
                assert told.headers["access-control-allow-headers"] == "authorization,x-stainless-lang"
                assert "POST" in told.headers["access-control-allow-methods"]
                assert "Origin" in told.headers.get_list("vary")
                other = await http.options(path, headers={"origin": "https://evil.example.com", **ASKS})
                assert other.status_code == 405
                assert "access-control-allow-origin" not in other.headers
            body = {"model": "m", "messages": []}
            for answer in (
                await http.post(CHAT, json=body, headers={"origin": APP}),
                await http.post(CHAT, json=body, headers={"origin": APP, "authorization": ""}),
                await http.post("/nowhere", json=body, headers={"origin": APP}),
                await http.get(CHAT, headers={"origin": APP}),
            ):
                assert answer.headers["access-control-allow-origin"] == APP
                assert answer.headers["access-control-expose-headers"] == EXPOSED
            assert "access-control-allow-credentials" not in answer.headers
            plain = await http.post(CHAT, json=body)
            assert plain.headers["vary"] == "Origin"


async def test_any_page_may_ask_where_that_is_set_and_none_by_default(bench: Bench) -> None:
    """A relay that was told nothing says nothing."""
    async with open_bench(TRUNKLINE_RELAY_CORS_ORIGINS="*") as open_to_all, open_to_all.relay.http() as http:
        answer = await http.get("/v1/models", headers={"origin": APP})
        assert answer.headers["access-control-allow-origin"] == "*"
        odd = {**ASKS, "access-control-request-headers": "a b\x7f"}
        told = await http.options(CHAT, headers={"origin": APP, **odd})
        assert "access-control-allow-headers" not in told.headers
    async with bench.relay.http() as http:
        told = await http.options(CHAT, headers={"origin": APP, **ASKS})
        assert told.status_code == 405
        assert not [name for name in told.headers if name.startswith("access-control") or name == "vary"]


@pytest.mark.parametrize(
    ("path", "family"),
    [("/v1/v1/messages", "anthropic"), ("/anthropic/v1/messages", "anthropic"), ("/chat/completions", "openai")],
)
async def test_a_mistyped_base_url_is_told_right(bench: Bench, path: str, family: str) -> None:
    """In the words of the family that it was meant for."""
    async with bench.relay.http() as http:
        answer = await http.post(path, json={})
    assert answer.status_code == 404
    assert "base URL that ends in /v1" in answer.json()["error"]["message"]
    assert ("request_id" in answer.json()) is (family == "anthropic")


FAMILIES = {"openai": [CHAT, "/v1/responses", "/v1/embeddings"], "anthropic": ["/v1/messages"], "list": ["/v1/models"]}
PLACES = {
    "openai": {"authorization", "x-api-key", "x-goog-api-key", "api-key"},
    "anthropic": {"authorization", "x-api-key", "api-key"},
    "list": {"authorization", "x-api-key", "x-goog-api-key", "api-key"},
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("place", ["authorization", "x-api-key", "x-goog-api-key", "api-key"])
async def test_each_family_takes_its_key_from_these_headers(bench: Bench, family: str, place: str) -> None:
    """Any other is as good as none."""
    async with bench.relay.http() as http:
        for path in FAMILIES[family]:
            value = f"Bearer {API_KEY}" if place == "authorization" else API_KEY
            headers = {"authorization": "", place: value}
            method = "GET" if family == "list" else "POST"
            answer = await http.request(
                method, path, headers=headers, json=None if family == "list" else {"model": "x"}
            )
            assert (answer.status_code != 401) is (place in PLACES[family])
