"""Waiting for a condition with a deadline, instead of sleeping and hoping.

Law: a wait ends as soon as the condition holds, and fails with the last thing it saw when it never does. A condition
that raises AssertionError has not come true yet; any other exception is the caller's. What is no wait has a name of its
own here: `turns` for an order of things on one event loop, `pace` for somebody who is slow on purpose.

How long anything takes says how busy the machine is, and nothing else. So there is one deadline for everything, PATIENCE,
which is there for what never happens; tests/unit/harness/test_no_stopwatch.py finds every other.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeVar, overload

T = TypeVar("T")

PATIENCE: Final = 90
"""Seconds after which what a test waits for is said never to come."""
_FIRST_PAUSE = 0.005  # seconds
_LONGEST_PAUSE = 0.1  # seconds


def eventually(condition: Callable[[], T], deadline: float = PATIENCE, *, what: str = "") -> T:
    """The first true answer of `condition`, asked again and again for at most `deadline` seconds."""
    saw: object = None
    for pause in _pauses(deadline):
        try:
            if answer := condition():
                return answer
            saw = answer
        except AssertionError as error:
            saw = error
        time.sleep(pause)
    raise AssertionError(_complaint(condition, deadline, what, saw))


@overload
async def eventually_async(
    condition: Callable[[], Awaitable[T]], deadline: float = PATIENCE, *, what: str = ""
) -> T: ...
@overload
async def eventually_async(condition: Callable[[], T], deadline: float = PATIENCE, *, what: str = "") -> T: ...
async def eventually_async(
    condition: Callable[[], Awaitable[T]] | Callable[[], T], deadline: float = PATIENCE, *, what: str = ""
) -> T:
    """`eventually` for the event loop; the condition may be async."""
    saw: object = None
    for pause in _pauses(deadline):
        try:
            answer = condition()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return answer
            saw = answer
        except AssertionError as error:
            saw = error
        await asyncio.sleep(pause)
    raise AssertionError(_complaint(condition, deadline, what, saw))


async def turns(count: int = 4) -> None:
    """Let the event loop turn, so that what was written is read before more is written; no time has to pass."""
    for _ in range(count):
        await asyncio.sleep(0)


async def pace(seconds: float) -> None:
    """Be slow on purpose: an upstream or a reader whose slowness is what is tested. Nobody waits for anything here."""
    await asyncio.sleep(seconds)


def _pauses(deadline: float) -> Iterator[float]:
    ends = time.monotonic() + deadline
    pause = _FIRST_PAUSE
    while time.monotonic() < ends:
        yield pause
        pause = min(pause * 2, _LONGEST_PAUSE)


def _complaint(condition: object, deadline: float, what: str, saw: object) -> str:
    name = what or getattr(condition, "__name__", repr(condition))
    return f"{name} did not come true within {deadline:g} s; last seen: {saw!r}"
