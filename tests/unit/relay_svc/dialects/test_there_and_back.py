"""Requests that were never written by hand: there and back, and through a second dialect."""

import base64
import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from relay_svc.dialects import Dialect, Losses, Target, read_request, write_request
from relay_svc.dialects.form import (
    Call,
    Media,
    Message,
    Part,
    Reasoning,
    Request,
    Result,
    Text,
    Tool,
    ToolChoice,
)
from tests.harness.fuzz import examples

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
NAMES = st.sampled_from(["weather", "search", "a_b-c"])
DATA = st.binary(min_size=1, max_size=12).map(lambda data: base64.b64encode(data).decode())
IMAGES = st.builds(lambda data: Media("image", mime="image/png", data=data), DATA) | st.just(
    Media("image", mime="image/jpeg", url="https://example.com/a.jpg")
)
ARGUMENTS = st.dictionaries(WORDS, st.integers(-(1 << 53), 1 << 53) | WORDS | st.none() | st.booleans(), max_size=3)
SCHEMAS = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(WORDS, st.just({"type": "string"}), max_size=2)}
)


@st.composite
def turns(draw: st.DrawFn) -> list[Message]:
    """Draw a conversation that every dialect can hold: turns alternate, calls are answered at once."""
    ids = (f"call_{number}" for number in itertools.count())
    messages = [Message("system", [Text(draw(WORDS))])] if draw(st.booleans()) else []
    results: list[Part] = []
    for _ in range(draw(st.integers(1, 3))):
        said: list[Part] = [draw(WORDS.map(Text) | IMAGES) for _ in range(draw(st.integers(1, 2)))]
        messages.append(Message("user", [*results, *said]))
        results = []
        answer: list[Part] = [Text(draw(WORDS))] if draw(st.booleans()) else []
        for name in draw(st.lists(NAMES, min_size=0 if answer else 1, max_size=3)):
            arguments = json.dumps(draw(ARGUMENTS), separators=(",", ":"), ensure_ascii=False)
            answer.append(call := Call(next(ids), name, arguments))
            results.append(Result(call.id, "", [Text(draw(WORDS))]))
        messages.append(Message("assistant", answer))
    messages.append(Message("user", [*results, Text(draw(WORDS))]))
    return messages


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Draw a request that every dialect can carry whole."""
    tools = draw(st.lists(st.builds(Tool, NAMES, WORDS, SCHEMAS), max_size=2, unique_by=lambda tool: tool.name))
    choice = None
    if tools:
        modes = [
            ToolChoice("auto"),
            ToolChoice("none"),
            ToolChoice("required"),
            ToolChoice("required", [tools[0].name]),
        ]
        choice = draw(st.sampled_from([None, *modes]))
    thinks = not (choice and choice.mode == "required") and draw(st.booleans())
    return Request(
        model="m",
        messages=draw(turns()),
        tools=tools,
        tool_choice=choice,
        max_tokens=draw(st.integers(1, 1 << 20)),
        temperature=None if thinks else draw(st.none() | st.floats(0, 1)),
        top_p=None if thinks else draw(st.none() | st.floats(0, 1)),
        reasoning=Reasoning(effort=draw(st.sampled_from(["low", "medium", "high"]))) if thinks else None,
    )


def normal(request: Request) -> Request:
    """Bring what dialects say in their own ways to one: results by name, JSON as one text, effort as a budget."""
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, Result):
                part.name = ""
                part.parts = [Text(_compact(inner.text)) if isinstance(inner, Text) else inner for inner in part.parts]
            elif isinstance(part, Call):
                part.arguments = _compact(part.arguments)
            elif isinstance(part, Media) and part.url:
                part.mime = ""
    if request.reasoning is not None:
        budgets = {"low": 4096, "medium": 8192, "high": 24576}
        request.reasoning = Reasoning(budget=request.reasoning.budget or budgets[request.reasoning.effort or ""])
    request.include_usage = True
    return request


def _compact(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text


def carried(request: Request, *dialects: Dialect) -> Request:
    """Write and read a request in one dialect after another; nothing may be lost."""
    for dialect in dialects:
        losses = Losses(strict=True)
        written = write_request(dialect, request, Target("m"), losses)
        request = read_request(dialect, written, losses, model="m", stream=request.stream)
    return request


@given(requests(), st.sampled_from(list(Dialect)), st.sampled_from(list(Dialect)))
@examples(150)
def test_what_every_dialect_can_carry_comes_back(request: Request, first: Dialect, second: Dialect) -> None:
    """Through any two dialects, one after the other, whatever the words, names, numbers and the order of calls."""
    assert normal(carried(request, first, second)) == normal(request)
