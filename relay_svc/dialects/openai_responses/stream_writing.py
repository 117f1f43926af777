"""Writes a stream of response events.

The law: `response.completed` or `response.incomplete` stands only after a whole answer; a failure is an `error` event and
`response.failed`. This format repeats each item when it is done and all of them at the end, so the answer is kept while it
passes, up to a bound; it is never held back.
"""

from io import StringIO
from typing import Any, Final

import msgspec
from msgspec import Struct

from relay_svc.dialects.answer import (
    Begin,
    Delta,
    Event,
    Failure,
    Finished,
    Kind,
    PartBegin,
    PartEnd,
    PartKind,
    Stamp,
    Usage,
)
from relay_svc.dialects.errors import envelope
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Dialect, Signature, TokenLogprob
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.openai_responses.answers import (
    call_item,
    ending,
    message_item,
    reasoning_item,
    refusal_piece,
    response_body,
    text_piece,
)
from relay_svc.dialects.openai_responses.shapes import written_usage
from relay_svc.dialects.openai_words import write_logprobs

MAX_KEPT: Final = 8 << 20
"""Most characters of an answer that are kept for its end."""
_LOGPROB_COST: Final = 256  # characters that one token's probabilities count as
_CODES: Final = {Kind.RATE_LIMIT: "rate_limit_exceeded", Kind.INVALID: "invalid_prompt"}
_PREFIXES: Final = {PartKind.THINKING: "rs", PartKind.CALL: "fc"}


class _Open(Struct):
    """A part that has begun."""

    begin: PartBegin
    item: str
    """Its id."""
    place: int
    written: StringIO
    logprobs: list[TokenLogprob]

    @property
    def text(self) -> str:
        return self.written.getvalue()


