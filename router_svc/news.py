"""Tells many waiters that something has happened.

The law: whoever listens from before it looked at the state misses nothing. News carry no content; look at the state again.
"""

import asyncio
from collections.abc import Awaitable


class News:
    """Wakes all who wait when something has happened."""

    def __init__(self) -> None:
        """Begin with no news."""
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Wake all who wait now."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    def next(self) -> Awaitable[bool]:
        """Wait for what happens from now on: listening begins with this call."""
        return self._event.wait()
