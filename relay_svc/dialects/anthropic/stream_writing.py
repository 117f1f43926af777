"""Writes a stream of message events.

The law: `message_stop` stands only after a whole answer; a failure is an `error` event, and nothing after it.
"""

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
from relay_svc.dialects.anthropic.shapes import FINISH_WORDS, written_usage
from relay_svc.dialects.errors import envelope
from relay_svc.dialects.form import Dialect
from relay_svc.dialects.losses import Losses

_DELTAS: Final = {
    PartKind.TEXT: ("text_delta", "text"),
    PartKind.REFUSAL: ("text_delta", "text"),
    PartKind.THINKING: ("thinking_delta", "thinking"),
    PartKind.CALL: ("input_json_delta", "partial_json"),
}


class AnthropicWriter:
    """Writes one stream."""

    def __init__(self, stamp: Stamp, losses: Losses) -> None:
        """Begin with nothing written."""
        self._stamp, self._losses = stamp, losses
        self._open: dict[int, PartKind] = {}
        self._refused = False

    def write(self, event: Event) -> bytes:
        """Write one event."""
        if isinstance(event, Delta):
            return self._delta(event)
        if isinstance(event, PartBegin):
            return self._begin_part(event)
        if isinstance(event, PartEnd):
            return self._end_part(event)
        if isinstance(event, Begin):
            return self._begin(event)
        if isinstance(event, Failure):
            _, body = envelope(Dialect.ANTHROPIC, event, self._stamp.request_id)
            return _event("error", body)
        return self._finish(event)

    def _begin(self, event: Begin) -> bytes:
        message: dict[str, Any] = {
            "id": f"msg_{self._stamp.id}",
            "type": "message",
            "role": "assistant",
            "model": event.model or self._stamp.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": written_usage(event.usage or Usage()),  # most upstreams tell it only at the end
        }
        return _event("message_start", {"type": "message_start", "message": message})

    def _begin_part(self, part: PartBegin) -> bytes:
        self._open[part.index] = part.kind
        block: dict[str, Any]
        if part.kind is PartKind.CALL:
            if part.signature is not None:
                self._losses.add("thought_signature")
            id_ = part.id or f"toolu_{self._stamp.id}_{part.index}"
            block = {"type": "tool_use", "id": id_, "name": part.name, "input": {}}
        elif part.kind is PartKind.THINKING:
            block = {"type": "thinking", "thinking": "", "signature": ""}
        else:
            self._refused |= part.kind is PartKind.REFUSAL
            block = {"type": "text", "text": ""}
        body = {"type": "content_block_start", "index": part.index, "content_block": block}
        return _event("content_block_start", body)

    def _delta(self, delta: Delta) -> bytes:
        if delta.logprobs:
            self._losses.add("logprobs")
        type_, member = _DELTAS[self._open[delta.index]]
        return _delta_event(delta.index, {"type": type_, member: delta.text})

    def _end_part(self, part: PartEnd) -> bytes:
        signed = b""
        if self._open.pop(part.index) is PartKind.THINKING:
            signature = signatures.shown(part.signature, Dialect.ANTHROPIC) or signatures.UNSIGNED
            signed = _delta_event(part.index, {"type": "signature_delta", "signature": signature})
        return signed + _event("content_block_stop", {"type": "content_block_stop", "index": part.index})

    def _finish(self, event: Finished) -> bytes:
        finish = Finish.REFUSAL if self._refused and event.finish is Finish.STOP else event.finish
        delta = {"stop_reason": FINISH_WORDS[finish], "stop_sequence": event.stop_sequence or None}
        body = {"type": "message_delta", "delta": delta, "usage": written_usage(event.usage or Usage())}
        return _event("message_delta", body) + _event("message_stop", {"type": "message_stop"})


def _delta_event(index: int, delta: dict[str, Any]) -> bytes:
    return _event("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta})


def _event(name: str, body: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(body))
