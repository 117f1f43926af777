"""An event loop whose time passes when nothing else is to be done: no test waits, and what happens when is exact."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any


class _Clock(selectors.DefaultSelector):
    """Waits for nothing: the time that would pass has passed."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now += timeout or 0
        return super().select(0)


class Timed(asyncio.SelectorEventLoop):
    """An event loop whose time passes when nothing else is to be done."""

    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        """Tell what passed."""
        return self._clock.now

    def go_on(self, seconds: float = 0) -> None:
        """Let time pass, or all that is to be done now be done."""
        self.run_until_complete(self._pass(seconds))

    async def _pass(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        for _ in range(6):
            await asyncio.sleep(0)


def by_the_clock(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on such a loop."""

    @functools.wraps(test)
    def run(**given: Any) -> None:
        with asyncio.Runner(loop_factory=Timed) as runner:
            runner.run(test(**given))

    return run
