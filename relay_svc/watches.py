"""Which watch an answer gets that passes as it is: each format's streams end in words of their own.

    openai-chat          `[DONE]`, or a finish reason and a proper close            (`answers.EventStream`)
    openai-responses     `response.completed`, `.incomplete`; `.failed` is an error
    anthropic-messages   `message_stop`
    gemini               a finish reason, or the refusal of the prompt, and a proper close
    openai's others      `[DONE]`, a finish reason, or an event named `….completed` or `….done`, and a proper close

The law: pure, and that of `answers`. What is looked for stands in JSON with its quotes, which text within an answer cannot
hold: there they are escaped.
"""

import re
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from relay_svc.answers import Ending, EventStream, PlainBody, Watch
from relay_svc.operations import Format
from relay_svc.plan import NO_USAGE, Usage

_T = TypeVar("_T")
_STOPPED: Final = re.compile(rb'"type"\s*:\s*"message_stop"')
_ANTHROPIC_ERROR: Final = re.compile(rb'(?:^|[\r\n])data: ?\{\s*"type"\s*:\s*"error"')
_LAST_WORD: Final = re.compile(rb'"type"\s*:\s*"[a-z_.]+\.(?:completed|done)"')
_REFUSED: Final = re.compile(rb'"blockReason"\s*:\s*"')
_HEAD: Final = 4096
"""Bytes of a stream's beginning that are looked at for its first count of tokens."""
_GEMINI_USAGE: Final = re.compile(rb'"usageMetadata"\s*:\s*(?=\{)')
_OBJECT_END: Final = 4096  # bytes of one that are looked at
_OPENS: Final = ord("{")
_CLOSES: Final = ord("}")


class Counts(msgspec.Struct, rename="camel"):
    """Gemini's count of tokens."""

    prompt_token_count: int = 0
    tool_use_prompt_token_count: int = 0
    candidates_token_count: int = 0
    thoughts_token_count: int = 0


class _Anthropic(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


_COUNTS: Final = msgspec.json.Decoder(Counts)
_ANTHROPIC: Final = msgspec.json.Decoder(_Anthropic)
_ANTHROPIC_USAGE: Final = re.compile(rb'"usage"\s*:\s*(?=\{)')


def _gemini_usage(tail: bytes) -> Usage:
    counts = _last(tail, _GEMINI_USAGE, _COUNTS, b'"usageMetadata"')
    if counts is None:
        return NO_USAGE
    return Usage(
        max(0, counts.prompt_token_count + counts.tool_use_prompt_token_count),
        max(0, counts.candidates_token_count + counts.thoughts_token_count),
    )


def _anthropic_usage(*texts: bytes) -> Usage:
    """Read the counts of the beginning and of the end: each tells what it knows."""
    into = out = 0
    for text in texts:
        counts = _last(text, _ANTHROPIC_USAGE, _ANTHROPIC, b'"usage"')
        if counts is not None:
            cached = (counts.cache_read_input_tokens or 0) + (counts.cache_creation_input_tokens or 0)
            into = max(into, (counts.input_tokens or 0) + cached)
            out = max(out, counts.output_tokens or 0)
    return Usage(into, out) if into or out else NO_USAGE


def _last(text: bytes, pattern: re.Pattern[bytes], decoder: msgspec.json.Decoder[_T], word: bytes) -> _T | None:
    place = len(text)
    while (place := text.rfind(word, 0, place)) >= 0:
        if match := pattern.match(text, place):
            try:
                return decoder.decode(_object_at(text, match.end()))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                return None
    return None


def _object_at(text: bytes, start: int) -> bytes:
    """Cut one object out; counts hold no strings with braces in them."""
    depth = 0
    for place in range(start, min(len(text), start + _OBJECT_END)):
        if text[place] == _OPENS:
            depth += 1
        elif text[place] == _CLOSES:
            depth -= 1
            if not depth:
                return text[start : place + 1]
    return b""


def _tells_error(text: bytes) -> bool:
    return b'"error"' in text and _ANTHROPIC_ERROR.search(text) is not None  # the word costs a thirtieth of the pattern


class _OtherBody(PlainBody):
    """A whole answer of another family."""

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[bytes], Usage]) -> None:
        super().__init__()
        self._read = read

    def usage(self) -> Usage:
        return self._read(self._tail())


