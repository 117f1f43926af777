"""Work that can wait, shared out over the turns of the event loop."""

from __future__ import annotations

import asyncio

from router_svc.turnstile import Turnstile


async def test_however_many_wake_at_once_only_so_much_is_done_in_a_turn() -> None:
    """Between two turns everything else runs."""
    gate, done, most = Turnstile(32), 0, 0

    async def work() -> None:
        nonlocal done
        for _ in range(4):
            await gate.take(16)
            done += 16

    async with asyncio.TaskGroup() as tasks:
        for _ in range(50):
            tasks.create_task(work())
        while done < 50 * 64:
            before = done
            await asyncio.sleep(0)
            most = max(most, done - before)
    assert most <= 64  # what is left of one turn, and the next


async def test_whoever_is_cancelled_while_waiting_takes_nothing_from_the_others() -> None:
    """Its place goes to the next."""
    gate = Turnstile(1)
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(gate.take(1)) for _ in range(5)]
        waiting[2].cancel()
    assert [task.cancelled() for task in waiting] == [False, False, True, False, False]


async def test_what_was_done_beyond_a_share_is_paid_off_by_the_next_turns() -> None:
    """A whole message is read at once; its stream's next one waits so much longer."""
    gate, turns = Turnstile(16), 0
    await gate.take(160)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(gate.take(1))
        while not waiting.done():
            await asyncio.sleep(0)
            turns += 1
    assert 10 <= turns <= 13
