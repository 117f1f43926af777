"""Many deadlines on one timer."""

from __future__ import annotations

import asyncio

import pytest

from relay_svc.deadlines import Deadlines
from tests.harness.waiting import PATIENCE, pace


async def test_each_wait_ends_at_its_own_deadline() -> None:
    """Whatever order they began in, and however long the others are."""
    deadlines = Deadlines()
    ended: list[float] = []

    async def wait(seconds: float) -> None:
        with pytest.raises(TimeoutError), deadlines.within(seconds):
            await asyncio.Event().wait()
        ended.append(seconds)

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        for seconds in (0.2, 0.05, 0.1, 0.0):
            tasks.create_task(wait(seconds))
    assert ended == [0.0, 0.05, 0.1, 0.2]
    assert not deadlines.open


async def test_a_wait_that_ends_in_time_is_left_alone() -> None:
    """And so is the one that comes after it in the same task, though the timer rings."""
    deadlines = Deadlines()
    with deadlines.within(0.02):
        pass
    with deadlines.within(5):
        await pace(0.05)
    assert not deadlines.open


async def test_a_cancellation_from_elsewhere_is_not_taken_for_the_deadlines() -> None:
    """Even when both come in one turn of the event loop."""
    deadlines = Deadlines()

    async def wait() -> None:
        with deadlines.within(60):
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(wait())
        await asyncio.sleep(0)
        deadlines.expire()
        waiting.cancel()
    assert waiting.cancelled()


async def test_once_expired_every_wait_ends_at_once() -> None:
    """Those under way and those still to begin."""
    deadlines = Deadlines()
    asyncio.get_running_loop().call_soon(deadlines.expire)
    with pytest.raises(TimeoutError), deadlines.within(60):
        await asyncio.Event().wait()
    with pytest.raises(TimeoutError), deadlines.within(60):
        await asyncio.Event().wait()
