"""Watches an upstream's answer go by: whether it ended as it should, and the tokens it says it used.

The law: pure, and bytes pass unchanged. Of an event stream only whole events pass; what is begun is held back until its end
comes, so that a stream that breaks can be ended by an error event that every client can read. Memory is bounded: the last
few kilobytes are kept for the ending, an event is held back up to a limit.

An event stream is whole when its last events say so: `[DONE]`; or, when the upstream closed properly, a finish reason, since
some upstreams never say `[DONE]`. Anything else is an answer cut short, which a client must not take for a whole one.
"""

import json
import re
from typing import Annotated, Final, Protocol

import msgspec

from relay_svc.plan import NO_USAGE, Unshown, Usage
from relay_svc.usage_asked import hides, without_usage

TAIL: Final = 8192
"""Bytes of an answer's end that are looked at: the last chunk of a stream, or the members after the choices."""
_FULL: Final = 2 * TAIL
"""Bytes at which what has gathered is cut back to the tail."""
MAX_HELD: Final = 256 << 10
"""Most bytes of one event that are held back; an event beyond it passes as it comes."""

_DONE: Final = b"[DONE]"
_BEFORE_DONE: Final = (b"\ndata: ", b"\rdata: ", b"\ndata:", b"\rdata:")
_ERROR: Final = re.compile(rb'(?:^|[\r\n])(?:event: ?error[\r\n]|data: ?\{\s*"error")')
_FINISHED: Final = re.compile(rb'"(?:finish_reason|finishReason)"\s*:\s*"')
_USAGE: Final = re.compile(rb'"usage"\s*:\s*(?=\{)')
_BOUNDARIES: Final = (b"\n\n", b"\n\r\n", b"\r\r")
_WHOLE: Final = tuple(boundary + b"\r\n" for boundary in _BOUNDARIES)
"""How a chunk of HTTP/1.1 ends whose last event is whole."""
_LONGEST_BOUNDARY: Final = 3
_DECODER: Final = json.JSONDecoder()


class Ending(Unshown, frozen=True):
    """How an answer ended: bytes still to be sent, whether it is whole, and whether the upstream itself said it failed."""

    rest: bytes
    whole: bool
    told: bool = False


class Watch(Protocol):
    """Watches one answer."""

    @property
    def over(self) -> bool:
        """Whether the client has been given all there is, whatever the upstream still sends."""
        ...

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes from the upstream; give those that go to the client now."""
        ...

    def end(self, *, clean: bool) -> Ending:
        """Judge the answer once it ended; `clean` says that HTTP's own framing was whole."""
        ...

    def usage(self) -> Usage:
        """Tell the tokens used, as far as the end of the answer shows them."""
        ...


class _Passing:
    """What passes, of which the last bytes are kept."""

    __slots__ = ("_chunks", "_size")

    over = False

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._chunks: list[bytes] = []
        self._size = 0

    def _keep(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > _FULL:  # let go of what lies before the tail
            kept = self._tail()
            self._chunks, self._size = [kept], len(kept)

    def _tail(self) -> bytes:
        return (self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks))[-TAIL:]


class PlainBody(_Passing):
    """An answer that is no event stream: whole when HTTP's framing says so."""

    __slots__ = ()

    def feed(self, chunk: bytes) -> bytes:
        """Pass everything."""
        self._keep(chunk)
        return chunk

    def passes(self, chunk: bytes, start: int) -> bool:
        """Take `chunk[start:-2]`, which passes as the whole chunk of HTTP/1.1 that it came in: everything does."""
        self._keep(chunk[start:-2])
        return True

    def end(self, *, clean: bool) -> Ending:
        """Believe the framing."""
        return Ending(b"", whole=clean)

    def usage(self) -> Usage:
        """Read the tokens from the body's last members."""
        return _usage_in(self._tail())


