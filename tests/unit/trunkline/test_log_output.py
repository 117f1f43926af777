"""Lines to a stream that does not take them: kept within a bound, counted beyond it, and never waited for."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import io
import os
import socket
from collections.abc import Iterator
from typing import TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.fuzz import examples
from tests.harness.waiting import eventually_async
from trunkline import log_output
from trunkline.log_output import KEPT, LogOutput

LINE = "a line of the log\n"


class Stream:
    """A stream that takes as many bytes as a plan says; None is "not now", an error is raised."""

    def __init__(self, plan: list[int | OSError | None]) -> None:
        self.plan, self.taken, self.lost = iter(plan), bytearray(), 0
        self.output = LogOutput(self.write, self.lose)

    def write(self, lines: bytes) -> int:
        """Take some bytes."""
        step = next(self.plan, len(lines))
        if step is None:
            raise BlockingIOError
        if isinstance(step, OSError):
            raise step
        self.taken += lines[:step]
        return min(step, len(lines))

    def lose(self, lines: int) -> None:
        """Count."""
        self.lost += lines


@examples(200)
@given(
    st.lists(
        st.one_of(st.none(), st.integers(1, 40), st.sampled_from([OSError(errno.ENOSPC, ""), OSError(errno.EPIPE, "")]))
    )
)
def test_each_line_is_written_whole_or_counted(plan: list[int | OSError | None]) -> None:
    """Whatever the stream does: written and lost lines add up, and what is written are lines or their beginnings."""
    stream = Stream(plan)
    told = [f"line {number}" for number in range(12)]
    for line in told:
        stream.output.write(line + "\n")
    stream.output.finish()
    written = [line for line in stream.taken.decode().split("\n") if line]
    whole = [line for line in written if line in told]
    assert len(whole) + stream.lost >= len(told)
    assert whole == [line for line in told if line in whole], "in order, none twice"
    for line in written:
        assert any(one.startswith(line) for one in told)


def test_what_is_kept_is_bounded() -> None:
    """A stream that takes nothing costs its bound, and each line beyond is counted."""
    stream = Stream([None] * 200_000)
    for _ in range(2 * KEPT // len(LINE)):
        stream.output.write(LINE)
    assert len(stream.output._waiting) <= KEPT
    assert abs(stream.lost - KEPT // len(LINE)) <= 2


async def test_what_waits_is_written_without_another_line() -> None:
    """The loop tries again by itself."""
    stream = Stream([None, None, 5, None])
    stream.output.write(LINE)
    await eventually_async(lambda: stream.taken.decode() == LINE)
    assert stream.lost == 0


def test_halves_of_pairs_are_written_escaped() -> None:
    """No text raises."""
    stream = Stream([])
    stream.output.write("a\ud800b\n")
    assert stream.taken == b"a\\ud800b\n"


@pytest.fixture(params=["pipe", "socket", "somebody else's pipe"])
def full(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A real stream that is full, its reading and its writing end."""
    if request.param == "socket":
        first, second = socket.socketpair()
        reading, writing = first.detach(), second.detach()
    else:
        reading, writing = os.pipe()
    if request.param == "somebody else's pipe":
        monkeypatch.setattr(log_output, "_of_pipe", log_output._of_shared_pipe)
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        pass
    os.set_blocking(writing, True)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def stream_of(descriptor: int) -> TextIO:
    """A text stream as Python makes of standard error."""
    return os.fdopen(os.dup(descriptor), "w")


async def test_a_real_stream_that_is_full_is_not_waited_for(full: tuple[int, int]) -> None:
    """It goes on when it is read again, and whoever shares the stream still waits as before."""
    reading, writing = full
    lost: list[int] = []
    with stream_of(writing) as stream:
        output = LogOutput(log_output._writer_of(stream), lost.append)
        for _ in range(100):
            output.write(LINE)
        assert not fcntl.fcntl(writing, fcntl.F_GETFL) & os.O_NONBLOCK
        read = bytearray()

        async def drained() -> bool:
            os.set_blocking(reading, False)
            with contextlib.suppress(BlockingIOError):
                read.extend(os.read(reading, 1 << 20))
            return read.count(LINE.encode()) == 100

        await eventually_async(drained)
        assert lost == []


@pytest.mark.parametrize("kind", ["/dev/full", "closed reader", "closed stream"])
def test_a_stream_that_will_never_take_a_line_costs_the_line(kind: str) -> None:
    """ENOSPC, EPIPE and a closed descriptor."""
    lost: list[int] = []
    if kind == "closed reader":
        reading, writing = os.pipe()
        stream = os.fdopen(writing, "w")
        os.close(reading)
    else:
        stream = open("/dev/full", "w", encoding="utf-8")  # noqa: PTH123, SIM115 - a stream as standard error is
    write = log_output._writer_of(stream)
    if kind == "closed stream":
        write = log_output._in_memory(stream)
        stream.close()
    output = LogOutput(write, lost.append)
    for _ in range(3):
        output.write(LINE)
    assert sum(lost) == 3
    if kind != "closed stream":
        stream.close()


def test_a_stream_in_memory_is_written_as_it_is() -> None:
    """As tests have it."""
    stream = io.StringIO()
    LogOutput(log_output._writer_of(stream)).write(LINE)
    assert stream.getvalue() == LINE


def test_nothing_is_waited_for_without_a_loop() -> None:
    """A thread has no timer: the next line tries again."""
    stream = Stream([None])
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    stream.output.write(LINE)
    assert stream.taken == b""
    stream.output.write(LINE)
    assert stream.taken.decode() == LINE * 2
