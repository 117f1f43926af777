"""Tokens of answers that pass in their own dialect."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.dialects import Dialect, Usage, UsageWatch, read_usage
from relay_svc.dialects.usage import HiddenUsage
from tests.harness.fuzz import examples
from tests.unit.relay_svc.dialects.samples import (
    ANSWERS,
    CHAT,
    GEMINI,
    GEMINI_ARRAY,
    STREAMS,
    sse,
)
from tests.unit.relay_svc.dialects.test_answers import TOLD


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
@examples(50)
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