class EventStream(_Passing):
    """A stream of server-sent events, of which only whole ones pass."""

    __slots__ = ("_held", "_hides_usage")

    def __init__(self, *, hides_usage: bool = False) -> None:
        """Begin with nothing seen; `hides_usage` of chat chunks from a client that did not ask for it."""
        super().__init__()
        self._held = bytearray()
        self._hides_usage = hides_usage

    def feed(self, chunk: bytes) -> bytes:
        """Pass the events that are whole now."""
        if not self._held and chunk.endswith(b"\n\n"):
            self._keep(chunk)
            return without_usage(chunk) if self._hides_usage else chunk
        seen = max(0, len(self._held) - _LONGEST_BOUNDARY)
        self._held += chunk
        cut = max(_end_of_last(self._held, boundary, seen) for boundary in _BOUNDARIES)
        if not cut and len(self._held) > MAX_HELD:
            cut = len(self._held)
        out = bytes(self._held[:cut])
        del self._held[:cut]
        if out:
            self._keep(out)
        return without_usage(out) if self._hides_usage else out

    def passes(self, chunk: bytes, start: int) -> bool:  # noqa: ARG002 - what frames events may lie among them
        """As `PlainBody.passes`, if it is whole events and nothing is hidden: nearly always. Else it is still to be fed."""
        if self._held or not chunk.endswith(_WHOLE) or (self._hides_usage and hides(chunk)):
            return False
        self._keep(chunk)
        return True

    def end(self, *, clean: bool) -> Ending:
        """Judge by the last events; an unfinished one is dropped unless it says that all is done."""
        held = bytes(self._held)
        text = self._tail() + held
        if self._hides_usage:
            held = without_usage(held)
        # The pattern after its own plain word: looking for a word in 8 KB takes 1 µs, for such a pattern 30.
        if b"error" in text and _ERROR.search(text):
            return Ending(held if clean else b"", whole=clean, told=True)
        if _says_done(text) or (clean and _FINISHED.search(text)):
            return Ending(held, whole=True)
        return Ending(b"", whole=False)

    def usage(self) -> Usage:
        """Read the tokens from the last events."""
        return _usage_in(self._tail())


Passing = PlainBody | EventStream
"""What watches an answer of which whole chunks may go to the client as they came."""


def _says_done(text: bytes) -> bool:
    """Tell whether a line is `data: [DONE]`; it is nearly always the last."""
    place = text.rfind(_DONE)
    while place >= 0:
        before = text[max(0, place - 7) : place]
        if before.endswith(_BEFORE_DONE) or before in (b"data: ", b"data:"):  # a line's start, or the text's
            return True
        place = text.rfind(_DONE, 0, place)
    return False


def _end_of_last(data: bytearray, boundary: bytes, start: int) -> int:
    found = data.rfind(boundary, start)
    return 0 if found < 0 else found + len(boundary)


def _usage_in(tail: bytes) -> Usage:
    place = len(tail)
    while (place := tail.rfind(b'"usage"', 0, place)) >= 0:
        if match := _USAGE.match(tail, place):
            return _usage_at(tail, match.end())
    return NO_USAGE


_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class _Flat(msgspec.Struct):
    """What a usage object without objects in it holds nearly always; a tenth of the general reader's time."""

    prompt_tokens: _Count | None = None
    input_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    output_tokens: _Count | None = None


_FLAT: Final = msgspec.json.Decoder(_Flat)


def _usage_at(tail: bytes, start: int) -> Usage:
    end = tail.find(b"}", start) + 1
    if tail.find(b"{", start + 1, end) < 0:
        try:
            flat = _FLAT.decode(tail[start:end])
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # a count that is none, or no JSON: the general reader takes what it can
        else:
            into = flat.input_tokens if flat.prompt_tokens is None else flat.prompt_tokens
            out = flat.output_tokens if flat.completion_tokens is None else flat.completion_tokens
            return Usage(into or 0, out or 0)
    try:
        usage, _ = _DECODER.raw_decode(tail[start:].decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return NO_USAGE
    return Usage(
        _first_count(usage.get("prompt_tokens"), usage.get("input_tokens")),
        _first_count(usage.get("completion_tokens"), usage.get("output_tokens")),
    )


def _first_count(*values: object) -> int:
    for value in values:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53:
            return value
    return 0
