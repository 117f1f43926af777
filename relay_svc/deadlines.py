"""Deadlines of many waits at once, which a drain that runs out of time brings forward.

The law: what is cut off is cut off from within, while its client can still be told. One timer serves all: `asyncio.timeout`
costs 6 µs, most of it a timer that is set and cancelled, and nearly no deadline is ever reached. Here a wait that begins and
ends is one entry of a dict; the timer is set for the earliest of them, and when it rings what is due is looked up.
"""

import asyncio
import math
from functools import cached_property
from types import TracebackType
from typing import Any, Protocol

import msgspec


class Wait(Protocol):
    """What has a deadline."""

    def cut(self) -> None:
        """End it now."""
        ...


class Deadlines:
    """Every open wait's deadline."""

    def __init__(self) -> None:
        """Begin with none; one event loop's."""
        self.open: dict[Wait, float] = {}
        """When each wait is over."""
        self._timer: asyncio.TimerHandle | None = None
        self._rings = math.inf
        self.expired = False
        """Whether all deadlines were brought forward."""

    def within(self, seconds: float, task: "asyncio.Task[Any] | None" = None) -> "Deadline":
        """Bound what is done inside a `with`, in this task. Raises TimeoutError."""
        loop = self.loop
        task = task or asyncio.current_task(loop)
        assert task is not None  # noqa: S101 - whatever can wait is in a task
        return Deadline(self, task, loop.time() + seconds, task.cancelling())

    @cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop, looked up once: Python 3.11 asks the kernel for the process id each time."""
        return asyncio.get_running_loop()

    def expire(self) -> None:
        """End every open wait now, and each that is still to begin."""
        self.expired = True
        for wait in list(self.open):
            self.open.pop(wait, None)
            wait.cut()

    def begin(self, wait: Wait, due: float) -> None:
        """Count a wait in."""
        self.open[wait] = due
        if due < self._rings:
            self._set(due)

    def met(self, wait: Wait) -> None:
        """Count a wait out; the timer is left alone."""
        self.open.pop(wait, None)

    def _set(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = due
        self._timer = self.loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer, self._rings = None, math.inf
        now = self.loop.time()
        for wait in [wait for wait, due in self.open.items() if due <= now]:
            self.open.pop(wait, None)
            wait.cut()
        if self.open:
            self._set(min(self.open.values()))


class Deadline(msgspec.Struct, eq=False):
    """What a task does inside a `with`: as `asyncio.Timeout`, it cancels the task and turns that into a TimeoutError."""

    every: Deadlines
    task: "asyncio.Task[Any]"
    due: float
    cancelling: int
    """How often the task was being cancelled before."""
    reached: bool = False

    def __enter__(self) -> None:
        """Begin."""
        self.every.begin(self, self.due)
        if self.every.expired:
            self.cut()

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        """End."""
        self.every.open.pop(self, None)
        if not self.reached:
            return
        # As asyncio.Timeout: only a cancellation that nobody else asked for as well is ours to swallow.
        if self.task.uncancel() <= self.cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from fault

    def cut(self) -> None:
        """End it now."""
        self.reached = True
        self.task.cancel()
