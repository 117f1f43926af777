"""Virtual time, and processes in it: a seeded scheduler, and an asyncio event loop for each simulated process.

The law: nothing here waits and nothing is left to chance. The clock jumps to what is due next; what is due at one instant
comes in an order drawn from the seed. A process runs its callbacks first in, first out, as asyncio does; while it is frozen
it runs none, and everything that came meanwhile runs when it thaws. Each process has a monotonic clock with its own zero.
What the processes say to each other is left to `streams` and `session`.
"""

from __future__ import annotations

import asyncio
import random
from asyncio import Handle, TimerHandle
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from heapq import heappop, heappush
from typing import Any, Final, TypeVar

T = TypeVar("T")

_TURN: Final = 1e-5  # seconds that one turn of an event loop takes
_MOST_TURNS: Final = 200_000  # of one universe: a schedule that takes more is a live-lock
_FUNERAL: Final = 10  # rounds in which a killed process must have unwound

Act = Callable[[], object]


class LiveLockError(Exception):
    """A schedule takes more turns than any that makes progress."""


class Universe:
    """Virtual time: what is due, and in which order."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        """Seconds since the beginning."""
        self._rng = random.Random(seed)
        self._due: list[tuple[float, float, int, Process | None, Any]] = []
        self.over = False
        """Set when there is nothing more to learn: a law was broken."""
        self._count = 0
        self._turns = 0

    def after(self, seconds: float, act: Act) -> None:
        """Let something happen in the world, later."""
        self.put(self.now + seconds, None, act)

    def put(self, when: float, process: Process | None, thing: Any) -> None:
        """Note what is due: an act of the world, a timer of a process, or (None) a turn of one."""
        self._count += 1
        heappush(self._due, (when, self._rng.random(), self._count, process, thing))

    def is_due(self) -> bool:
        """Whether something else is due by now."""
        return bool(self._due) and self._due[0][0] <= self.now

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> None:
        """Let everything happen up to a time, or until it is done, which is asked after each event."""
        due = self._due
        while due and due[0][0] <= until and not self.over and not done():
            when, _, _, process, thing = heappop(due)
            self.now = max(self.now, when)
            if process is None:
                thing()
            else:
                process.wake(thing)
        if not self.over and not done():
            self.now = max(self.now, until)

    def spend(self) -> None:
        """Take the time of one turn."""
        self.now += _TURN
        self._turns += 1
        if self._turns > _MOST_TURNS:
            raise LiveLockError


class Process(asyncio.AbstractEventLoop):
    """One simulated process: an event loop, a clock, and randomness of its own."""

    def __init__(self, universe: Universe, name: str, seed: str) -> None:
        self.name = name
        self.rng = random.Random(seed)
        self.dead = False
        self.fault = ""
        """What no process may end of, once it did."""
        self._universe = universe
        self._zero = self.rng.uniform(0.0, 1000.0)
        self._ready: deque[Handle] = deque()
        self._tasks: list[asyncio.Task[Any]] = []
        self._turn_due = False
        self._running = False
        self._frozen_until = 0.0

    # ------------------------------------------------------------------ for the world

    def freeze(self, seconds: float) -> None:
        """Stop for a while, as SIGSTOP or a long collection of garbage does."""
        self._frozen_until = max(self._frozen_until, self._universe.now + seconds)

    @property
    def frozen_until(self) -> float:
        """When it thaws or thawed, by the universe's clock."""
        return self._frozen_until

    def start(self, main: Coroutine[Any, Any, Any]) -> None:
        """Run something that must not end before the process does."""
        task: asyncio.Task[Any] = self.create_task(main)
        task.add_done_callback(self._ended)

    def kill(self) -> None:
        """End at once. Nothing that its tasks do while they unwind reaches anybody: its ports are dead with it."""
        self.dead = True
        for _ in range(_FUNERAL):
            pending = self._tasks = [task for task in self._tasks if not task.done()]
            for task in pending:
                task.cancel()
            while self._ready:
                self._run_ready()
            if not pending:
                return
        raise AssertionError(f"{self.name} does not unwind: {self._tasks}")

    def wake(self, timer: TimerHandle | None) -> None:
        """Take a timer that is due, and take turns until there is nothing to do or something else is due."""
        if self.dead:
            return
        if timer is None:
            self._turn_due = False
        elif timer.cancelled():
            return
        else:
            self._ready.append(timer)
        if self._universe.now < self._frozen_until:
            self._ask_for_turn(self._frozen_until)
            return
        while self._ready and not self.dead:
            self._run_ready()
            self._universe.spend()
            if self._ready and (self._universe.is_due() or self._universe.now < self._frozen_until):
                self._ask_for_turn(max(self._universe.now, self._frozen_until))
                return

    def _run_ready(self) -> None:
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        self._running = True
        try:
            for _ in range(len(self._ready)):
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._context.run(handle._callback, *handle._args)  # type: ignore[attr-defined]
        finally:
            self._running = False
            asyncio._set_running_loop(before)

    def _ask_for_turn(self, when: float) -> None:
        if not self._turn_due:
            self._turn_due = True
            self._universe.put(when, self, None)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not self.dead and not task.cancelled() and task.exception() is not None:
            self._fail(f"{self.name} died of {task.exception()!r}")

    def _fail(self, fault: str) -> None:
        self.fault = self.fault or fault
        self._universe.over = True

    # ------------------------------------------------------------------ for asyncio

    def time(self) -> float:
        """Read the process's monotonic clock."""
        return self._universe.now + self._zero

    def get_debug(self) -> bool:
        """No."""
        return False

    def is_running(self) -> bool:
        """Until it dies."""
        return not self.dead

    def is_closed(self) -> bool:
        """Once it is dead."""
        return self.dead

    def call_soon(  # type: ignore[override]  # without asyncio's variadic types
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        """Run something in the next turn."""
        handle = Handle(callback, args, self, context)
        self._ready.append(handle)
        if not self._running:
            self._ask_for_turn(self._universe.now)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """Run something after some seconds."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """Run something at a time of the process's clock."""
        timer = TimerHandle(when, callback, args, self, context)
        self._universe.put(when - self._zero, self, timer)
        return timer

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        """Nothing: a cancelled timer is passed over when it is due."""

    def create_future(self) -> asyncio.Future[Any]:
        """Give a future."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Context | None = None) -> asyncio.Task[Any]:
        """Run a coroutine."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Take what nobody else would: here it is a fault of the process."""
        if not self.dead:
            self._fail(f"{self.name}: {context.get('message')}: {context.get('exception')!r}")


def spawned(universe: Universe, name: str, seed: str) -> Process:
    """Give a new process."""
    return Process(universe, name, seed)  # type: ignore[abstract]  # no process here has sockets, signals or children


def here() -> Process:
    """Give the process that runs now."""
    process = asyncio.get_running_loop()
    if not isinstance(process, Process):
        raise TypeError(f"not in a simulated process but in {process!r}")
    return process
