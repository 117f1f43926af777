"""Cuts a stream of server-sent events into events.

The law: pure; however the bytes are cut, the events are the same; no more than one unfinished event is held, up to a bound.
An event that the stream ended in the middle of is not given at all, as the standard says.
"""

from typing import Final

MAX_EVENT: Final = 16 << 20
"""Most bytes of one event: images come whole in one."""

Event = tuple[str, bytes]
"""An event's name (empty for none) and its data."""


class EventTooLong(ValueError):  # noqa: N818 - the upstream's fault, said as it is
    """An event longer than the bound."""

    def __init__(self) -> None:
        """Say how long."""
        super().__init__(f"an event is longer than {MAX_EVENT} bytes")


class EventCutter:
    """Cuts one stream."""

    __slots__ = ("_begun", "_data", "_held", "_name", "_size", "_skip")

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._held: list[bytes] = []  # of a line that has no end yet
        self._size = 0
        self._data: list[bytes] = []
        self._name = ""
        self._begun = False
        self._skip = False

    def feed(self, chunk: bytes) -> list[Event]:
        """Give the events that are whole now. Raises EventTooLong."""
        if self._skip and chunk.startswith(b"\n"):  # the second half of a line's end
            chunk = chunk[1:]
        if not chunk:
            return []
        self._skip = chunk.endswith(b"\r")
        events: list[Event] = []
        if b"\n" in chunk or b"\r" in chunk:
            lines = (b"".join(self._held) + chunk).splitlines(keepends=True)
            rest = b"" if lines[-1].endswith((b"\n", b"\r")) else lines.pop()
            self._held = [rest] if rest else []
            self._size = len(rest) + sum(map(len, self._data))
            for line in lines:
                self._line(line.rstrip(b"\r\n"), events)
        else:
            self._held.append(chunk)
            self._size += len(chunk)
        if self._size > MAX_EVENT:
            raise EventTooLong
        return events

    def _line(self, line: bytes, events: list[Event]) -> None:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            if self._data:
                events.append((self._name, b"\n".join(self._data)))
            self._data, self._name = [], ""
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value)
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")
