"""Writes a stream of chat completion chunks.

The law: `[DONE]` stands only after a whole answer; a failure is an error event, and nothing after it.
"""

from typing import Any

import msgspec

from relay_svc.dialects.answer import (
    Begin,
    Delta,
    Event,
    Failure,
    Finished,
    PartBegin,
    PartEnd,
    PartKind,
    Stamp,
    Usage,
)
from relay_svc.dialects.errors import envelope
from relay_svc.dialects.form import Dialect
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.openai_chat.shapes import FINISH_WORDS, written_usage
from relay_svc.dialects.openai_chat.writing import shown_signature
from relay_svc.dialects.openai_words import fill, write_logprobs

_FIELDS = {PartKind.TEXT: "content", PartKind.REFUSAL: "refusal", PartKind.THINKING: "reasoning_content"}


class ChatWriter:
    """Writes one stream."""

    def __init__(self, stamp: Stamp, losses: Losses, *, include_usage: bool) -> None:
        """Begin with nothing written; `include_usage` says that the client asked for the tokens."""
        self._stamp, self._losses, self._include_usage = stamp, losses, include_usage
        self._head = b""
        self._fields: dict[int, str] = {}  # open parts that are no calls
        self._calls: dict[int, int] = {}  # open calls: the index the client sees
        self._next_call = 0

    def write(self, event: Event) -> bytes:
        """Write one event; empty when this format has nothing to say of it."""
        if isinstance(event, Delta):
            return self._delta(event)
        if isinstance(event, PartBegin):
            return self._begin_part(event)
        if isinstance(event, PartEnd):
            return self._end_part(event)
        if isinstance(event, Begin):
            self._name(event.model)
            return self._chunk({"role": "assistant", "content": ""})
        if isinstance(event, Failure):
            _, body = envelope(Dialect.OPENAI_CHAT, event, self._stamp.request_id)
            return b"data: " + msgspec.json.encode(body) + b"\n\n"
        return self._finish(event)

    def _name(self, model: str) -> None:
        head = {
            "id": f"chatcmpl-{self._stamp.id}",
            "object": "chat.completion.chunk",
            "created": self._stamp.created,
            "model": model or self._stamp.model,
        }
        self._head = b"data: " + msgspec.json.encode(head)[:-1] + b',"choices":['

    def _chunk(self, delta: dict[str, Any], finish: str | None = None, logprobs: Any = None) -> bytes:
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": finish}
        if logprobs is not None:
            choice["logprobs"] = logprobs
        return self._head + msgspec.json.encode(choice) + b"]}\n\n"

    def _delta(self, delta: Delta) -> bytes:
        call = self._calls.get(delta.index)
        if call is not None:
            return self._chunk({"tool_calls": [{"index": call, "function": {"arguments": delta.text}}]})
        logprobs = {"content": write_logprobs(delta.logprobs), "refusal": None} if delta.logprobs else None
        return self._chunk({self._fields[delta.index]: delta.text}, logprobs=logprobs)

    def _begin_part(self, part: PartBegin) -> bytes:
        if part.kind is not PartKind.CALL:
            self._fields[part.index] = _FIELDS[part.kind]
            return b""
        index = self._calls[part.index] = self._next_call
        self._next_call += 1
        call: dict[str, Any] = {
            "index": index,
            "id": part.id or f"call_{self._stamp.id}_{part.index}",
            "type": "function",
            "function": {"name": part.name, "arguments": ""},
        }
        extra = shown_signature(part.signature)
        if extra is None and part.signature is not None:
            self._losses.add("thought_signature")
        fill(call, extra_content=extra)
        return self._chunk({"tool_calls": [call]})

    def _end_part(self, part: PartEnd) -> bytes:
        self._fields.pop(part.index, None)
        self._calls.pop(part.index, None)
        if part.signature is not None:
            self._losses.add("thinking.signature")
        return b""

    def _finish(self, event: Finished) -> bytes:
        last = self._chunk({}, FINISH_WORDS[event.finish])
        if self._include_usage:
            usage = msgspec.json.encode(written_usage(event.usage or Usage()))
            last += self._head + b'],"usage":' + usage + b"}\n\n"
        return last + b"data: [DONE]\n\n"
