"""The table of endpoints: what is served, what is not, and what hostile paths get."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.endpoints import (
    ENDPOINTS,
    LONGEST_SUBJECT,
    MethodNotAllowed,
    ModelIn,
    NotFound,
    NotServed,
    Route,
    StreamBy,
    find_key,
    match,
    spoken,
    wants_events,
)
from relay_svc.operations import Format, Operation


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/v1/chat/completions", "openai-chat"),
        (b"/v1/completions", "openai-completions"),
        (b"/v1/responses", "openai-responses"),
        (b"/v1/embeddings", "openai-embed"),
        (b"/v1/images/generations", "openai-images"),
        (b"/v1/audio/speech", "openai-speech"),
        (b"/v1/audio/transcriptions", "openai-transcriptions"),
        (b"/v1/audio/translations", "openai-translations"),
        (b"/v1/moderations", "openai-moderations"),
        (b"/v1/rerank", "rerank"),
        (b"/v1/messages", "anthropic-messages"),
        (b"/v1/messages/count_tokens", "anthropic-count_tokens"),
    ],
)
def test_every_path_that_is_posted_to_is_found_by_post_alone(path: bytes, name: str) -> None:
    """And another method is told which one it takes."""
    found = match("POST", path)
    assert isinstance(found, Route)
    assert found.endpoint.name == name
    assert match("GET", path) == match("DELETE", path) == MethodNotAllowed(("POST",))
    assert not isinstance(match("POST", path + b"x"), Route)


@pytest.mark.parametrize(
    ("path", "name", "model"),
    [
        (b"/v1beta/models/gemini-2.5-pro:generateContent", "gemini-generate", "gemini-2.5-pro"),
        (b"/v1/models/gemini-2.5-pro%3AgenerateContent", "gemini-generate", "gemini-2.5-pro"),
        (b"/v1/models/gemini-2.5-pro%3agenerateContent", "gemini-generate", "gemini-2.5-pro"),
        (b"/v1beta/models/m:streamGenerateContent", "gemini-stream_generate", "m"),
        (b"/v1beta/models/m:countTokens", "gemini-count_tokens", "m"),
        (b"/v1beta/models/m:embedContent", "gemini-embed", "m"),
        (b"/v1beta/models/m:batchEmbedContents", "gemini-batch_embed", "m"),
        (b"/v1beta/models/qwen:7b:generateContent", "gemini-generate", "qwen:7b"),
        (b"/v1beta/models/org%2Fm%C3%A9:generateContent", "gemini-generate", "org/mé"),
    ],
)
def test_geminis_paths_name_the_model_with_a_plain_or_an_encoded_colon(path: bytes, name: str, model: str) -> None:
    """Google's current SDK encodes it and calls v1, older ones do neither."""
    found = match("POST", path)
    assert isinstance(found, Route)
    assert (found.endpoint.name, found.subject) == (name, model)


def test_a_model_is_asked_for_by_its_whole_name() -> None:
    """Names hold slashes and colons, which are no methods of Gemini's."""
    for raw, name in [
        (b"qwen:7b", "qwen:7b"),
        (b"org/m", "org/m"),
        (b"org%2Fm", "org/m"),
        (b"m:countTokens", "m:countTokens"),
    ]:
        found = match("GET", b"/v1/models/" + raw)
        assert isinstance(found, Route)
        assert (found.endpoint.operation, found.subject) == (Operation.MODELS, name)
    assert match("POST", b"/v1/models/qwen:7b") == MethodNotAllowed(("GET", "HEAD"))
    assert isinstance(match("HEAD", b"/v1/models"), Route)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", b"/v1/realtime"),
        ("POST", b"/v1/realtime/sessions"),
        ("GET", b"/v1/responses/resp_1"),
        ("POST", b"/v1/responses/resp_1/cancel"),
        ("POST", b"/v1/images/edits"),
        ("POST", b"/v1/projects/p/locations/l/publishers/google/models/m:generateContent"),
        ("POST", b"/v1beta1/projects/p"),
        ("POST", b"/model/anthropic.claude/invoke"),
        ("POST", b"/openai/deployments/d/chat/completions"),
        ("POST", b"/v1/messages/batches"),
        ("POST", b"/v1beta/models/m:predict"),
    ],
)
def test_what_providers_have_and_the_relay_does_not_yet_is_said_in_words(method: str, path: bytes) -> None:
    """Its client's author need not look for a typing mistake."""
    found = match(method, path)
    assert isinstance(found, NotServed)
    assert "served" in found.sentence


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"/",
        b"//v1/chat/completions",
        b"/v1/models/",
        b"/v1/models/..",
        b"/v1/models/a/../b",
        b"/v1/models/%2e%2e",
        b"/v1/models/a%00b",
        b"/v1/models/a%0d%0ax-evil:1",
        b"/v1/models/%ff",
        b"/v1/models/a//b",
        b"/v1/models/" + b"x" * (LONGEST_SUBJECT + 1),
        b"/v1/models/" + b"%61" * 100_000,
        b"/v1beta/models/:generateContent",
        b"/v1/workflows/runs/",
        b"/v1/workflows/runs/a/b",
        b"/V1/chat/completions",
        b"/v1/chat%2Fcompletions",
    ],
)
def test_hostile_and_unknown_paths_are_not_found(path: bytes) -> None:
    """No path raises, walks up or smuggles a header."""
    assert all(match(method, path) == NotFound() for method in ("GET", "POST")) or match("POST", path) == NotFound()


