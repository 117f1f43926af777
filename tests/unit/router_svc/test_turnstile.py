"""Work that can wait, shared out over the turns of the event loop."""

from __future__ import annotations

import asyncio

from router_svc.turnstile import Turnstile


class Watch:
    """A clock that goes on as work is done."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


async def test_however_many_wake_at_once_only_one_share_is_worked_in_a_turn() -> None:
    """Between two turns everything else runs, and nobody waits for ever."""
    watch = Watch()
    gate, done, turns = Turnstile(watch, 16.0), 0, 0

    async def work() -> None:
        nonlocal done
        await gate.enter()
        for _ in range(64):
            if gate.over():
                await gate.enter()
            watch.now += 1.0
            done += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(50):
            tasks.create_task(work())
        while done < 50 * 64:
            before = done
            await asyncio.sleep(0)
            turns += 1
            assert done - before <= 16
    assert turns <= 50 * 4 + 5


async def test_whoever_has_not_finished_comes_again_behind_those_who_wait() -> None:
    """A long piece of work is not done before a short one that came a moment later."""
    watch = Watch()
    gate, order = Turnstile(watch, 1.0), list[str]()

    async def work(name: str, steps: int) -> None:
        await gate.enter()
        for _ in range(steps):
            if gate.over():
                await gate.enter()
            watch.now += 1.0
        order.append(name)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(work("long", 100))
        tasks.create_task(work("short", 2))
    assert order == ["short", "long"]


async def test_whoever_is_cancelled_while_waiting_takes_nothing_from_the_others() -> None:
    """Its place goes to the next."""
    gate = Turnstile(Watch(), 1.0)
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(gate.enter()) for _ in range(5)]
        waiting[2].cancel()
    assert [task.cancelled() for task in waiting] == [False, False, True, False, False]


async def test_whoever_comes_while_nobody_works_does_not_wait() -> None:
    """A single refusal costs no turn."""
    gate = Turnstile(Watch(), 1.0)
    entering = gate.enter()
    try:
        entering.send(None)
    except StopIteration:
        return
    raise AssertionError
