"""Turns of long work, measured in time."""

from __future__ import annotations

import asyncio

from router_svc.turns import Turns


class Clock:
    """A clock that stands until it is moved."""

    now = 0.0

    def read(self) -> float:
        """Tell the time."""
        return self.now


async def others_ran(turns: Turns) -> bool:
    """Take a step, and tell whether others had their turn."""
    ran: list[bool] = []
    asyncio.get_running_loop().call_soon(ran.append, True)
    await turns.step()
    return bool(ran)


async def test_others_run_when_a_turn_is_over_and_not_before() -> None:
    """Small steps share a turn; after it a new one begins."""
    clock = Clock()
    turns = Turns(clock.read, 1.0)
    assert not await others_ran(turns)
    clock.now = 1.0
    assert await others_ran(turns)
    assert not await others_ran(turns)


async def test_going_through_steps_says_after_each_that_it_is_alive() -> None:
    """A time limit on silence must not end work that goes on."""
    heard: list[int] = []
    await Turns(Clock().read).through(iter([None] * 3), lambda: heard.append(1))
    assert len(heard) == 3


async def test_pieces_are_let_go_one_a_turn() -> None:
    """The list is empty at the end, so nothing holds them."""
    pieces: list[object] = [object(), object()]
    await Turns(Clock().read).let_go(pieces)
    assert pieces == []
