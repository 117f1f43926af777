"""The room for bodies: never more than there is, all of it back at the end, and first come, first served."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.body_budget import MOST_WAITING, BodyBudget, Share
from relay_svc.errors import HttpRefusal

MOST = 100
Steps = list[tuple[str, int]]
STEPS = st.lists(
    st.tuples(st.just("reserve"), st.integers(0, 120))
    | st.tuples(st.sampled_from(["cancel", "end", "give_and_cancel"]), st.integers(0, 12))
    | st.tuples(st.just("shrink"), st.integers(0, 120))
    | st.tuples(st.just("turn"), st.just(0)),
    max_size=80,
)


class Requests:
    """Requests that hold bodies until they are over, or cancelled."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        """Begin with none."""
        self.budget = BodyBudget(MOST, 3600.0)
        self.shares: list[Share] = []
        self._group = group
        self._tasks: list[tuple[asyncio.Task[None], asyncio.Event]] = []

    async def _hold(self, size: int, over: asyncio.Event) -> None:
        share = await self.budget.reserve(size)
        self.shares.append(share)
        try:
            await over.wait()
        finally:
            share.release()
            self.shares.remove(share)

    def reserve(self, number: int) -> None:
        """Have one more."""
        over = asyncio.Event()
        self._tasks.append((self._group.create_task(self._hold(number, over)), over))

    def cancel(self, number: int) -> None:
        """Have one leave."""
        for task, _ in self._tasks[number : number + 1]:
            task.cancel()

    def end(self, number: int) -> None:
        """Have one end."""
        for _, over in self._tasks[number : number + 1]:
            over.set()

    def shrink(self, number: int) -> None:
        """Have one need less than it reserved."""
        for share in self.shares[:1]:
            share.shrink(number)

    def give_and_cancel(self, number: int) -> None:
        """Have one get its room and leave in the same turn."""
        for share in self.shares[:1]:
            share.release()
        self.cancel(number)

    def end_all(self) -> None:
        """Have all end."""
        for _, over in self._tasks:
            over.set()


@given(STEPS)
def test_whatever_happens_no_more_is_held_than_there_is_and_all_comes_back(steps: Steps) -> None:
    """Requests come, end, shrink and are cancelled in any order, also in the turn in which they get their room."""
    asyncio.run(_walk(steps))


async def _walk(steps: Steps) -> None:
    async with asyncio.TaskGroup() as group:
        requests = Requests(group)
        for step, number in steps:
            if step == "turn":
                await asyncio.sleep(0)
            else:
                getattr(requests, step)(number)
            assert sum(share.size for share in requests.shares) <= requests.budget.held <= MOST
        requests.end_all()
    assert requests.budget.held == 0


async def test_a_body_that_waits_too_long_is_told_to_come_again() -> None:
    """503 with a retry, and the one behind it is not in its way."""
    budget = BodyBudget(MOST, 0.01)
    first = await budget.reserve(MOST)
    with pytest.raises(HttpRefusal) as caught:
        await budget.reserve(1)
    assert (caught.value.status, caught.value.reason, caught.value.retry) == (503, "OVERLOADED", True)
    first.release()
    assert (await budget.reserve(MOST)).size == MOST


async def test_a_small_body_does_not_pass_a_large_one_that_came_before() -> None:
    """First come, first served: a large one would wait for good otherwise."""
    budget = BodyBudget(MOST, 3600.0)
    first = await budget.reserve(50)
    async with asyncio.TaskGroup() as tasks:
        large = tasks.create_task(budget.reserve(80))
        await asyncio.sleep(0)
        small = tasks.create_task(budget.reserve(10))
        await asyncio.sleep(0)
        assert not large.done()
        assert not small.done()
        first.release()
    assert budget.held == 90


async def test_the_line_has_a_bound() -> None:
    """Who would be one too many is refused at once."""
    budget = BodyBudget(MOST, 3600.0)
    await budget.reserve(MOST)
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(budget.reserve(1)) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(HttpRefusal):
            await budget.reserve(1)
        for each in waiting:
            each.cancel()
    assert budget.held == MOST


async def test_a_body_larger_than_all_the_room_gets_all_of_it() -> None:
    """It would never be read otherwise."""
    budget = BodyBudget(MOST, 3600.0)
    assert (await budget.reserve(10 * MOST)).size == MOST