class ResponsesWriter:
    """Writes one stream."""

    def __init__(self, stamp: Stamp, losses: Losses) -> None:
        """Begin with nothing written."""
        self._stamp, self._losses = stamp, losses
        self._sequence = self._kept = 0
        self._begun = self._refused = False
        self._model = ""
        self._open: dict[int, _Open] = {}
        self._done: dict[int, dict[str, Any]] = {}

    def write(self, event: Event) -> bytes:
        """Write one event. Raises DialectFault when the answer grows beyond the bound."""
        if isinstance(event, Delta):
            return self._delta(event)
        if isinstance(event, PartBegin):
            return self._begin_part(event)
        if isinstance(event, PartEnd):
            return self._end_part(event)
        if isinstance(event, Begin):
            return self._begin(event)
        if isinstance(event, Failure):
            return self._fail(event)
        return self._finish(event)

    def _event(self, type_: str, **members: Any) -> bytes:
        body = {"type": type_, "sequence_number": self._sequence, **members}
        self._sequence += 1
        return b"event: %s\ndata: %s\n\n" % (type_.encode(), msgspec.json.encode(body))

    def _begin(self, event: Begin) -> bytes:
        self._begun, self._model = True, event.model
        response = response_body(self._stamp, self._model, "in_progress")
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def _begin_part(self, begin: PartBegin) -> bytes:
        place = len(self._open) + len(self._done)
        id_ = f"{_PREFIXES.get(begin.kind, 'msg')}_{self._stamp.id}_{place}"
        part = self._open[begin.index] = _Open(begin, id_, place, StringIO(), [])
        out = self._event("response.output_item.added", output_index=place, item=self._item(part, "in_progress", None))
        if begin.kind in (PartKind.TEXT, PartKind.REFUSAL):
            out += self._part_event("response.content_part.added", part, content_index=0, part=_piece(part, empty=True))
        elif begin.kind is PartKind.CALL and begin.signature is not None:
            self._losses.add("thought_signature")
        return out

    def _part_event(self, type_: str, open_: _Open, **members: Any) -> bytes:
        return self._event(type_, item_id=open_.item, output_index=open_.place, **members)

    def _delta(self, delta: Delta) -> bytes:
        part = self._open[delta.index]
        first = not part.written.tell()
        part.written.write(delta.text)
        self._kept += len(delta.text) + _LOGPROB_COST * len(delta.logprobs or ())
        if self._kept > MAX_KEPT:
            raise DialectFault("", f"is an answer longer than {MAX_KEPT} characters")
        kind = part.begin.kind
        if kind is PartKind.TEXT:
            part.logprobs.extend(delta.logprobs or ())
            told = write_logprobs(delta.logprobs or ())
            type_ = "response.output_text.delta"
            return self._part_event(type_, part, content_index=0, delta=delta.text, logprobs=told)
        if kind is PartKind.CALL:
            return self._part_event("response.function_call_arguments.delta", part, delta=delta.text)
        if kind is PartKind.REFUSAL:
            return self._part_event("response.refusal.delta", part, content_index=0, delta=delta.text)
        out = b""
        if first:
            empty = {"type": "summary_text", "text": ""}
            out = self._part_event("response.reasoning_summary_part.added", part, summary_index=0, part=empty)
        return out + self._part_event("response.reasoning_summary_text.delta", part, summary_index=0, delta=delta.text)

    def _end_part(self, end: PartEnd) -> bytes:
        part = self._open.pop(end.index)
        item = self._done[part.place] = self._item(part, "completed", end.signature)
        return self._told(part) + self._event("response.output_item.done", output_index=part.place, item=item)

    def _told(self, part: _Open) -> bytes:
        kind, text = part.begin.kind, part.text
        if kind is PartKind.CALL:
            return self._part_event("response.function_call_arguments.done", part, name=part.begin.name, arguments=text)
        if kind is PartKind.THINKING:
            if not text:
                return b""
            whole = {"type": "summary_text", "text": text}
            out = self._part_event("response.reasoning_summary_text.done", part, summary_index=0, text=text)
            return out + self._part_event("response.reasoning_summary_part.done", part, summary_index=0, part=whole)
        if kind is PartKind.REFUSAL:
            self._refused = True
            out = self._part_event("response.refusal.done", part, content_index=0, refusal=text)
        else:
            told = write_logprobs(part.logprobs)
            out = self._part_event("response.output_text.done", part, content_index=0, text=text, logprobs=told)
        return out + self._part_event("response.content_part.done", part, content_index=0, part=_piece(part))

    def _item(self, part: _Open, status: str, signature: Signature | None) -> dict[str, Any]:
        begin = part.begin
        if begin.kind is PartKind.CALL:
            call_id = begin.id or f"call_{self._stamp.id}_{begin.index}"
            return call_item(part.item, call_id, begin.name, part.text, status)
        if begin.kind is PartKind.THINKING:
            return reasoning_item(part.item, part.text, signature)
        return message_item(part.item, status, [_piece(part)] if status == "completed" else [])

    def _finish(self, event: Finished) -> bytes:
        status, reason = ending(event.finish, refused=self._refused)
        response = response_body(self._stamp, self._model, status, reason)
        response["output"] = [self._done[place] for place in sorted(self._done)]
        response["usage"] = written_usage(event.usage or Usage())
        return self._event(f"response.{status}", response=response)

    def _fail(self, failure: Failure) -> bytes:
        _, body = envelope(Dialect.OPENAI_RESPONSES, failure, self._stamp.request_id)
        error = body["error"]
        # Flat as it is documented, and nested as OpenAI's servers send it: the SDK raises for the nested one alone.
        flat = {"code": error["code"] or error["type"], "message": error["message"], "param": error["param"]}
        out = self._event("error", **flat, error=error)
        if not self._begun:
            return out
        response = response_body(self._stamp, self._model, "failed")
        response["error"] = {"code": _CODES.get(failure.kind, "server_error"), "message": error["message"]}
        response["output"] = [self._done[place] for place in sorted(self._done)]
        return out + self._event("response.failed", response=response)


def _piece(part: _Open, *, empty: bool = False) -> dict[str, Any]:
    text = "" if empty else part.text
    return refusal_piece(text) if part.begin.kind is PartKind.REFUSAL else text_piece(text, part.logprobs)
