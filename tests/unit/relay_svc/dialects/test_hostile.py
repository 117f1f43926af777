"""Bytes that mean harm, or nothing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.dialects import (
    Answer,
    CannotCarry,
    Dialect,
    DialectFault,
    Losses,
    StreamReader,
    Target,
    Translation,
    read_answer,
    read_request,
    read_usage,
    stream_writer,
    write_answer,
    write_request,
)
from relay_svc.dialects.losses import MAX_NAMES
from tests.harness.fuzz import examples
from tests.unit.relay_svc.dialects.features import FEATURES
from tests.unit.relay_svc.dialects.samples import ANSWERS, GEMINI_ARRAY, STAMP, STREAMS
from tests.unit.relay_svc.dialects.wrecks import CUTS, pieces, streams, torn, wrecked

REQUESTS = [(dialect, body) for feature in FEATURES for dialect, body in feature.bodies.items()]
FUZZ = examples(400)


def try_request(dialect: Dialect, body: bytes) -> None:
    """Read a request, and write what was read in every dialect."""
    for upstream in Dialect:
        try:
            request = read_request(dialect, body, losses := Losses(), model="m", stream=True)
            write_request(upstream, request, Target("m"), losses)
        except (DialectFault, CannotCarry):
            continue
        assert len(losses.names) <= MAX_NAMES + 1
        losses.header().decode("ascii")


def try_answer(dialect: Dialect, body: bytes) -> None:
    """Read an answer, and write what was read in every dialect."""
    read_usage(dialect, body)
    for client in Dialect:
        try:
            answer = read_answer(dialect, body, losses := Losses())
            if isinstance(answer, Answer):
                write_answer(client, answer, STAMP, losses)
        except DialectFault:
            continue


def try_stream(upstream: Dialect, stream: bytes, *, array: bool = False) -> None:
    """Translate a stream for every client; nothing is raised, and it ends one way or the other."""
    for client in Dialect:
        losses = Losses()
        way = Translation(StreamReader(upstream, losses, array=array), stream_writer(client, STAMP, losses))
        way.feed(stream)
        way.end(clean=True)
        assert way.whole != (way.failure is not None)


@given(st.sampled_from(REQUESTS), st.data())
@FUZZ
def test_a_wrecked_request_is_refused_or_read(request: tuple[Dialect, Any], data: st.DataObject) -> None:
    """Members of the wrong kind, missing members: only the two typed refusals are raised."""
    dialect, body = request
    try_request(dialect, json.dumps(wrecked(body, data.draw)).encode())


@given(st.sampled_from(list(Dialect)), st.data())
@FUZZ
def test_a_wrecked_answer_is_refused_or_read(dialect: Dialect, data: st.DataObject) -> None:
    """An upstream may send anything."""
    try_answer(dialect, json.dumps(wrecked(ANSWERS[dialect], data.draw)).encode())


@given(st.sampled_from(list(Dialect)), st.data())
@FUZZ
def test_a_wrecked_stream_ends_one_way_or_the_other(dialect: Dialect, data: st.DataObject) -> None:
    """Events of the wrong shape, out of order, doubled or missing raise nothing."""
    try_stream(dialect, data.draw(streams(dialect)))


@given(st.sampled_from(list(Dialect)), st.sampled_from(list(Dialect)), st.booleans(), CUTS, st.data())
@FUZZ
def test_any_chunks_of_any_stream_give_the_same(
    upstream: Dialect, client: Dialect, array: bool, cuts: list[int], data: st.DataObject
) -> None:
    """Good or bad, cut short or with noise within: the same bytes, the same end, the same tokens, the same losses."""
    stream = data.draw(torn(upstream))

    def translated(*chunks: bytes) -> tuple[object, ...]:
        losses = Losses()
        writer = stream_writer(client, STAMP, losses, array=array and client is Dialect.GEMINI)
        way = Translation(StreamReader(upstream, losses, array=array and upstream is Dialect.GEMINI), writer)
        out = b"".join([way.feed(chunk) for chunk in chunks]) + way.end(clean=True)
        return out, way.whole, way.failure, way.usage, losses.names

    assert translated(*pieces(stream, cuts)) == translated(stream)


DEEP = [b"[" * 10_000, b'{"a":' * 10_000, b'{"messages":' + b"[" * 900 + b"]" * 900 + b"}"]
JUNK = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe",
    b'{"model":"\xff"}',
    b'{"model":"\\ud800"}',
    b'{"model":"m","temperature":1e999}',
    *DEEP,
]


def try_everything(body: bytes, dialect: Dialect) -> None:
    """Take it for a request, an answer, an event, an element of an array and a stream."""
    try_request(dialect, body)
    try_answer(dialect, body)
    try_stream(dialect, b"data: " + body + b"\n\n")
    try_stream(dialect, body)
    try_stream(Dialect.GEMINI, b"[" + body + b"]", array=True)
    try_stream(Dialect.GEMINI, GEMINI_ARRAY[: len(body) * 40] + body, array=True)


@given(st.binary(max_size=40), st.sampled_from(list(Dialect)))
@examples(80)
def test_bytes_that_are_nothing_are_refused(body: bytes, dialect: Dialect) -> None:
    """Whatever they are taken for."""
    try_everything(body, dialect)


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("body", JUNK, ids=range(len(JUNK)))
def test_what_is_no_message_is_refused(body: bytes, dialect: Dialect) -> None:
    """No JSON, no UTF-8, halves of surrogates, numbers beyond all bounds, brackets without end."""
    try_everything(body, dialect)


@pytest.mark.parametrize("depth", [100, 300, 500, 800, 950, 2000])
def test_deep_schemas_and_arguments_are_carried_or_refused(depth: int) -> None:
    """A parser's limit is never passed on as an accident."""
    nested = '{"type":"OBJECT","items":' * depth + "{}" + "}" * depth
    declared = f'{{"functionDeclarations":[{{"name":"f","parameters":{nested}}}]}}'
    body = f'{{"contents":[{{"parts":[{{"text":"x"}}]}}],"tools":[{declared}]}}'
    try_request(Dialect.GEMINI, body.encode())
    call = json.dumps(
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":' * depth + "1" + "}" * depth}}
    )
    messages = f'[{{"role":"user","content":"x"}},{{"role":"assistant","tool_calls":[{call}]}}]'
    try_request(Dialect.OPENAI_CHAT, f'{{"model":"m","messages":{messages}}}'.encode())


