"""Reads and writes a stream of Gemini's answers, as server-sent events or as one JSON array.

The law: the stream has no last word of its own: it is whole when it closed properly after a finish reason. A call is written
when its arguments are whole, since Gemini has it in one piece; that much is held back, up to a bound, and nothing else.
"""

from io import StringIO
from typing import Any, Final

import msgspec

from relay_svc.dialects import signatures
from relay_svc.dialects.answer import (
    Begin,
    Delta,
    Event,
    Failure,
    Finish,
    Finished,
    PartBegin,
    PartEnd,
    PartKind,
    Stamp,
    Usage,
)
from relay_svc.dialects.errors import envelope, failure_of
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Dialect, Signature, TokenLogprob
from relay_svc.dialects.gemini.answers import (
    arguments_of,
    blocked,
    note_part,
    note_unread,
    refusals,
    response_body,
    shapes_of,
    written_call,
    written_thought,
)
from relay_svc.dialects.gemini.shapes import (
    FINISH_WORDS,
    MALFORMED,
    RESPONSE,
    CandidateShape,
    PartShape,
    finish_of,
    read_logprobs,
    usage_of,
    written_logprobs,
)
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import decoded

MAX_HELD: Final = 8 << 20
"""Most characters of unfinished calls."""


class GeminiReader:
    """Reads one stream."""

    def __init__(self, losses: Losses) -> None:
        """Begin with nothing seen."""
        self._losses = losses
        self._begun = self._over = self._called = False
        self._next = 0
        self._open: tuple[int, PartKind] | None = None
        self._signature: Signature | None = None
        self._finish: Finish | None = None
        self._usage: Usage | None = None

    def read(self, _name: str, data: bytes) -> list[Event]:
        """Read one event. Raises DialectFault."""
        if self._over:
            return []
        response = decoded(RESPONSE.decode, data)
        if type(response.error) is dict:
            return self._fail(failure_of(response.error))
        events: list[Event] = []
        if not self._begun:
            self._begun = True
            events.append(Begin(response.model_version or ""))
        if response.usage_metadata is not None:
            self._usage = usage_of(response.usage_metadata)
        if blocked(response) and self._finish is None:
            self._finish = Finish.FILTER
            for part in refusals(response):
                self._more(PartKind.REFUSAL, part.text, None, events)  # type: ignore[union-attr]  # refusals only
        for candidate in response.candidates or ():
            if not candidate.index:
                failure = self._candidate(candidate, events)
                if failure is not None:
                    return [*events, *self._fail(failure)]
        return events

    def end(self, *, clean: bool) -> list[Event]:
        """Judge the stream at its end: nothing more when it is whole, otherwise a failure that says so."""
        if self._over:
            return []
        if self._finish is None or not clean:
            return self._fail(Failure.cut_short(clean=clean))
        self._over = True
        events: list[Event] = []
        self._close(events)
        return [*events, Finished(self._finish, self._usage)]

    def _fail(self, failure: Failure) -> list[Event]:
        self._over = True
        return [failure]

    def _candidate(self, candidate: CandidateShape, events: list[Event]) -> Failure | None:
        note_unread(candidate, self._losses)
        logprobs = read_logprobs(candidate.logprobs_result)
        for shape in shapes_of(candidate):
            logprobs = self._part(shape, logprobs, events)
        if candidate.finish_reason and self._finish is None:
            finish = finish_of(candidate, calls=self._called)
            if isinstance(finish, Failure):
                return finish
            self._finish = finish
        return None

    def _part(
        self, shape: PartShape, logprobs: list[TokenLogprob] | None, events: list[Event]
    ) -> list[TokenLogprob] | None:
        signature = signatures.known(shape.thought_signature or "", Dialect.GEMINI)
        if shape.function_call is not None:
            self._call(shape, signature, events)
        elif shape.text is None:
            note_part(shape, self._losses)
        elif shape.thought:
            self._more(PartKind.THINKING, shape.text, None, events)
            self._signature = signature or self._signature
        else:
            if signature is not None:
                self._losses.add("thought_signature")
            if shape.text:
                self._more(PartKind.TEXT, shape.text, logprobs, events)
                return None
        return logprobs

    def _call(self, shape: PartShape, signature: Signature | None, events: list[Event]) -> None:
        call = shape.function_call
        if call is None or not call.name:
            raise DialectFault("candidates[0].content.parts.functionCall.name", "must be a string")
        self._close(events)
        self._called = True
        index, self._next = self._next, self._next + 1
        events.append(PartBegin(index, PartKind.CALL, call.id or "", call.name, signature))
        events.append(Delta(index, arguments_of(shape)))
        events.append(PartEnd(index))

    def _more(self, kind: PartKind, text: str, logprobs: list[TokenLogprob] | None, events: list[Event]) -> None:
        if self._open is None or self._open[1] is not kind:
            self._close(events)
            self._open = (self._next, kind)
            self._next += 1
            events.append(PartBegin(self._open[0], kind))
        if text:
            events.append(Delta(self._open[0], text, logprobs))

    def _close(self, events: list[Event]) -> None:
        if self._open is not None:
            events.append(PartEnd(self._open[0], self._signature))
            self._open = self._signature = None


