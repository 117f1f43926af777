"""Shares out the turns of the event loop among those who have much to do and can wait.

The law: however many wake at one moment, in each turn of the event loop only one of them works, and only for so long; then
everything else has its turn. They come in order, and whoever has not finished comes again behind those who wait. Each task
that pauses after its own share would not do: a storm is thousands of tasks, and their shares add up. Shares are measured in
time, since what is to be done comes in all sizes.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf


class Turnstile:
    """Lets one at a time work for a share of a turn."""

    def __init__(self, clock: Callable[[], float], length: float) -> None:
        """Take a monotonic clock that runs within a turn, and the seconds of a share."""
        self._clock, self._length = clock, length
        self._end = -inf
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False
        """Whether this turn's share was given away."""

    def over(self) -> bool:
        """Tell whether the share of whoever works has ended: then it must enter anew before it goes on."""
        return self._clock() >= self._end

    async def enter(self) -> None:
        """Wait for a share of a turn, which begins when this returns. Do not wait for anything else within it."""
        if self._taken:
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            await place
        else:
            self._give_away()
        self._end = self._clock() + self._length

    def _give_away(self) -> None:
        self._taken = True
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """A turn has passed: the next one may work."""
        self._taken = False
        while self._waiting and not self._taken:
            place = self._waiting.popleft()
            if not place.done():  # whoever was cancelled needs none
                place.set_result(None)
                self._give_away()
