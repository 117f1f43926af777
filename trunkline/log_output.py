"""Where log lines go: a stream that is written without ever being waited for.

Law: writing a line neither raises nor blocks, whatever the stream is: a full disk, a pipe whose reader has gone or stopped
reading, a closed descriptor. What a pipe does not take at once is kept, up to `KEPT` bytes, and tried again; what is beyond
that, and what cannot be written at all, is counted as lost.
"""

import asyncio
import io
import os
import select
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable
from typing import Final, TextIO

from prometheus_client import Counter

KEPT: Final = 1 << 20
"""Bytes that wait for a stream that takes none now."""
LAST_WAIT: Final = 1.0
"""Seconds that the end of the process waits for it."""
_AGAIN: Final = 0.05
"""Seconds until the next try."""
_PIECE: Final = 64 << 10
_SURE: Final = select.PIPE_BUF
"""Bytes that a pipe takes at once when it takes any."""

LOST: Final = Counter("trunkline_log_lines_lost_total", "Log lines that could not be written.")

Write = Callable[[bytes], int]
"""Takes some of the bytes and says how many. Raises BlockingIOError when it takes none now, OSError when never."""


class LogOutput(io.TextIOBase):
    """A text stream for loggers."""

    def __init__(self, write: Write, lost: Callable[[int], None] = LOST.inc) -> None:
        """Take what writes, and what counts lost lines."""
        self._write, self._lost = write, lost
        self._waiting = bytearray()
        self._cut = False
        """Whether the stream's last line lacks its end."""
        self._timer: asyncio.TimerHandle | None = None
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Write whole lines, or keep or lose them."""
        self.write_bytes(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def write_bytes(self, lines: bytes) -> None:
        """Write whole lines, or keep or lose them."""
        with self._lock:
            if len(self._waiting) + len(lines) > KEPT:
                self._push()
            if len(self._waiting) + len(lines) > KEPT:
                self._lost(lines.count(b"\n"))
                return
            if self._cut and not self._waiting:
                self._waiting += b"\n"
            self._waiting += lines
            self._push()

    def flush(self) -> None:
        """Nothing: each line is written at once, or waits for the stream."""

    def finish(self) -> None:
        """Give what waits a last, bounded chance."""
        with self._lock:
            ends = time.monotonic() + LAST_WAIT
            while self._waiting and time.monotonic() < ends:
                if not self._push():
                    time.sleep(_AGAIN)  # the process ends: no loop turns any more
            self._lost(self._waiting.count(b"\n"))
            self._waiting.clear()

    def _push(self) -> bool:
        """Write what waits; whether the stream took all of it, or never will."""
        try:
            while self._waiting:
                taken = self._write(bytes(self._waiting[:_PIECE]))
                self._cut = self._waiting[taken - 1 : taken] != b"\n" if taken else self._cut
                del self._waiting[:taken]
        except BlockingIOError:
            self._try_again()
            return False
        except (OSError, ValueError):  # ValueError: a stream that was closed
            self._lost(self._waiting.count(b"\n"))
            self._waiting.clear()
        return True

    def _try_again(self) -> None:
        if self._timer is None:
            try:
                self._timer = asyncio.get_running_loop().call_later(_AGAIN, self._timed)
            except RuntimeError:
                return  # no loop, no timer: the next line tries, or the end does

    def _timed(self) -> None:
        self._timer = None
        with self._lock:
            self._push()


def standard_error() -> LogOutput:
    """The process's standard error; closed standard descriptors are pointed at nothing, so that no socket becomes one."""
    _hold_standard_descriptors()
    return LogOutput(_nowhere if sys.stderr is None else _writer_of(sys.stderr))


def _nowhere(_lines: bytes) -> int:
    raise BrokenPipeError


def _hold_standard_descriptors() -> None:
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - it takes the lowest that is free


def _writer_of(stream: TextIO) -> Write:
    try:
        descriptor = stream.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError, AttributeError):  # a test's, in memory
        return _in_memory(stream)
    if stat.S_ISSOCK(mode):
        return lambda lines: _send(descriptor, lines)
    if stat.S_ISREG(mode):
        return lambda lines: os.write(descriptor, lines)
    return _of_pipe(descriptor)


def _send(descriptor: int, lines: bytes) -> int:
    peer = socket.socket(fileno=descriptor)
    try:
        return peer.send(lines, socket.MSG_DONTWAIT)
    finally:
        peer.detach()


def _of_pipe(descriptor: int) -> Write:
    """A pipe or a terminal, opened anew: not waiting is this description's alone, not that of whoever shares it."""
    try:
        own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:  # not ours to open, or nobody reads it
        return _of_shared_pipe(descriptor)
    return lambda lines: os.write(own, lines)


def _of_shared_pipe(descriptor: int) -> Write:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)

    def write(lines: bytes) -> int:
        if not poll.poll(0):
            raise BlockingIOError
        return os.write(descriptor, lines[:_SURE])

    return write


def _in_memory(stream: TextIO) -> Write:
    def write(lines: bytes) -> int:
        stream.write(lines.decode("utf-8", "backslashreplace"))
        return len(lines)

    return write
