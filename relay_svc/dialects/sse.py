"""Cuts a byte stream into what it carries: server-sent events, or the elements of one JSON array.

The law: pure, any chunking gives the same pieces, and no more than one unfinished piece is held, up to a bound. A piece that
grows beyond it, or what is no array, is told as a fault beside the pieces before it, and ends the cutting. An event is given
when its blank line is here; one that the stream ended in the middle of is not given at all, as the standard says.
"""

import re
from typing import Final, Protocol

MAX_PIECE: Final = 16 << 20
"""Most bytes of one event or element: images come whole in one."""

Piece = tuple[str, bytes]
"""An event's name (empty for none) and its data."""

_EVENT_NAMES: Final = 64  # longest name kept, in bytes
_LINE_COST: Final = 64  # bytes that a line takes beside its own


class Cutter(Protocol):
    """Cuts a stream."""

    fault: str
    """What is wrong with the stream; empty as long as nothing is."""

    def feed(self, chunk: bytes) -> list[Piece]:
        """Give the pieces that are whole now."""
        ...

    @property
    def held(self) -> int:
        """Bytes of an unfinished piece."""
        ...


class EventCutter:
    """Cuts server-sent events."""

    __slots__ = ("_begun", "_data", "_held", "_name", "_size", "_skip_newline", "fault")

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._held = bytearray()  # a line that has no end yet
        self._data: list[bytes] = []
        self._size = 0  # of the data, with what keeping a line costs
        self._name = ""
        self._skip_newline = False
        self._begun = False
        self.fault = ""

    @property
    def held(self) -> int:
        """Bytes of an unfinished event."""
        return self._size + len(self._held)

    @property
    def between(self) -> bool:
        """Whether nothing of the next event has come yet."""
        return not (self._held or self._data or self._name)

    def feed(self, chunk: bytes) -> list[Piece]:
        """Give the events that are whole now."""
        if not chunk or self.fault:
            return []
        if self._skip_newline and chunk.startswith(b"\n"):  # the second half of a line's end
            chunk = chunk[1:]
        self._skip_newline = False
        pieces: list[Piece] = []
        if b"\n" in chunk or b"\r" in chunk:
            lines = (bytes(self._held) + chunk if self._held else chunk).splitlines(keepends=True)
            self._skip_newline = lines[-1].endswith(b"\r")
            self._held.clear()
            if not lines[-1].endswith((b"\n", b"\r")):
                self._held += lines.pop()
            for line in lines:
                self._line(line.rstrip(b"\r\n"), pieces)
        else:
            self._held += chunk
        if self.held > MAX_PIECE:
            self.fault = f"has an event longer than {MAX_PIECE} bytes"
            self._held.clear()
        return pieces

    def _line(self, line: bytes, pieces: list[Piece]) -> None:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            if self._data:
                pieces.append((self._name, b"\n".join(self._data)))
            self._data, self._name, self._size = [], "", 0
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + _LINE_COST
        elif name == b"event":
            self._name = value[:_EVENT_NAMES].decode("utf-8", "replace")


_MARKS: Final = re.compile(rb'[][{}"\\]')
_IN_STRING: Final = re.compile(rb'["\\]')
_BETWEEN: Final = b" \t\r\n,"


class ArrayCutter:
    """Cuts the objects out of one JSON array, which is how Gemini streams without `alt=sse`."""

    __slots__ = ("_depth", "_ended", "_escaped", "_held", "_opened", "_string", "fault")

    def __init__(self) -> None:
        """Begin before the array's bracket."""
        self._held = bytearray()
        self._depth = 0
        self._string = self._escaped = self._opened = self._ended = False
        self.fault = ""

    @property
    def held(self) -> int:
        """Bytes of an unfinished element."""
        return len(self._held)

    def feed(self, chunk: bytes) -> list[Piece]:
        """Give the elements that are whole now."""
        pieces: list[Piece] = []
        place = 0
        while place < len(chunk) and not self.fault:
            place = self._inside(chunk, place, pieces) if self._depth else self._between(chunk, place)
        if len(self._held) > MAX_PIECE:
            self.fault = f"has an element longer than {MAX_PIECE} bytes"
            self._held.clear()
        return pieces

    def _between(self, chunk: bytes, place: int) -> int:
        mark = chunk[place : place + 1]
        if mark in _BETWEEN:
            return place + 1
        if mark == b"[" and not self._opened:
            self._opened = True
        elif mark == b"]" and self._opened and not self._ended:
            self._ended = True
        elif mark == b"{" and self._opened and not self._ended:
            self._depth = 1
            self._held += mark
        else:
            self.fault = "is not a JSON array of objects"
        return place + 1

    def _inside(self, chunk: bytes, place: int, pieces: list[Piece]) -> int:
        if self._escaped:
            self._escaped = False
            self._held += chunk[place : place + 1]
            return place + 1
        found = (_IN_STRING if self._string else _MARKS).search(chunk, place)
        end = found.end() if found else len(chunk)
        self._held += chunk[place:end]
        if found:
            self._mark(found[0])
        if not self._depth:
            pieces.append(("", bytes(self._held)))
            self._held.clear()
        return end

    def _mark(self, mark: bytes) -> None:
        if self._string:
            self._escaped = mark == b"\\"
            self._string = mark != b'"'
        elif mark == b'"':
            self._string = True
        elif mark in b"{[":
            self._depth += 1
        elif mark in b"}]":
            self._depth -= 1
