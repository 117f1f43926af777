"""The deadlines of all open requests, which a drain that runs out of time brings forward.

The law: a request that is cut off is cut off from within, while its client can still be told.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Deadlines:
    """Every open request's deadline."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: set[asyncio.Timeout] = set()
        self.expired = False
        """Whether all deadlines were brought forward."""

    @contextlib.asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Bound what is done inside. Raises TimeoutError."""
        async with asyncio.timeout(0 if self.expired else seconds) as deadline:
            self._open.add(deadline)
            try:
                yield
            finally:
                self._open.discard(deadline)

    def expire(self) -> None:
        """End every open request now, and each that is still to begin."""
        self.expired = True
        now = asyncio.get_running_loop().time()
        for deadline in self._open:
            if not deadline.expired():
                deadline.reschedule(now)
