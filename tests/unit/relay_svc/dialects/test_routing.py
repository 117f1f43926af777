"""What routing needs of a request in any dialect, and tokens of answers that pass in their own."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay_svc.dialects import (
    Dialect,
    DialectFault,
    Usage,
    UsageWatch,
    ask_for_usage,
    facts_of,
    read_usage,
    upstream_dialect,
    upstream_headers,
    upstream_path,
)
from relay_svc.dialects.routing import dialect_of
from relay_svc.dialects.usage import HiddenUsage
from tests.unit.relay_svc.dialects.samples import (
    ANSWERS,
    ANTHROPIC,
    CHAT,
    GEMINI,
    GEMINI_ARRAY,
    RESPONSES,
    STREAMS,
    sse,
)
from tests.unit.relay_svc.dialects.test_answers import TOLD


@pytest.mark.parametrize(
    ("path", "query", "stream", "array"),
    [
        ("/v1beta/models/gemini-x:generateContent", "", False, False),
        ("/v1/models/gemini-x%3AgenerateContent", "", False, False),
        ("/v1beta/models/gemini-x:streamGenerateContent", "alt=sse&key=k", True, False),
        ("/v1beta/models/gemini-x:streamGenerateContent", "", True, True),
    ],
)
def test_geminis_path_names_the_model_and_the_stream(path: str, query: str, stream: bool, array: bool) -> None:
    """The body is not looked at."""
    assert dialect_of(path) is GEMINI
    facts = facts_of(path, query, b"not JSON")
    assert (facts.model, facts.stream, facts.array, facts.payload) == ("gemini-x", stream, array, None)


@pytest.mark.parametrize(
    ("path", "dialect"), [("/v1/chat/completions", CHAT), ("/v1/responses", RESPONSES), ("/v1/messages", ANTHROPIC)]
)
def test_the_others_name_them_in_the_body(path: str, dialect: Dialect) -> None:
    """Once; two models are refused."""
    facts = facts_of(path, "", b'{"model":"m","stream":true}')
    assert (facts.dialect, facts.model, facts.stream) == (dialect, "m", True)
    assert facts.payload is not None
    assert facts.payload.addressed_to("n") == b'{"model":"n","stream":true}'
    with pytest.raises(DialectFault) as caught:
        facts_of(path, "", b'{"model":"m","Model":"n"}')
    assert caught.value.path == "model"


def test_other_paths_have_no_dialect() -> None:
    """Neither lists of models nor other verbs."""
    for path in ("/v1/models", "/v1beta/models/x:embedContent", "/v1beta/models/:generateContent", "/v1/messages/"):
        assert dialect_of(path) is None


def test_a_provider_is_spoken_to_in_its_own_dialect() -> None:
    """OpenAI has two of its own; what is not known speaks chat."""
    assert upstream_dialect("openai", RESPONSES) is RESPONSES
    assert upstream_dialect("openai", CHAT) is CHAT
    assert upstream_dialect("openai-compatible", RESPONSES) is CHAT
    assert upstream_dialect("anthropic", CHAT) is ANTHROPIC
    assert upstream_dialect("gemini", CHAT) is GEMINI


def test_an_upstream_is_addressed_as_its_dialect_wants() -> None:
    """Path and credentials; a model's name cannot leave its place in the path."""
    assert upstream_path(CHAT, "m", stream=True) == "/chat/completions"
    assert upstream_path(GEMINI, "m", stream=True) == "/models/m:streamGenerateContent?alt=sse"
    assert upstream_path(GEMINI, "../a?b", stream=False) == "/models/..%2Fa%3Fb:generateContent"
    assert upstream_headers(CHAT, "k") == [(b"authorization", b"Bearer k")]
    assert upstream_headers(ANTHROPIC, "k") == [(b"anthropic-version", b"2023-06-01"), (b"x-api-key", b"k")]
    assert upstream_headers(GEMINI, "k") == [(b"x-goog-api-key", b"k")]
    assert upstream_headers(RESPONSES, None) == []


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"model": "m", "stream": True}, False),
        ({"model": "m", "stream_options": None}, False),
        ({"model": "m", "stream_options": {"include_usage": False, "include_obfuscation": False}}, False),
        ({"model": "m", "stream_options": {"include_usage": True}}, True),
    ],
)
def test_a_stream_is_made_to_tell_its_tokens(body: dict[str, Any], asked: bool) -> None:
    """All else stays as the client wrote it."""
    written, was_asked = ask_for_usage(json.dumps(body, indent=1).encode() + b"\n")
    assert was_asked is asked
    options = {**(body.get("stream_options") or {}), "include_usage": True}
    assert json.loads(written) == {**body, "stream_options": options}
    if "stream_options" not in body:
        assert written.startswith(json.dumps(body, indent=1).encode()[:-1])


def test_stream_options_of_another_kind_are_a_fault() -> None:
    """As the upstream would say."""
    with pytest.raises(DialectFault):
        ask_for_usage(b'{"model":"m","stream_options":3}')


@pytest.mark.parametrize("dialect", Dialect)
def test_tokens_are_read_out_of_what_passes(dialect: Dialect) -> None:
    """Of whole answers and of streams, cached ones and those of reasoning too."""
    assert read_usage(dialect, json.dumps(ANSWERS[dialect]).encode()) == TOLD.usage
    assert read_usage(dialect, b"<html>") is None
    watch = UsageWatch(dialect)
    for byte in STREAMS[dialect]:
        watch.feed(bytes([byte]))
    assert watch.usage == TOLD.usage


def test_tokens_are_read_out_of_geminis_array() -> None:
    """Its last element tells them."""
    watch = UsageWatch(GEMINI, array=True)
    watch.feed(GEMINI_ARRAY)
    assert watch.usage == TOLD.usage


@given(st.lists(st.integers(0, len(STREAMS[CHAT])), max_size=6).map(sorted))
@settings(derandomize=True, deadline=None, max_examples=50)
def test_a_client_that_did_not_ask_is_not_told_the_tokens(cuts: list[int]) -> None:
    """The one chunk that tells them is left out, and every other passes."""
    hidden = HiddenUsage()
    stream, out = STREAMS[CHAT], b""
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        out += hidden.feed(stream[start:end])
    assert hidden.usage == TOLD.usage
    kept = [block for block in stream.split(b"\n\n") if b'"usage"' not in block]
    assert out == b"\n\n".join(kept)


def test_an_event_that_talks_of_usage_in_its_text_passes() -> None:
    """Only the chunk without choices is the one that tells tokens."""
    stream = sse({"choices": [{"delta": {"content": '"usage"'}}], "usage": None})
    hidden = HiddenUsage()
    assert hidden.feed(stream) == stream
    assert hidden.usage is None
    assert read_usage(CHAT, b'{"usage":{"prompt_tokens":-5,"completion_tokens":99999999999999999999}}') == Usage()
