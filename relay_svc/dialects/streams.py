"""Streams of any dialect: bytes in any chunks to events, events to bytes, and the two together.

The law: pure and bounded. Events come in the order that `answer` draws, whatever the upstream sends: one Begin first, nothing
after the last word. A stream that ends badly, or cannot be read on, ends in the client's own error event and never as if it
were whole.
"""

from collections.abc import Callable
from typing import Final, Protocol

from relay_svc.dialects.answer import Begin, Event, Failure, Finished, Stamp, Usage
from relay_svc.dialects.anthropic.stream_reading import AnthropicReader
from relay_svc.dialects.anthropic.stream_writing import AnthropicWriter
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Dialect
from relay_svc.dialects.gemini.stream import GeminiReader, GeminiWriter
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.openai_chat.stream_reading import ChatReader
from relay_svc.dialects.openai_chat.stream_writing import ChatWriter
from relay_svc.dialects.openai_responses.stream_reading import ResponsesReader
from relay_svc.dialects.openai_responses.stream_writing import ResponsesWriter
from relay_svc.dialects.sse import ArrayCutter, Cutter, EventCutter


class Writer(Protocol):
    """Writes one stream."""

    def write(self, event: Event) -> bytes:
        """Write one event; may be empty. Raises DialectFault when the answer outgrows a bound."""
        ...


class _Reader(Protocol):
    def read(self, name: str, data: bytes) -> list[Event]: ...

    def end(self, *, clean: bool) -> list[Event]: ...


_READERS: Final[dict[Dialect, Callable[[Losses], _Reader]]] = {
    Dialect.OPENAI_CHAT: ChatReader,
    Dialect.OPENAI_RESPONSES: ResponsesReader,
    Dialect.ANTHROPIC: AnthropicReader,
    Dialect.GEMINI: GeminiReader,
}


class StreamReader:
    """Reads an upstream's stream; `array` is for Gemini's JSON array."""

    def __init__(self, dialect: Dialect, losses: Losses, *, array: bool = False) -> None:
        """Begin with nothing seen."""
        self._cutter: Cutter = ArrayCutter() if array else EventCutter()
        self._reader: _Reader = _READERS[dialect](losses)
        self._begun = False
        self.over = False
        """Whether the last word was said."""

    @property
    def held(self) -> int:
        """Bytes held back of an unfinished event."""
        return self._cutter.held

    def feed(self, chunk: bytes) -> list[Event]:
        """Read what came; what cannot be read is a Failure."""
        events: list[Event] = []
        if self.over:
            return events
        try:
            for name, data in self._cutter.feed(chunk):
                if not self.over:
                    self._put_in_order(self._reader.read(name, data), events)
        except DialectFault as fault:
            self._put_in_order([Failure.broken(str(fault))], events)
        except RecursionError:
            self._put_in_order([Failure.broken("is nested too deeply")], events)
        if self._cutter.fault and not self.over:
            self._put_in_order([Failure.broken(self._cutter.fault)], events)
        return events

    def end(self, *, clean: bool) -> list[Event]:
        """Judge the stream at its end; `clean` says that HTTP's own framing was whole."""
        events: list[Event] = []
        if not self.over:
            self._put_in_order(self._reader.end(clean=clean), events)
        return events

    def _put_in_order(self, read: list[Event], events: list[Event]) -> None:
        for event in read:
            if isinstance(event, Begin):
                if self._begun:
                    continue
                self._begun = True
            elif isinstance(event, Failure):
                self.over = True
            elif not self._begun:
                self._begun = True
                events.append(Begin(""))
            events.append(event)
            if isinstance(event, Finished):
                self.over = True
            if self.over:
                return


def stream_writer(
    dialect: Dialect, stamp: Stamp, losses: Losses, *, include_usage: bool = True, array: bool = False
) -> Writer:
    """Make a writer for a client; `include_usage` is for chat completions, `array` for Gemini's JSON array."""
    if dialect is Dialect.OPENAI_CHAT:
        return ChatWriter(stamp, losses, include_usage=include_usage)
    if dialect is Dialect.OPENAI_RESPONSES:
        return ResponsesWriter(stamp, losses)
    if dialect is Dialect.ANTHROPIC:
        return AnthropicWriter(stamp, losses)
    return GeminiWriter(stamp, losses, array=array)


def stream_type(*, array: bool = False) -> bytes:
    """Give the content type of a stream."""
    return b"application/json" if array else b"text/event-stream"


class Translation:
    """An upstream's stream, as the client reads it."""

    def __init__(self, reader: StreamReader, writer: Writer, channel_id: int = 0) -> None:
        """Join the two; the channel is whose answer it is."""
        self._reader, self._writer, self._channel_id = reader, writer, channel_id
        self._sent = 0
        self.usage: Usage | None = None
        """Tokens, as far as they were told."""
        self.failure: Failure | None = None
        """Why it ended badly."""
        self.whole = False
        """Whether it ended as it should."""

    @property
    def over(self) -> bool:
        """Whether all that the client gets has been given; the rest of the upstream's answer is of no use."""
        return self.whole or self.failure is not None

    def feed(self, chunk: bytes) -> bytes:
        """Translate what came."""
        if self.over:
            return b""
        return self._write(self._reader.feed(chunk))

    def end(self, *, clean: bool) -> bytes:
        """Give what is left at the end; `clean` says that HTTP's own framing was whole."""
        if self.over:
            return b""
        return self._write(self._reader.end(clean=clean))

    def fail(self, failure: Failure) -> bytes:
        """End it by an error of the relay's own, a time limit for example."""
        if self.over:
            return b""
        self.failure = failure
        return self._writer.write(failure.placed(self._channel_id, self._sent))

    def _write(self, events: list[Event]) -> bytes:
        out = bytearray()
        try:
            for event in events:
                if isinstance(event, Begin | Finished):
                    self.usage = event.usage or self.usage
                    self.whole = isinstance(event, Finished)
                elif isinstance(event, Failure):
                    self.failure = event
                    event = event.placed(self._channel_id, self._sent + len(out))  # noqa: PLW2901 - only its words
                out += self._writer.write(event)
        except DialectFault as fault:
            self.whole = False
            self._sent += len(out)
            return bytes(out) + self.fail(Failure.broken(str(fault)))
        self._sent += len(out)
        return bytes(out)
