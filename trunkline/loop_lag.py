"""Measures how late the event loop is. The law: one timer, and nothing that itself makes the loop late."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

EVERY: Final = 0.05
"""Seconds between two looks."""


async def watch(observe: Callable[[float], None], *, every: float = EVERY) -> None:
    """Tell again and again, until cancelled, how many seconds after its time a timer ran."""
    while True:
        due = time.monotonic() + every
        await asyncio.sleep(every)
        observe(max(0.0, time.monotonic() - due))
