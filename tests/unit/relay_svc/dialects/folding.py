"""Folds the events of a stream into the answer they tell."""

from relay_svc.dialects.answer import (
    Answer,
    AnswerPart,
    Begin,
    Delta,
    Event,
    Failure,
    Finished,
    PartBegin,
    PartEnd,
    PartKind,
)
from relay_svc.dialects.form import Call, Refusal, Text, Thinking


def fold(events: list[Event]) -> Answer | Failure:
    """Give the answer; checks the order that the events promise on the way."""
    assert events, "a stream says something"
    if isinstance(events[-1], Failure):
        return events[-1]
    assert isinstance(events[0], Begin)
    last = events[-1]
    assert isinstance(last, Finished)
    parts: dict[int, AnswerPart] = {}
    texts: dict[int, str] = {}
    ended: set[int] = set()
    for event in events[1:-1]:
        match event:
            case PartBegin():
                assert event.index == len(parts)
                parts[event.index] = _empty(event)
                texts[event.index] = ""
            case Delta():
                assert event.index not in ended
                texts[event.index] += event.text
                part = parts[event.index]
                if event.logprobs and isinstance(part, Text):
                    part.logprobs = [*(part.logprobs or []), *event.logprobs]
            case PartEnd():
                ended.add(event.index)
                _end(parts[event.index], texts[event.index], event)
            case _:
                raise AssertionError(event)
    assert ended == set(parts)
    return Answer(events[0].model, list(parts.values()), last.finish, last.usage, last.stop_sequence)


def _empty(begin: PartBegin) -> AnswerPart:
    if begin.kind is PartKind.CALL:
        return Call(begin.id, begin.name, "", begin.signature)
    if begin.kind is PartKind.THINKING:
        return Thinking("")
    return Refusal("") if begin.kind is PartKind.REFUSAL else Text("")


def _end(part: AnswerPart, text: str, end: PartEnd) -> None:
    if isinstance(part, Call):
        part.arguments = text
    else:
        part.text = text
    if isinstance(part, Thinking):
        part.signature = end.signature
