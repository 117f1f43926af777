"""The bytes of request bodies that may be held at a time, over all requests.

The law: a body's whole size is reserved before it is read, so that bodies that wait for room never hold any. Who waits is
served in order of arrival, so a large body is not starved by small ones. Each wait has a limit and the line has a bound; what
was reserved is given back whatever ends the request.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from relay_svc import errors

MOST_WAITING: Final = 1024
"""Bodies that wait for room."""


@dataclass(eq=False, slots=True)
class _Waiter:
    size: int
    room: asyncio.Future[None]


class Share:
    """Room for one body."""

    __slots__ = ("_budget", "size")

    def __init__(self, budget: "BodyBudget", size: int) -> None:
        """Take what it is a share of, and its bytes."""
        self._budget, self.size = budget, size

    def shrink(self, size: int) -> None:
        """Give back what the body turned out not to need."""
        if size < self.size:
            given_back, self.size = self.size - size, size
            self._budget.give_back(given_back)

    def release(self) -> None:
        """Give it all back; may be repeated."""
        self.shrink(0)


class BodyBudget:
    """The room for bodies."""

    def __init__(self, most: int, time_limit: float) -> None:
        """Take the bytes that may be held, and the longest wait for room in seconds."""
        self._most, self._time_limit = most, time_limit
        self.held = 0
        """Bytes reserved."""
        self._line: deque[_Waiter] = deque()

    async def reserve(self, size: int) -> Share:
        """Wait for room; a body larger than all of it gets all of it. Raises HttpRefusal."""
        size = min(size, self._most)
        if not self._line and self.held + size <= self._most:
            self.held += size
            return Share(self, size)
        if len(self._line) >= MOST_WAITING:
            raise errors.overloaded("large bodies are waiting")
        waiter = _Waiter(size, asyncio.get_running_loop().create_future())
        self._line.append(waiter)
        try:
            async with asyncio.timeout(self._time_limit):
                await waiter.room
        except BaseException as ended:
            self._leave(waiter)
            if isinstance(ended, TimeoutError):
                raise errors.overloaded("large bodies are held") from None
            raise
        return Share(self, size)

    def give_back(self, size: int) -> None:
        """Have so much more room."""
        self.held -= size
        self._serve()

    def _leave(self, waiter: _Waiter) -> None:
        """Have one fewer in the line; one that got its room in the same turn gives it back."""
        if waiter in self._line:
            self._line.remove(waiter)
            self._serve()
        else:
            self.give_back(waiter.size)

    def _serve(self) -> None:
        while self._line and self.held + self._line[0].size <= self._most:
            waiter = self._line.popleft()
            self.held += waiter.size
            if not waiter.room.done():
                waiter.room.set_result(None)