def test_a_client_cannot_fill_the_names_of_losses() -> None:
    """Names are bounded, safe for a header, and count under one label."""
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **{f"x{i}\r\n: é": 1 for i in range(999)}}
    losses = Losses()
    read_request(Dialect.OPENAI_CHAT, json.dumps(body).encode(), losses)
    assert len(losses.names) == MAX_NAMES + 1
    assert losses.names[-1] == "more"
    assert losses.labels == {"unknown", "more"}
    assert not set(losses.header()) & set(b"\r\n:")


def test_what_a_stream_keeps_is_bounded() -> None:
    """An answer without end makes no translation grow without end."""
    for upstream in Dialect:
        losses = Losses()
        reader = StreamReader(upstream, losses)
        ways = [stream_writer(client, STAMP, losses) for client in (Dialect.OPENAI_CHAT, Dialect.ANTHROPIC)]
        head, _, _ = STREAMS[upstream].partition(b"towns.")
        cut = head.rfind(b"\n\n") + 2
        event = STREAMS[upstream][cut : STREAMS[upstream].find(b"\n\n", cut) + 2]
        for read in reader.feed(STREAMS[upstream][:cut]):
            for way in ways:
                way.write(read)
        for _ in range(2000):
            for read in reader.feed(event):
                for way in ways:
                    way.write(read)
        assert reader.held == 0
        for thing in (reader._reader, *ways):
            kept = [value for value in vars(thing).values() if isinstance(value, str | bytes | dict | list)]
            assert sum(map(len, kept)) < 1000
