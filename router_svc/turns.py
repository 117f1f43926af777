"""Turns of long work on the event loop: measured in time, since rows and routes come in all sizes.

The law: whoever works long asks after each small step whether its turn is over, and then lets all others run once.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

LENGTH: Final = 0.0005
"""Seconds of a turn. A pick takes a few turns of the loop from its message to its answer, and may wait for one each time."""


class Turns:
    """The turns of one piece of work."""

    def __init__(self, clock: Callable[[], float], length: float = LENGTH) -> None:
        """Begin the first turn; the clock is monotonic and runs within a turn, which an event loop's need not."""
        self._clock, self._length = clock, length
        self._end = clock() + length

    def over(self) -> bool:
        """Tell whether this turn is over."""
        return self._clock() >= self._end

    async def step(self) -> None:
        """Let others run if this turn is over."""
        if self.over():
            await self.end()

    async def end(self) -> None:
        """Let others run."""
        await asyncio.sleep(0)
        self._end = self._clock() + self._length

    async def through(self, steps: Iterable[None], alive: Callable[[], None] = lambda: None) -> None:
        """Go through steps, saying after each that this is alive."""
        for _ in steps:
            alive()
            await self.step()

    async def let_go(self, pieces: list[object]) -> None:
        """Free what is held by this list alone, piece by piece: freeing it at once would hold up picks."""
        while pieces:
            pieces.pop()
            await self.end()
