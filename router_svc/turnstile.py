"""Shares out the turns of the event loop among those who have much to do and can wait.

The law: whatever wakes at one moment, and however many, only so much of it is done before everything else has its turn. Each
task that pauses after its own share would not do: a storm is thousands of tasks, and their shares add up. What was done at
once although it was more than a share is a debt, which the next turns pay off.
"""

import asyncio
from collections import deque


class Turnstile:
    """Lets some work pass in each turn of the event loop, in the order in which it came."""

    def __init__(self, most: int) -> None:
        """Take how much may be done in one turn."""
        self._most = self._left = most
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._renewing = False

    async def take(self, amount: int) -> None:
        """Wait until some work may be done."""
        self._renew_soon()
        if self._left > 0 and not self._waiting:
            self._left -= amount
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append((place, amount))
        await place

    def _renew_soon(self) -> None:
        if not self._renewing:
            self._renewing = True
            asyncio.get_running_loop().call_soon(self._renew)

    def _renew(self) -> None:
        """A turn has passed."""
        self._renewing = False
        self._left = min(self._most, self._left + self._most)
        while self._left > 0 and self._waiting:
            place, amount = self._waiting.popleft()
            if not place.done():  # whoever was cancelled needs none
                place.set_result(None)
                self._left -= amount
        if self._waiting or self._left < self._most:
            self._renew_soon()
