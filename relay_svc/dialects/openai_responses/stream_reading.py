"""Reads a stream of response events.

The law: the stream is whole at `response.completed` or `response.incomplete`. What the deltas have told is not taken
again from the events that repeat it. Bounded: numbers are kept of what went by, no text.
"""

from typing import Final

from relay_svc.dialects.answer import (
    Begin,
    Delta,
    Event,
    Failure,
    Finished,
    PartBegin,
    PartEnd,
    PartKind,
)
from relay_svc.dialects.errors import failure_of
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import decode, decoded
from relay_svc.dialects.openai_responses.answers import failure_in
from relay_svc.dialects.openai_responses.items import signature_of
from relay_svc.dialects.openai_responses.shapes import EVENT, EventShape, finish_of, usage_of
from relay_svc.dialects.openai_words import read_logprobs

MAX_OPEN: Final = 512
"""Most parts open at a time."""
_ITEM_KINDS: Final = {"function_call": PartKind.CALL, "reasoning": PartKind.THINKING}
_PIECE_KINDS: Final = {"output_text": PartKind.TEXT, "refusal": PartKind.REFUSAL}

_Key = tuple[int, int]
"""An item's place, and a piece's place in it; -1 for the item itself."""


class ResponsesReader:
    """Reads one stream."""

    def __init__(self, losses: Losses) -> None:
        """Begin with nothing seen."""
        self._losses = losses
        self._begun = self._over = self._called = False
        self._next = 0
        self._open: dict[_Key, int] = {}
        self._summaries: dict[_Key, int] = {}  # the last summary of each reasoning item

    def read(self, _name: str, data: bytes) -> list[Event]:
        """Read one event. Raises DialectFault."""
        if self._over:
            return []
        event = decoded(EVENT.decode, data)
        if event.type == "error":
            self._over = True
            error = event.error if type(event.error) is dict else decode(data)
            return [failure_of({**error, "type": None} if error is not event.error else error)]
        reader = _READERS.get(event.type)
        return reader(self, event) if reader else []

    def end(self, *, clean: bool) -> list[Event]:
        """Judge the stream at its end: nothing more when it is whole, otherwise a failure that says so."""
        if self._over:
            return []
        self._over = True
        return [Failure.cut_short(clean=clean)]

    def _created(self, event: EventShape) -> list[Event]:
        if self._begun:
            return []
        self._begun = True
        return [Begin((event.response.model if event.response else None) or "")]

    def _item_added(self, event: EventShape) -> list[Event]:
        item = event.item
        if item is None:
            raise DialectFault("item", "must be an object")
        if item.type == "message":
            return []
        kind = _ITEM_KINDS.get(item.type)
        if kind is None:
            self._losses.unknown("output", item.type)
            return []
        if kind is PartKind.CALL:
            if not item.name:
                raise DialectFault("item.name", "must be a string")
            self._called = True
        return self._begin((event.output_index, -1), kind, item.call_id or "", item.name or "")

    def _begin(self, key: _Key, kind: PartKind, id_: str = "", name: str = "") -> list[Event]:
        if len(self._open) >= MAX_OPEN or key in self._open:
            raise DialectFault("output_index", "must be of a new item")
        index = self._open[key] = self._next
        self._next += 1
        return [PartBegin(index, kind, id_, name)]

    def _piece_added(self, event: EventShape) -> list[Event]:
        kind = _PIECE_KINDS.get(event.part.type) if event.part else None
        return self._begin((event.output_index, event.content_index), kind) if kind else []

    def _piece_delta(self, event: EventShape) -> list[Event]:
        key = (event.output_index, event.content_index)
        events: list[Event] = []
        if key not in self._open:  # some servers do not announce pieces
            refusal = event.type == "response.refusal.delta"
            events = self._begin(key, PartKind.REFUSAL if refusal else PartKind.TEXT)
        if event.delta:
            events.append(Delta(self._open[key], event.delta, read_logprobs(event.logprobs)))
        return events

    def _piece_done(self, event: EventShape) -> list[Event]:
        if event.part is not None and event.part.annotations:
            self._losses.add("annotations")
        index = self._open.pop((event.output_index, event.content_index), None)
        return [] if index is None else [PartEnd(index)]

    def _item_delta(self, event: EventShape) -> list[Event]:
        index = self._open.get((event.output_index, -1))
        return [] if index is None or not event.delta else [Delta(index, event.delta)]

    def _summary_delta(self, event: EventShape) -> list[Event]:
        key = (event.output_index, -1)
        index = self._open.get(key)
        if index is None or not event.delta:
            return []
        before = self._summaries.setdefault(key, event.summary_index)
        self._summaries[key] = event.summary_index
        return [Delta(index, event.delta if before == event.summary_index else "\n\n" + event.delta)]

    def _item_done(self, event: EventShape) -> list[Event]:
        index = self._open.pop((event.output_index, -1), None)
        self._summaries.pop((event.output_index, -1), None)
        if index is None or event.item is None:
            return []
        return [PartEnd(index, signature_of(event.item.id or "", event.item.encrypted_content or ""))]

    def _finished(self, event: EventShape) -> list[Event]:
        if event.response is None:
            raise DialectFault("response", "must be an object")
        self._over = True
        finish = finish_of(event.response, self._losses, calls=self._called)
        events: list[Event] = [] if self._begun else [Begin(event.response.model or "")]
        events.extend(PartEnd(index) for index in self._open.values())
        return [*events, Finished(finish, usage_of(event.response.usage))]

    def _failed(self, event: EventShape) -> list[Event]:
        self._over = True
        return [failure_in(event.response) if event.response else Failure.cut_short(clean=True)]


_READERS: Final = {
    "response.created": ResponsesReader._created,  # noqa: SLF001 - a table of the class above
    "response.in_progress": ResponsesReader._created,  # noqa: SLF001
    "response.output_item.added": ResponsesReader._item_added,  # noqa: SLF001
    "response.output_item.done": ResponsesReader._item_done,  # noqa: SLF001
    "response.content_part.added": ResponsesReader._piece_added,  # noqa: SLF001
    "response.content_part.done": ResponsesReader._piece_done,  # noqa: SLF001
    "response.output_text.delta": ResponsesReader._piece_delta,  # noqa: SLF001
    "response.refusal.delta": ResponsesReader._piece_delta,  # noqa: SLF001
    "response.function_call_arguments.delta": ResponsesReader._item_delta,  # noqa: SLF001
    "response.reasoning_text.delta": ResponsesReader._item_delta,  # noqa: SLF001
    "response.reasoning_summary_text.delta": ResponsesReader._summary_delta,  # noqa: SLF001
    "response.completed": ResponsesReader._finished,  # noqa: SLF001
    "response.incomplete": ResponsesReader._finished,  # noqa: SLF001
    "response.failed": ResponsesReader._failed,  # noqa: SLF001
    "response.cancelled": ResponsesReader._failed,  # noqa: SLF001
}
