"""Reads a stream of message events.

The law: the stream is whole at `message_stop` and not before. Bounded: of what went by,
numbers are kept, and the proofs of open blocks.
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
)
from relay_svc.dialects.anthropic.shapes import (
    EVENT,
    REDACTED,
    Block,
    EventShape,
    UsageShape,
    finish_of,
    merged,
    usage_of,
)
from relay_svc.dialects.errors import failure_of
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Dialect
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import decoded, encode

MAX_OPEN: Final = 512
"""Most blocks open at a time."""
_LONGEST_SIGNATURE: Final = 1 << 20
_KINDS: Final = {
    "text": PartKind.TEXT,
    "thinking": PartKind.THINKING,
    "redacted_thinking": PartKind.THINKING,
    "tool_use": PartKind.CALL,
}


class AnthropicReader:
    """Reads one stream."""

    def __init__(self, losses: Losses) -> None:
        """Begin with nothing seen."""
        self._losses = losses
        self._over = False
        self._next = 0
        self._open: dict[int, int] = {}  # the upstream's index: ours
        self._signatures: dict[int, str] = {}
        self._usage = UsageShape()
        self._finish: Finish | None = None
        self._stop_sequence = ""

    def read(self, _name: str, data: bytes) -> list[Event]:
        """Read one event. Raises DialectFault."""
        if self._over:
            return []
        event = decoded(EVENT.decode, data)
        reader = _READERS.get(event.type)
        return reader(self, event) if reader else []  # `ping`, and what is newer than this

    def end(self, *, clean: bool) -> list[Event]:
        """Judge the stream at its end: nothing more when it is whole, otherwise a failure that says so."""
        if self._over:
            return []
        self._over = True
        return [Failure.cut_short(clean=clean)]

    def _begin(self, event: EventShape) -> list[Event]:
        message = event.message
        if message is None:
            raise DialectFault("message", "must be an object")
        self._usage = merged(self._usage, message.usage)
        return [Begin(message.model or "", usage_of(self._usage))]

    def _begin_block(self, event: EventShape) -> list[Event]:
        block = event.content_block
        if block is None:
            raise DialectFault("content_block", "must be an object")
        kind = _KINDS.get(block.type)
        if kind is None:
            self._losses.unknown("content", block.type)
            return []
        if len(self._open) >= MAX_OPEN or event.index in self._open:
            raise DialectFault("index", "must be of a new block")
        index = self._open[event.index] = self._next
        self._next += 1
        if kind is PartKind.CALL and not block.name:
            raise DialectFault("content_block.name", "must be a string")
        if block.data:
            self._signatures[index] = REDACTED + block.data
        begin = PartBegin(index, kind, block.id or "", block.name or "")
        first = _first_text(block)
        return [begin, Delta(index, first)] if first else [begin]

    def _delta(self, event: EventShape) -> list[Event]:
        index, delta = self._open.get(event.index), event.delta
        if delta is None:
            raise DialectFault("delta", "must be an object")
        if index is None:
            return []  # of a block that is not carried
        if delta.type == "signature_delta":
            signature = self._signatures.get(index, "") + (delta.signature or "")
            if len(signature) > _LONGEST_SIGNATURE:
                raise DialectFault("delta.signature", "is too long")
            self._signatures[index] = signature
            return []
        text = delta.text or delta.thinking or delta.partial_json
        if not text and delta.type == "citations_delta":
            self._losses.add("citations")
        return [Delta(index, text)] if text else []

    def _end_block(self, event: EventShape) -> list[Event]:
        index = self._open.pop(event.index, None)
        if index is None:
            return []
        return [PartEnd(index, signatures.known(self._signatures.pop(index, ""), Dialect.ANTHROPIC))]

    def _message_delta(self, event: EventShape) -> list[Event]:
        self._usage = merged(self._usage, event.usage)
        delta = event.delta
        if delta is None or delta.stop_reason is None:
            return []
        self._finish = finish_of(delta.stop_reason, self._losses)
        self._stop_sequence = delta.stop_sequence or ""
        if delta.stop_details is None or not delta.stop_details.explanation:
            return []
        index, self._next = self._next, self._next + 1
        return [PartBegin(index, PartKind.REFUSAL), Delta(index, delta.stop_details.explanation), PartEnd(index)]

    def _stop(self, _event: EventShape) -> list[Event]:
        self._over = True
        if self._finish is None:
            return [Failure.cut_short(clean=True)]
        events: list[Event] = [PartEnd(index) for index in self._open.values()]
        return [*events, Finished(self._finish, usage_of(self._usage), self._stop_sequence)]

    def _fail(self, event: EventShape) -> list[Event]:
        self._over = True
        return [failure_of(event.error if type(event.error) is dict else {})]


_READERS: Final = {
    "message_start": AnthropicReader._begin,  # noqa: SLF001 - a table of the class above
    "content_block_start": AnthropicReader._begin_block,  # noqa: SLF001
    "content_block_delta": AnthropicReader._delta,  # noqa: SLF001
    "content_block_stop": AnthropicReader._end_block,  # noqa: SLF001
    "message_delta": AnthropicReader._message_delta,  # noqa: SLF001
    "message_stop": AnthropicReader._stop,  # noqa: SLF001
    "error": AnthropicReader._fail,  # noqa: SLF001
}


def _first_text(block: Block) -> str:
    if block.type == "tool_use":
        return encode(block.input).decode() if block.input else ""
    return block.text or block.thinking or ""