class GeminiWriter:
    """Writes one stream."""

    def __init__(self, stamp: Stamp, losses: Losses, *, array: bool) -> None:
        """Begin with nothing written; `array` writes one JSON array, as Gemini does without `alt=sse`."""
        self._stamp, self._losses, self._array = stamp, losses, array
        self._model = ""
        self._written = self._refused = self._malformed = False
        self._open: dict[int, tuple[PartBegin, StringIO]] = {}
        self._held = 0

    def write(self, event: Event) -> bytes:
        """Write one event; empty when this format has nothing to say of it. Raises DialectFault beyond the bound."""
        if isinstance(event, Delta):
            return self._delta(event)
        if isinstance(event, PartBegin):
            self._open[event.index] = (event, StringIO())
            self._refused |= event.kind is PartKind.REFUSAL
            return b""
        if isinstance(event, PartEnd):
            return self._end_part(event)
        if isinstance(event, Begin):
            self._model = event.model
            return b""
        if isinstance(event, Failure):
            _, body = envelope(Dialect.GEMINI, event, self._stamp.request_id)
            return self._piece(body) + self._last()
        return self._finish(event)

    def _piece(self, body: dict[str, Any]) -> bytes:
        written = msgspec.json.encode(body)
        if not self._array:
            return b"data: " + written + b"\r\n\r\n"
        before = b",\r\n" if self._written else b"["
        self._written = True
        return before + written

    def _last(self) -> bytes:
        return b"]" if self._array else b""

    def _say(self, part: dict[str, Any], logprobs: list[TokenLogprob] | None = None) -> bytes:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": [part]}, "index": 0}
        if logprobs:
            candidate["logprobsResult"] = written_logprobs(logprobs)
        return self._piece(response_body(candidate, self._stamp, self._model, None))

    def _delta(self, delta: Delta) -> bytes:
        begin, text = self._open[delta.index]
        if begin.kind is PartKind.THINKING:
            return self._say(written_thought(delta.text, None))
        if begin.kind is not PartKind.CALL:
            return self._say({"text": delta.text}, delta.logprobs)
        text.write(delta.text)
        self._held += len(delta.text)
        if self._held > MAX_HELD:
            raise DialectFault("", f"has calls longer than {MAX_HELD} characters")
        return b""

    def _end_part(self, end: PartEnd) -> bytes:
        begin, text = self._open.pop(end.index)
        if begin.kind is PartKind.THINKING:
            return self._say(written_thought("", end.signature)) if end.signature is not None else b""
        if begin.kind is not PartKind.CALL:
            return b""
        arguments = text.getvalue()
        self._held -= len(arguments)
        try:
            return self._say(written_call(begin.id, begin.name, arguments, begin.signature))
        except DialectFault:
            self._losses.add("tool_call.arguments")
            self._malformed = True
            return b""

    def _finish(self, event: Finished) -> bytes:
        finish = FINISH_WORDS[event.finish]
        if self._refused and event.finish is Finish.STOP:
            finish = FINISH_WORDS[Finish.REFUSAL]
        if self._malformed and event.finish is not Finish.LENGTH:
            finish = MALFORMED
        candidate = {"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": finish, "index": 0}
        body = response_body(candidate, self._stamp, self._model, event.usage or Usage())
        return self._piece(body) + self._last()
