"""Waiting for what tells nobody that it happened: a process that ends, a server that answers.

The law: the caller bounds the wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], pause: float = 0.01) -> None:
    """Wait until a condition holds, asking every `pause` seconds."""
    while not condition():  # noqa: ASYNC110 - processes set no events
        await asyncio.sleep(pause)
