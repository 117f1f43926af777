"""Streams, from each dialect to each, in any chunks."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.dialects import (
    Answer,
    Dialect,
    Failure,
    Kind,
    Losses,
    StreamReader,
    Translation,
    read_answer,
    stream_writer,
)
from relay_svc.dialects.answer import Begin, Delta, Event, Finish, Finished, PartBegin, PartEnd, PartKind, Usage
from relay_svc.dialects.form import Signature
from relay_svc.dialects.sse import EventCutter
from tests.harness.fuzz import examples
from tests.unit.relay_svc.dialects import sdk
from tests.unit.relay_svc.dialects.folding import fold
from tests.unit.relay_svc.dialects.samples import (
    ANTHROPIC,
    CHAT,
    GEMINI,
    GEMINI_ARRAY,
    RESPONSES,
    STAMP,
    STREAMS,
    gemini_pieces,
    sse,
)
from tests.unit.relay_svc.dialects.test_answers import TOLD

PAIRS = [
    pytest.param(upstream, client, id=f"{upstream.value} to {client.value}")
    for upstream in Dialect
    for client in Dialect
]
LAST_WORDS = {CHAT: b"[DONE]", RESPONSES: b"response.completed", ANTHROPIC: b"message_stop", GEMINI: b'"finishReason"'}


def events_of(dialect: Dialect, stream: bytes, *, array: bool = False, clean: bool = True) -> list[Event]:
    """Read a stream in one chunk."""
    reader = StreamReader(dialect, Losses(strict=True), array=array)
    return [*reader.feed(stream), *reader.end(clean=clean)]


def translation(upstream: Dialect, client: Dialect, *, array: bool = False) -> Translation:
    """Begin a translation."""
    losses = Losses()
    return Translation(StreamReader(upstream, losses), stream_writer(client, STAMP, losses, array=array))


def translated(upstream: Dialect, client: Dialect, stream: bytes) -> bytes:
    """Translate a stream in one chunk."""
    way = translation(upstream, client)
    return way.feed(stream) + way.end(clean=True)


def check_events(dialect: Dialect, written: bytes) -> None:
    """Read every event as the provider's SDK does."""
    for _, data in EventCutter().feed(written):
        if data != b"[DONE]":
            sdk.check_event(dialect, data)


@pytest.mark.parametrize("dialect", Dialect)
def test_every_dialects_stream_tells_the_same_answer(dialect: Dialect) -> None:
    """Deltas put together are the answer; calls that arrive interleaved stay apart; tokens are told."""
    assert fold(events_of(dialect, STREAMS[dialect])) == TOLD


def test_geminis_array_tells_the_same_as_its_events() -> None:
    """Without `alt=sse` Gemini streams one JSON array."""
    assert events_of(GEMINI, GEMINI_ARRAY, array=True) == events_of(GEMINI, STREAMS[GEMINI])


@pytest.mark.parametrize(("upstream", "client"), PAIRS)
def test_a_stream_keeps_its_meaning(upstream: Dialect, client: Dialect) -> None:
    """What is written for the client reads the same again, ends with its last word, and is what the SDK expects."""
    way = translation(upstream, client)
    written = way.feed(STREAMS[upstream]) + way.end(clean=True)
    check_events(client, written)
    assert fold(events_of(client, written)) == TOLD
    assert LAST_WORDS[client] in written
    assert way.whole
    assert way.usage == TOLD.usage


@pytest.mark.parametrize("upstream", [dialect for dialect in Dialect if dialect is not GEMINI])
def test_a_gemini_client_may_ask_for_one_array(upstream: Dialect) -> None:
    """It is valid JSON as a whole, and each element is an answer."""
    way = translation(upstream, GEMINI, array=True)
    written = way.feed(STREAMS[upstream]) + way.end(clean=True)
    for element in json.loads(written):
        sdk.check_event(GEMINI, json.dumps(element).encode())
    assert fold(events_of(GEMINI, written, array=True)) == TOLD


