"""Tokens, read out of answers that pass in their own dialect.

The law: pure, bounded, and never raises: an answer that cannot be read has told no tokens. Only events that speak of tokens
are looked into.
"""

from collections.abc import Callable
from typing import Any, Final

from relay_svc.dialects.answer import Usage
from relay_svc.dialects.anthropic import shapes as anthropic
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Dialect
from relay_svc.dialects.gemini import shapes as gemini
from relay_svc.dialects.members import decoded
from relay_svc.dialects.openai_chat import shapes as chat
from relay_svc.dialects.openai_responses import shapes as responses
from relay_svc.dialects.sse import ArrayCutter, Cutter, EventCutter

_WORD: Final = b'"usage'  # of Gemini's `usageMetadata` too


def read_usage(dialect: Dialect, body: bytes) -> Usage | None:
    """Read the tokens of a whole answer; None when it tells none."""
    try:
        return _WHOLE[dialect](body)
    except (DialectFault, RecursionError):
        return None


_WHOLE: Final[dict[Dialect, Callable[[bytes], Usage | None]]] = {
    Dialect.OPENAI_CHAT: lambda body: chat.usage_of(decoded(chat.CHUNK.decode, body).usage),
    Dialect.OPENAI_RESPONSES: lambda body: responses.usage_of(decoded(responses.RESPONSE.decode, body).usage),
    Dialect.ANTHROPIC: lambda body: anthropic.usage_of(decoded(anthropic.MESSAGE.decode, body).usage),
    Dialect.GEMINI: lambda body: gemini.usage_of(decoded(gemini.RESPONSE.decode, body).usage_metadata),
}


class UsageWatch:
    """Reads the tokens of a stream that passes."""

    def __init__(self, dialect: Dialect, *, array: bool = False) -> None:
        """Begin with nothing seen."""
        self._dialect = dialect
        self._cutter: Cutter = ArrayCutter() if array else EventCutter()
        self._anthropic = anthropic.UsageShape()
        self.usage: Usage | None = None
        """The tokens, as far as they were told."""

    def feed(self, chunk: bytes) -> None:
        """Look at what passes."""
        for _, data in self._cutter.feed(chunk):
            if _WORD in data:
                self._look(data)

    def _look(self, data: bytes) -> None:
        if self._dialect is Dialect.OPENAI_RESPONSES:
            response = _shape(responses.EVENT, data, "response")
            self.usage = responses.usage_of(response.usage if response else None) or self.usage
        elif self._dialect is Dialect.ANTHROPIC:
            self._look_anthropic(data)
        else:
            self.usage = read_usage(self._dialect, data) or self.usage

    def _look_anthropic(self, data: bytes) -> None:
        message = _shape(anthropic.EVENT, data, "message")
        for shape in (message.usage if message else None, _shape(anthropic.EVENT, data, "usage")):
            if shape is not None:
                self._anthropic = anthropic.merged(self._anthropic, shape)
                self.usage = anthropic.usage_of(self._anthropic)


def _shape(decoder: Any, data: bytes, member: str) -> Any:
    try:
        return getattr(decoded(decoder.decode, data), member)
    except DialectFault:
        return None


class HiddenUsage:
    """Passes a stream of chat completion chunks without the last chunk of tokens, which the client had not asked for."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._cutter = EventCutter()
        self.usage: Usage | None = None
        """The tokens, as far as they were told."""

    def feed(self, chunk: bytes) -> bytes:
        """Give the events that are whole now and are the client's business."""
        out = bytearray()
        for name, data in self._cutter.feed(chunk):
            if _WORD in data and self._is_usage(data):
                continue
            out += b"event: %s\n" % name.encode() if name else b""
            out += b"".join(b"data: %s\n" % line for line in data.split(b"\n")) + b"\n"
        return bytes(out)

    def _is_usage(self, data: bytes) -> bool:
        try:
            chunk = decoded(chat.CHUNK.decode, data)
        except DialectFault:
            return False
        self.usage = chat.usage_of(chunk.usage) or self.usage
        return chunk.usage is not None and not chunk.choices and chunk.error is None