class _AnthropicStream(EventStream):
    __slots__ = ("_head",)

    def __init__(self) -> None:
        super().__init__()
        self._head = b""

    def feed(self, chunk: bytes) -> bytes:
        out = super().feed(chunk)
        if len(self._head) < _HEAD:
            self._head += out[:_HEAD]
        return out

    def passes(self, chunk: bytes, start: int) -> bool:
        return len(self._head) >= _HEAD and super().passes(chunk, start)

    def end(self, *, clean: bool) -> Ending:
        held = bytes(self._held)
        text = self._tail() + held
        if _tells_error(text):
            return Ending(held if clean else b"", whole=clean, told=True)
        if _STOPPED.search(text):
            return Ending(held, whole=True)
        return Ending(b"", whole=False)

    def usage(self) -> Usage:
        return _anthropic_usage(self._head, self._tail())


class _ResponsesStream(EventStream):
    """The last event holds the whole answer, so it may be longer than any tail: it is looked for as it passes."""

    __slots__ = ("_failed", "_last_word", "_over")

    def __init__(self) -> None:
        super().__init__()
        self._over = self._failed = False
        self._last_word = b""

    def feed(self, chunk: bytes) -> bytes:
        self._look(chunk)
        return super().feed(chunk)

    def passes(self, chunk: bytes, start: int) -> bool:
        passes = super().passes(chunk, start)
        if passes:
            self._look(chunk)
        return passes

    def _look(self, chunk: bytes) -> None:
        # With what came before: the word may stand across two chunks.
        text = self._last_word + chunk
        self._over = self._over or b'"response.completed"' in text or b'"response.incomplete"' in text
        self._failed = self._failed or b'"response.failed"' in text or _tells_error(text)
        self._last_word = text[-24:]

    def end(self, *, clean: bool) -> Ending:
        held = bytes(self._held)
        if self._failed:
            return Ending(held if clean else b"", whole=clean, told=True)
        # What is held is an event that lacks its end: the last word of one that broke off is no last word.
        return (
            Ending(held if clean else b"", whole=True)
            if self._over and (clean or not held)
            else Ending(b"", whole=False)
        )


class _GeminiStream(EventStream):
    __slots__ = ()

    def end(self, *, clean: bool) -> Ending:
        ending = super().end(clean=clean)
        if not ending.whole and not ending.told and clean and _REFUSED.search(self._tail()):
            return Ending(bytes(self._held), whole=True)
        return ending

    def usage(self) -> Usage:
        return _gemini_usage(self._tail())


class _OtherStream(EventStream):
    __slots__ = ()

    def end(self, *, clean: bool) -> Ending:
        ending = super().end(clean=clean)
        if not ending.whole and not ending.told and clean and _LAST_WORD.search(self._tail()):
            return Ending(bytes(self._held), whole=True)
        return ending


_STREAMS: Final[dict[Format, type[EventStream]]] = {
    Format.OPENAI_CHAT: EventStream,
    Format.OPENAI_RESPONSES: _ResponsesStream,
    Format.ANTHROPIC: _AnthropicStream,
    Format.GEMINI: _GeminiStream,
}
_USAGES: Final[dict[Format, Callable[[bytes], Usage]]] = {
    Format.ANTHROPIC: _anthropic_usage,
    Format.GEMINI: _gemini_usage,
}


def watch(written: Format, content_type: bytes, content_encoding: bytes, *, hides_usage: bool = False) -> Watch:
    """Choose the watch for an answer; a compressed one cannot be read, so only its framing is judged."""
    if content_type[:17].lower() == b"text/event-stream" and content_encoding in (b"", b"identity"):
        return EventStream(hides_usage=True) if hides_usage else _STREAMS.get(written, _OtherStream)()
    read = _USAGES.get(written)
    return PlainBody() if read is None else _OtherBody(read)
