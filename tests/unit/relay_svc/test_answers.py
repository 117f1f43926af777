"""Watching answers go by."""

import json

from hypothesis import given
from hypothesis import strategies as st

from relay_svc.answers import MAX_HELD, EventStream, PlainBody
from relay_svc.operations import Format
from relay_svc.plan import NO_USAGE, Usage
from relay_svc.watches import watch

EVENT = b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
TOKENS = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9}}\n\n'
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error":{"message":"overloaded"}}\n\n'


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut bytes at places (wrapped into their length)."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


CUTS = st.lists(st.integers(0, 1 << 16), max_size=30)
ENDS = st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r"])


@given(CUTS, ENDS)
def test_however_a_stream_is_cut_the_bytes_pass_unchanged(cuts: list[int], end: bytes) -> None:
    """What passed, with what the ending gives, is what came."""
    stream = (EVENT * 3 + FINISH + TOKENS + DONE).replace(b"\n\n", end)
    events = EventStream()
    passed = b"".join(events.feed(chunk) for chunk in split(stream, cuts))
    ending = events.end(clean=True)
    assert passed + ending.rest == stream
    assert ending.whole
    assert not ending.told
    assert events.usage() == Usage(3, 9)


@given(CUTS, st.integers(1, len(EVENT) - 1), ENDS)
def test_of_a_stream_that_breaks_only_whole_events_have_passed(cuts: list[int], left: int, end: bytes) -> None:
    """An event begun and not ended never reaches the client."""
    whole = (EVENT * 2).replace(b"\n\n", end)
    events = EventStream()
    passed = b"".join(events.feed(chunk) for chunk in split(whole + EVENT[:left], cuts))
    ending = events.end(clean=False)
    assert passed + ending.rest in (whole, whole + EVENT[:left]) if left >= len(EVENT) - 1 else passed == whole
    assert not ending.whole


def test_a_stream_is_whole_when_its_last_events_say_so() -> None:
    """`[DONE]` always; a finish reason only if the upstream closed properly; anything else is cut short."""
    judged = {
        (DONE, False): True,
        (DONE.rstrip(), True): True,
        (FINISH, True): True,
        (FINISH, False): False,
        (TOKENS, True): False,
        (b"", True): False,
    }
    for (last, clean), whole in judged.items():
        events = EventStream()
        events.feed(EVENT)
        events.feed(last)
        assert events.end(clean=clean).whole is whole, (last, clean)


def test_done_within_an_events_text_is_no_end() -> None:
    """Only an event that is `[DONE]` ends a stream."""
    events = EventStream()
    events.feed(b'data: {"content":"data: [DONE]"}\n\n')
    assert not events.end(clean=True).whole


def test_an_error_that_the_upstream_told_needs_no_second() -> None:
    """The upstream's own error event is the explicit end."""
    events = EventStream()
    events.feed(EVENT + ERROR)
    assert events.end(clean=True).told
    assert events.end(clean=True).whole
    assert not events.end(clean=False).whole


def test_an_event_is_held_back_only_up_to_a_limit() -> None:
    """Memory is bounded whatever an upstream sends."""
    events = EventStream()
    passed = 0
    for _ in range(3 * MAX_HELD // 1024):
        passed += len(events.feed(b"x" * 1024))
    assert passed >= 2 * MAX_HELD
    assert len(events.feed(b"\n\n" + EVENT)) >= len(EVENT)


@given(CUTS)
def test_the_tokens_of_a_plain_answer_are_read_from_its_end(cuts: list[int]) -> None:
    """However long the text before."""
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "details": {"x": 1}}
    body = json.dumps({"choices": [{"message": {"content": 'a "usage": {' * 2000}}], "usage": usage}).encode()
    plain = PlainBody()
    assert b"".join(plain.feed(chunk) for chunk in split(body, cuts)) == body
    assert plain.usage() == Usage(7, 2)
    assert plain.end(clean=True).whole
    assert not plain.end(clean=False).whole


@given(st.binary())
def test_no_tail_makes_it_raise(tail: bytes) -> None:
    """An answer's end may be anything."""
    plain = PlainBody()
    plain.feed(b'"usage": {' + tail)
    assert plain.usage().input_tokens >= 0
    plain.feed(b'"usage": {"prompt_tokens": -4, "completion_tokens": "many"}')
    assert plain.usage() == NO_USAGE


def test_a_compressed_stream_is_not_judged_by_its_events() -> None:
    """Its bytes cannot be read here."""
    assert isinstance(watch(Format.OPENAI_CHAT, b"text/event-stream; charset=utf-8", b""), EventStream)
    assert isinstance(watch(Format.OPENAI_CHAT, b"text/event-stream", b"gzip"), PlainBody)
    assert isinstance(watch(Format.OPENAI_CHAT, b"application/json", b""), PlainBody)