CUTS = st.lists(st.integers(0, max(map(len, STREAMS.values()))), max_size=12).map(sorted)


@given(st.sampled_from(list(Dialect)), st.sampled_from(list(Dialect)), CUTS)
@examples(150)
def test_chunks_make_no_difference(upstream: Dialect, client: Dialect, cuts: list[int]) -> None:
    """However an upstream's bytes are cut, the client gets the same."""
    stream = STREAMS[upstream]
    way, out = translation(upstream, client), b""
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        out += way.feed(stream[start:end])
    assert out + way.end(clean=True) == translated(upstream, client, stream)


@pytest.mark.parametrize("dialect", Dialect)
def test_a_stream_may_come_byte_by_byte(dialect: Dialect) -> None:
    """With any of the three line ends."""
    for line_end in (b"\n", b"\r\n", b"\r"):
        reader = StreamReader(dialect, Losses())
        events = [event for byte in STREAMS[dialect].replace(b"\n", line_end) for event in reader.feed(bytes([byte]))]
        assert fold([*events, *reader.end(clean=True)]) == TOLD


@given(st.sampled_from(list(Dialect)), st.sampled_from(list(Dialect)), st.integers(0, 1 << 14), st.booleans())
@examples(300)
def test_a_stream_cut_short_never_ends_as_if_it_were_whole(
    upstream: Dialect, client: Dialect, end: int, clean: bool
) -> None:
    """Wherever it breaks, the client gets its dialect's error event, and not its last word."""
    stream = STREAMS[upstream]
    last_event = stream.rstrip().rfind(b"\n\n") + 2
    if upstream is CHAT:  # a chat stream that closed properly after its finish reason is whole
        last_event = stream.find(b"tool_calls", stream.rfind(b"arguments"))
    way = translation(upstream, client)
    written = way.feed(stream[: end % last_event]) + way.end(clean=clean)
    assert way.failure is not None
    assert not way.whole
    assert LAST_WORDS[client] not in written
    _, last = EventCutter().feed(written)[-1]
    told = json.loads(last)
    if client is RESPONSES:
        assert told["type"] in ("error", "response.failed")
    else:
        assert "error" in told
    assert isinstance(fold(events_of(client, written)), Failure)


def test_a_broken_array_is_still_an_array() -> None:
    """The error is its last element."""
    way = translation(CHAT, GEMINI, array=True)
    written = way.feed(STREAMS[CHAT][:900]) + way.end(clean=False)
    assert json.loads(written)[-1]["error"]["status"] == "INTERNAL"
    way = translation(CHAT, GEMINI, array=True)
    assert json.loads(way.end(clean=False))[0]["error"]["code"] == 500


@pytest.mark.parametrize(("upstream", "client"), PAIRS)
def test_an_upstreams_error_event_becomes_the_clients(upstream: Dialect, client: Dialect) -> None:
    """Its kind and its words are kept."""
    error: Any = {
        CHAT: {"error": {"message": "busy now", "type": "overloaded_error"}},
        RESPONSES: {"type": "error", "message": "busy now", "code": "overloaded_error"},
        ANTHROPIC: {"type": "error", "error": {"type": "overloaded_error", "message": "busy now"}},
        GEMINI: {"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy now"}},
    }[upstream]
    way = translation(upstream, client)
    written = way.feed(STREAMS[upstream][:1200].rpartition(b"\n\n")[0] + b"\n\n" + sse(error)) + way.end(clean=True)
    assert way.failure is not None
    assert (way.failure.kind, way.failure.message) == (Kind.OVERLOADED, "busy now")
    assert b"busy now" in written
    assert LAST_WORDS[client] not in written


def test_chat_without_done_is_whole_if_it_closed_properly() -> None:
    """Some servers never say `[DONE]`."""
    stream = STREAMS[CHAT].replace(b"data: [DONE]\n\n", b"")
    assert fold(events_of(CHAT, stream)) == TOLD
    assert isinstance(fold(events_of(CHAT, stream, clean=False)), Failure)


