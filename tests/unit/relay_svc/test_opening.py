"""Where an event stream's content begins."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.opening import Begun, Opening

NOT_YET, CONTENT, FAILED = Begun


def opened(stream: bytes) -> Begun:
    """How far a stream has come."""
    return Opening().feed(stream)


@pytest.mark.parametrize(
    "event",
    [
        b": ping\n\n",
        b": OPENROUTER PROCESSING\n\n",
        b'event: ping\ndata: {"type": "ping"}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n',
        b'data: {"choices":[{"delta":{"role":"assistant","content":null,"refusal":null,"tool_calls":[]}}]}\n\n',
        b'data: {"choices":[]}\n\n',
        b'data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n',
        b'event: message_start\ndata: {"type":"message_start","message":{"content":[]}}\n\n',
        b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n',
        b'data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}\n\n',
        b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":""}}\n\n',
        b'data: {"type":"response.created","response":{}}\n\n',
        b'data: {"type":"response.in_progress","response":{"error":null}}\n\n',
        b'data: {"type":"response.output_item.added","item":{"type":"message"}}\n\n',
        b'data: {"candidates":[{"content":{"role":"model"}}]}\n\n',
        b'data: {"candidates":[{"content":{"parts":[{"text":""}]}}]}\n\n',
        b'data: {"usageMetadata":{"promptTokenCount":3}}\n\n',
        b'data: {"choices":[{"text":""}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"not whole',
        b'data: {"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":"not whole',
        b'data: {"choices":[{"index":0,"delta":{"content":"not whole"},"finish_reason":null}]}\n',
    ],
)
def test_what_only_announces_an_answer_is_no_content(event: bytes) -> None:
    """An upstream that sends this and nothing else has stalled."""
    assert opened(event) is NOT_YET
    assert opened(event * 3) is NOT_YET or not event.endswith(b"\n\n")


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"choices":[{"delta":{"content":"H"}}]}\n\n',
        b'data: {"choices":[{"delta":{"reasoning_content":"H"}}]}\n\n',
        b'data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}\n\n',
        b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\r\n\r\n',
        b'data: {"choices":[{"text":"H"}]}\n\n',
        b"data: [DONE]\n\n",
        b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"H"}}\n\n',
        b'data: {"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"H"}}\n\n',
        b'data: {"type":"content_block_start","content_block":{"type":"tool_use","id":"t"}}\n\n',
        b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n',
        b'data: {"type":"response.output_text.delta","delta":"H"}\n\n',
        b'data: {"type":"response.output_item.added","item":{"type":"function_call"}}\n\n',
        b'data: {"type":"response.completed","response":{}}\n\n',
        b'data: {"candidates":[{"content":{"parts":[{"text":"H"}]}}]}\n\n',
        b'data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]}}]}\n\n',
        b'data: {"candidates":[{"finishReason":"SAFETY"}]}\n\n',
        b'data: {"promptFeedback":{"blockReason":"SAFETY"}}\n\n',
        b"data: what is this\n\n",
        b"data: [1]\n\n",
    ],
)
def test_text_reasoning_tool_calls_and_a_proper_end_are_content(event: bytes) -> None:
    """Also what nobody here can read: the client will judge."""
    assert opened(event) is CONTENT


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error":{"code":"server_error","message":"x"}}\n\n',
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n',
        b'event: error\ndata: {"message":"x"}\n\n',
        b'data: {"type":"response.failed","response":{"error":{"code":"server_error"}}}\n\n',
    ],
)
def test_an_error_before_any_content_is_a_failure_and_is_kept(event: bytes) -> None:
    """Another candidate may do better; its code decides."""
    opening = Opening()
    assert opening.feed(b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n') is NOT_YET
    assert opening.feed(event) is FAILED
    assert opening.error.startswith(b"{")
    assert opening.feed(b'data: {"choices":[{"delta":{"content":"H"}}]}\n\n') is FAILED


STREAM = (
    b": ping\n\n"
    b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"\xc3\xa9"}}]}\n\n'
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_content_begins_at_the_same_byte_however_the_stream_is_cut(cuts: list[int]) -> None:
    """Only with the last event's blank line."""
    opening = Opening()
    edges = [0, *sorted(cuts), len(STREAM)]
    states = [opening.feed(STREAM[start:end]) for start, end in itertools.pairwise(edges)]
    assert states[-1] is CONTENT
    assert all(state is NOT_YET for state, end in zip(states, edges[1:], strict=True) if end < len(STREAM) - 1)


@given(st.binary(max_size=200))
def test_no_stream_makes_it_raise(stream: bytes) -> None:
    """An upstream may say anything."""
    opened(b"data: " + stream + b"\n\n")
