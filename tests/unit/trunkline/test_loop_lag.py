"""The watch on the event loop."""

from __future__ import annotations

import asyncio
import time

from tests.harness.waiting import PATIENCE
from trunkline.loop_lag import watch


async def test_a_loop_that_was_held_up_is_seen_to_be_late() -> None:
    """By as long as it was held beyond the time of the look."""
    seen: asyncio.Queue[float] = asyncio.Queue()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch(seen.put_nowait, every=0.001))
        await seen.get()
        held_until = time.monotonic() + 0.05
        while time.monotonic() < held_until:
            pass  # as long work without a turn for others
        assert max([await seen.get(), await seen.get()]) > 0.02
        watching.cancel()