def test_tokens_are_told_to_a_chat_client_only_if_it_asked() -> None:
    """They are known either way."""
    losses = Losses()
    way = Translation(StreamReader(ANTHROPIC, losses), stream_writer(CHAT, STAMP, losses, include_usage=False))
    written = way.feed(STREAMS[ANTHROPIC])
    assert b"usage" not in written
    assert way.usage == TOLD.usage


def test_calls_of_servers_that_give_no_proper_index_stay_apart() -> None:
    """A new id is a new call, whatever its index."""

    def chunk(*calls: dict[str, Any]) -> dict[str, Any]:
        return {"choices": [{"delta": {"tool_calls": list(calls)}}]}

    one = {"id": "a", "function": {"name": "f", "arguments": "1"}}
    two = {"id": "b", "function": {"name": "f", "arguments": "2"}}
    more = {"function": {"arguments": "3"}}
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    for index in ({}, {"index": 0}):
        answer = fold(
            events_of(CHAT, sse(chunk({**one, **index}), chunk({**two, **index}), chunk(more), end, "[DONE]"))
        )
        assert isinstance(answer, Answer)
        assert [(part.id, part.arguments) for part in answer.parts] == [("a", "1"), ("b", "23")]  # type: ignore[union-attr]
        assert answer.finish is Finish.TOOLS


SIGNED = Signature(ANTHROPIC, "EqQBCg==")


@pytest.mark.parametrize("client", [RESPONSES, ANTHROPIC, GEMINI])
def test_proofs_of_reasoning_survive_in_clients_that_have_a_place_for_them(client: Dialect) -> None:
    """Shown to another dialect's client they are marked, and known again by the mark."""
    events: list[Event] = [
        Begin("m"),
        PartBegin(0, PartKind.THINKING),
        Delta(0, "Hm."),
        PartEnd(0, SIGNED),
        Finished(Finish.STOP, Usage()),
    ]
    writer = stream_writer(client, STAMP, Losses(strict=True))
    written = b"".join(writer.write(event) for event in events)
    check_events(client, written)
    assert fold(events_of(client, written)) == fold(events)
    losses = Losses()
    chat = stream_writer(CHAT, STAMP, losses)
    for event in events:
        chat.write(event)
    assert losses.names == ("thinking.signature",)


def test_a_call_without_arguments_has_the_empty_object_where_one_is_wanted() -> None:
    """Anthropic sends no deltas for a tool that takes nothing."""
    events: list[Event] = [
        Begin("m"),
        PartBegin(0, PartKind.CALL, "1", "f"),
        PartEnd(0),
        Finished(Finish.TOOLS, None),
    ]
    writer = stream_writer(GEMINI, STAMP, Losses())
    written = b"".join(writer.write(event) for event in events)
    assert b'"args":{}' in written


def test_a_failed_piece_in_the_middle_ends_the_stream_with_what_came_before() -> None:
    """What cannot be read is the upstream's fault; what was good is passed, in one chunk or in many."""
    stream = sse(gemini_pieces()[0]) + b"data: {\n\n" + sse(*gemini_pieces()[1:])
    way = translation(GEMINI, ANTHROPIC)
    written = way.feed(stream)
    assert b"Two " in written
    assert b"event: error" in written
    assert way.feed(stream) == b""
    assert way.end(clean=True) == b""


def test_the_whole_answer_at_the_end_of_a_responses_stream_is_the_answer() -> None:
    """Clients take it from there."""
    written = translated(ANTHROPIC, RESPONSES, STREAMS[ANTHROPIC])
    _, data = EventCutter().feed(written)[-1]
    last = json.loads(data)
    assert read_answer(RESPONSES, json.dumps(last["response"]).encode(), Losses()) == TOLD
    numbers = [json.loads(each)["sequence_number"] for _, each in EventCutter().feed(written)]
    assert numbers == list(range(len(numbers)))
