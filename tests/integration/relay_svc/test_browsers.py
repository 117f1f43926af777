"""Web pages of other origins that ask the relay, paths that are none, and where an API key may be."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from relay_svc.cors import EXPOSED
from relay_svc.endpoints import ENDPOINTS, KeyIn
from tests.integration.relay_svc.conftest import CHAT, Bench, open_bench
from tests.integration.relay_svc.routers import API_KEY
from tests.integration.relay_svc.test_requests import raw
from tests.integration.relay_svc.upstreams import answers

PAGE = Path(__file__).parents[3] / "docs" / "errors.md"
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
            for path in (*PATHS, "/nowhere", "/v1/v1/messages", "/v1/batches"):
                told = await http.options(path, headers={"authorization": "", "origin": APP, **ASKS})
                assert (told.status_code, told.content) == (200, b"")
                assert told.headers["access-control-allow-origin"] == APP
                assert told.headers["access-control-allow-headers"] == "authorization,x-stainless-lang"
                assert "POST" in told.headers["access-control-allow-methods"]
                assert "Origin" in told.headers.get_list("vary")
                other = await http.options(path, headers={"origin": "https://evil.example.com", **ASKS})
                assert other.status_code == (405 if path in PATHS else 404)
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


EARLY = {
    "too many headers": (b"GET / HTTP/1.1\r\norigin: %b\r\n" + b"a: b\r\n" * 200, 431),
    "no host": (b"GET /v1/models HTTP/1.1\r\norigin: %b\r\n\r\n", 400),
    "a coding": (
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nOrigin: %b\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        501,
    ),
}


@pytest.mark.parametrize("early", EARLY)
async def test_a_refusal_before_any_path_is_read_by_the_pages_that_may_ask(bench: Bench, early: str) -> None:
    """By them alone, and where none may, nothing is said of origins."""
    head, expected = EARLY[early]
    async with open_bench(TRUNKLINE_RELAY_CORS_ORIGINS=APP) as open_to_one:
        for origin, allowed in ((APP, APP), ("https://evil.example.com", None)):
            status, headers, _ = await raw(open_to_one, head % origin.encode())
            assert (status, headers.get("access-control-allow-origin")) == (expected, allowed)
            assert headers["vary"] == "Origin"
    status, headers, _ = await raw(bench, head % APP.encode())
    assert status == expected
    assert not [name for name in headers if name.startswith("access-control") or name == "vary"]


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


PRECEDENCE = {
    ("POST", CHAT): ["authorization", "x-api-key", "x-goog-api-key", "api-key"],
    ("POST", "/v1/responses"): ["authorization", "x-api-key", "x-goog-api-key", "api-key"],
    ("POST", "/v1/embeddings"): ["authorization", "x-api-key", "x-goog-api-key", "api-key"],
    ("POST", "/v1/messages"): ["x-api-key", "authorization", "api-key"],
    ("POST", "/v1/messages/count_tokens"): ["x-api-key", "authorization", "api-key"],
    ("POST", "/v1beta/models/m:generateContent"): ["x-goog-api-key", "?key=", "authorization"],
    ("POST", "/v1/models/m%3AstreamGenerateContent"): ["x-goog-api-key", "?key=", "authorization"],
    ("GET", "/v1beta/models"): ["x-goog-api-key", "?key=", "authorization"],
    ("GET", "/v1/models"): ["authorization", "x-api-key", "x-goog-api-key", "api-key", "?key="],
    ("GET", "/v1/models/m"): ["authorization", "x-api-key", "x-goog-api-key", "api-key", "?key="],
}
PLACES_OF_KEYS = ["authorization", "x-api-key", "x-goog-api-key", "api-key", "?key="]


@pytest.mark.parametrize(("first", "second"), [*itertools.permutations(PLACES_OF_KEYS, 2)])
@pytest.mark.parametrize(("method", "path"), PRECEDENCE)
async def test_of_two_different_keys_the_first_in_the_paths_order_counts(
    bench: Bench, method: str, path: str, first: str, second: str
) -> None:
    """Whichever of them is good: the good one is taken where it goes first or alone, and nothing falls back on it."""
    order = PRECEDENCE[method, path]
    counts = min((place for place in (first, second) if place in order), key=order.index, default=None)
    headers, query = {"authorization": ""}, {}
    for place, key in ((first, API_KEY), (second, "sk-nobodys")):
        if place == "?key=":
            query["key"] = key
        else:
            headers[place] = f"Bearer {key}" if place == "authorization" else key
    async with bench.relay.http() as http:
        answer = await http.request(
            method, path, params=query, headers=headers, json={"model": "x"} if method == "POST" else None
        )
    assert (answer.status_code != 401) is (counts == first), (order, answer.text)


def test_the_page_says_the_order_of_every_path() -> None:
    """As the endpoints have it."""
    named = {KeyIn.BEARER: "`Authorization: Bearer`", KeyIn.QUERY: "the query's `key`"}
    for endpoint in ENDPOINTS:
        row = "| " + ", ".join(named.get(place, f"`{place}`") for place in endpoint.keys) + " |"
        assert row in PAGE.read_text(), endpoint.name