@given(st.sampled_from(["GET", "POST", "HEAD", "PUT", ""]), st.binary(max_size=200))
def test_no_path_makes_it_raise(method: str, path: bytes) -> None:
    """Whatever follows a known beginning."""
    for start in (b"", b"/v1/", b"/v1/models/", b"/v1beta/models/", b"/v1/workflows/runs/"):
        found = match(method, start + path)
        if isinstance(found, Route):
            assert found.subject.isprintable()
            assert ".." not in found.subject.split("/")


def test_the_table_says_of_each_endpoint_how_it_is_read() -> None:
    """Where the model is, how a stream is asked for, where the key may be."""
    by_name = {endpoint.name: endpoint for endpoint in ENDPOINTS}
    assert len(by_name) == len(ENDPOINTS)
    assert by_name["openai-transcriptions"].model_in is ModelIn.FIELD
    assert by_name["gemini-stream_generate"].stream_by is StreamBy.PATH
    assert by_name["anthropic-messages"].stream_by is StreamBy.MEMBER
    assert {endpoint.format for endpoint in ENDPOINTS} == set(Format)


def test_the_api_key_is_found_where_each_sdk_puts_it_and_the_endpoints_own_place_wins() -> None:
    """Bearer, x-api-key, x-goog-api-key; the query only where Gemini's clients put it."""
    chat, messages, generate = (
        route.endpoint
        for path in (b"/v1/chat/completions", b"/v1/messages", b"/v1beta/models/m:generateContent")
        if isinstance(route := match("POST", path), Route)
    )
    assert find_key(chat, [(b"authorization", b"bearer  k1 ")], b"") == "k1"
    assert find_key(chat, [(b"authorization", b"Basic k1")], b"") == ""
    assert find_key(chat, [], b"key=k1") == ""
    assert find_key(messages, [(b"authorization", b"Bearer k1"), (b"x-api-key", b"k2")], b"") == "k2"
    assert find_key(generate, [(b"x-goog-api-key", b"k3")], b"key=k4") == "k3"
    assert find_key(generate, [], b"alt=sse&key=k%2B4") == "k+4"
    assert find_key(generate, [], b"&".join([b"a=b"] * 100) + b"&key=k") == ""
    assert find_key(chat, [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")], b"") == "a"


def header(*names: bytes) -> Callable[[bytes], bytes]:
    """Look up headers of which these are there."""
    return lambda name: b"x" if name in names else b""


def test_models_are_listed_in_the_words_of_the_sdk_that_asks() -> None:
    """OpenAI, Anthropic and Gemini share the path."""
    route = match("GET", b"/v1/models")
    assert isinstance(route, Route)
    assert spoken(route.endpoint, header()) is Format.OPENAI
    assert spoken(route.endpoint, header(b"anthropic-version")) is Format.ANTHROPIC
    assert spoken(route.endpoint, header(b"x-goog-api-key")) is Format.GEMINI
    chat = match("POST", b"/v1/chat/completions")
    assert isinstance(chat, Route)
    assert spoken(chat.endpoint, header(b"anthropic-version")) is Format.OPENAI_CHAT


def test_a_gemini_stream_is_events_only_when_it_is_asked_for_as_such() -> None:
    """Without `alt=sse` it is a JSON array."""
    assert wants_events(b"alt=sse")
    assert wants_events(b"key=k&alt=sse")
    assert not wants_events(b"")
    assert not wants_events(b"alt=json")
