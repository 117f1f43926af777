"""Paths that are none, and what they were meant to be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.mistyped import meant, sentence_for


@pytest.mark.parametrize(
    ("path", "right"),
    [
        (b"/v1/v1/messages", "/v1/messages"),
        (b"/messages", "/v1/messages"),
        (b"/v1/messages/", "/v1/messages"),
        (b"//v1//messages", "/v1/messages"),
        (b"/anthropic/v1/messages", "/v1/messages"),
        (b"/chat/completions", "/v1/chat/completions"),
        (b"/v1/chat/completion", "/v1/chat/completions"),
        (b"/V1/Chat/Completions", "/v1/chat/completions"),
        (b"/openai/v1/chat/completions", "/v1/chat/completions"),
        (b"/api/openai/v1/responses", "/v1/responses"),
        (b"/v1beta/openai/embeddings", "/v1/embeddings"),
        (b"/models", "/v1/models"),
        (b"/v1/v1beta/models/Qwen:generateContent", "/v1beta/models/Qwen:generateContent"),
        (b"/v1/v1beta/models/m:generatecontent", ""),
        (b"/v1/messages/batches", ""),
        (b"/v1/threads", ""),
        (b"/", ""),
        (b"/" + b"v1/" * 300 + b"messages", ""),
    ],
)
def test_a_base_url_with_too_much_or_too_little_is_told_right(path: bytes, right: str) -> None:
    """With the base URL of each SDK; what nobody can tell is left alone."""
    assert meant(path) == right
    assert ("/v1, Anthropic's" in sentence_for(path)) is bool(right)


@given(st.binary(max_size=600))
def test_no_path_makes_it_raise(path: bytes) -> None:
    """Whatever it holds."""
    assert meant(path) != path.decode("latin-1") or not path
