"""Reads a stream of chat completion chunks.

The law: the stream is whole at `[DONE]`, or when it closed properly after a finish reason, since some servers never say
`[DONE]`. Calls may arrive interleaved, by index, and so stay open until the end. Bounded: only numbers and ids
are kept of what went by.
"""

from typing import Final

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
    Usage,
)
from relay_svc.dialects.errors import failure_of
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Dialect, TokenLogprob
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import decoded
from relay_svc.dialects.openai_chat.answers import note_unread
from relay_svc.dialects.openai_chat.shapes import CHUNK, Choice, Said, ToolCall, finish_of, signature_text, usage_of
from relay_svc.dialects.openai_words import read_logprobs

MAX_CALLS: Final = 512
"""Most calls of one answer."""
_DONE: Final = b"[DONE]"


class ChatReader:
    """Reads one stream."""

    def __init__(self, losses: Losses) -> None:
        """Begin with nothing seen."""
        self._losses = losses
        self._begun = self._over = False
        self._next = 0
        self._open: tuple[int, PartKind] | None = None  # the part that is no call
        self._calls: dict[int, tuple[int, str]] = {}  # the upstream's index: ours, and the id
        self._last_call = -1
        self._finish: Finish | None = None
        self._usage: Usage | None = None

    def read(self, _name: str, data: bytes) -> list[Event]:
        """Read one event. Raises DialectFault."""
        if self._over:
            return []
        if data.strip() == _DONE:
            return self.end(clean=True)
        chunk = decoded(CHUNK.decode, data)
        if type(chunk.error) is dict:
            self._over = True
            return [failure_of(chunk.error)]
        if chunk.usage is not None:
            self._usage = usage_of(chunk.usage)
        events: list[Event] = []
        if not self._begun and (chunk.choices or chunk.model):
            self._begun = True
            events.append(Begin(chunk.model or ""))
        for choice in chunk.choices or ():
            if not choice.index:  # one choice is asked for
                self._choice(choice, events)
        return events

    def end(self, *, clean: bool) -> list[Event]:
        """Judge the stream at its end: nothing more when it is whole, otherwise a failure that says so."""
        if self._over:
            return []
        self._over = True
        if self._finish is None or not clean:
            return [Failure.cut_short(clean=clean)]
        events: list[Event] = []
        self._close(events)
        events.extend(PartEnd(index) for index, _ in self._calls.values())
        events.append(Finished(self._finish, self._usage))
        return events

    def _choice(self, choice: Choice, events: list[Event]) -> None:
        if (said := choice.delta or choice.message) is not None:
            self._said(said, read_logprobs(choice.logprobs.content) if choice.logprobs else None, events)
        if choice.finish_reason and self._finish is None:
            self._finish = finish_of(choice.finish_reason, self._losses, calls=bool(self._calls))

    def _said(self, said: Said, logprobs: list[TokenLogprob] | None, events: list[Event]) -> None:
        if thought := said.reasoning_content or said.reasoning:
            self._more(PartKind.THINKING, thought, None, events)
        if said.content or logprobs:
            self._more(PartKind.TEXT, said.content or "", logprobs, events)
        if said.refusal:
            self._more(PartKind.REFUSAL, said.refusal, None, events)
        for call in said.tool_calls or ():
            self._call(call, events)
        note_unread(said, self._losses)

    def _more(self, kind: PartKind, text: str, logprobs: list[TokenLogprob] | None, events: list[Event]) -> None:
        if self._open is None or self._open[1] is not kind:
            self._close(events)
            self._open = (self._number(), kind)
            events.append(PartBegin(self._open[0], kind))
        events.append(Delta(self._open[0], text, logprobs))

    def _call(self, call: ToolCall, events: list[Event]) -> None:
        key = self._key(call)
        known = self._calls.get(key)
        function = call.function
        if known is None:
            if function is None or not function.name:
                raise DialectFault("choices[0].delta.tool_calls[0].function.name", "must be a string")
            if len(self._calls) >= MAX_CALLS:
                raise DialectFault("choices[0].delta.tool_calls", f"holds more than {MAX_CALLS} calls")
            self._close(events)
            known = self._calls[key] = (self._number(), call.id or "")
            signature = signatures.known(signature_text(call.extra_content), Dialect.GEMINI)
            events.append(PartBegin(known[0], PartKind.CALL, known[1], function.name, signature))
        self._last_call = key
        if function is not None and function.arguments:
            events.append(Delta(known[0], function.arguments))

    def _key(self, call: ToolCall) -> int:
        key = self._last_call if call.index is None else call.index
        known = self._calls.get(key)
        if not call.id or (known is not None and known[1] == call.id):
            return key
        if call.index is not None and known is None:
            return key
        # Another call: some servers give no index, or 0 to all of them.
        return next(
            (place for place, each in self._calls.items() if each[1] == call.id), max(self._calls, default=-1) + 1
        )

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    def _close(self, events: list[Event]) -> None:
        if self._open is not None:
            events.append(PartEnd(self._open[0]))
            self._open = None
