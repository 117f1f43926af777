"""A request's body as it comes in, for what is not to be held whole.

The law: at most so many bytes in all, and at most so long for the next of them while they are waited for; no more is taken
off the connection than was asked for, so the client goes at the pace of whoever takes its body.
"""

import asyncio
from collections.abc import Callable

from relay_svc import errors
from relay_svc.client_request import ClientRequest


class Incoming:
    """One body."""

    def __init__(self, request: ClientRequest, most: int, time_limit: float) -> None:
        """Take the bounds, in bytes and seconds. Raises HttpRefusal."""
        self.left = request.length
        """Bytes still to be taken; None when nobody knows."""
        if self.left is not None and self.left > most:
            raise errors.body_too_large(most)
        self._request, self._most, self._time_limit = request, most, time_limit
        self._due = 0.0
        self._late: asyncio.TimerHandle | None = None
        self.count = 0
        """Bytes taken."""
        request.stream_body()

    @property
    def over(self) -> bool:
        """Whether all has been taken."""
        return self._request.body_taken

    def take(self) -> bytes:
        """Take what is here. Raises HttpRefusal when there is too much, or nothing for too long."""
        data = self._request.take_body()
        if data:
            self.count += len(data)
            self._due = 0.0
            self.close()
            if self.left is not None:
                self.left -= len(data)
            if self.count > self._most:
                raise errors.body_too_large(self._most)
        elif self._due and not self.over and self._request.loop.time() >= self._due:
            raise errors.body_too_slow(self._time_limit)
        return data

    def tell(self, wake: Callable[[], None]) -> None:
        """Call `wake` when there is something to take, or all has been taken, or time is up."""
        loop = self._request.loop
        self._due = loop.time() + self._time_limit
        self.close()
        self._late = loop.call_at(self._due, wake)
        self._request.hear(wake)

    def close(self) -> None:
        """Wait for nothing more."""
        if self._late is not None:
            self._late.cancel()
            self._late = None

    async def news(self) -> None:
        """Wait for it."""
        news = asyncio.Event()
        self.tell(news.set)
        await news.wait()
