"""Thousands of schedules against the real routers and admins, and faulty ones of which every one must be caught.

Law: what is proven here holds for the code as it is, since nothing of the protocol is written a second time; and a simulation
counts for something only as long as it catches what it is for.
"""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.plans import schedule_of
from tests.simulation.runs import caught, first_failure, story_of, violation_of

SCHEDULES = 10_000
_PARTS = 20  # tests that share the schedules, so that workers can share the tests
_PATIENCE = 2_500  # schedules within which any mutant must be caught


@pytest.mark.parametrize("part", range(_PARTS))
def test_every_law_holds_in_every_schedule(part: int, sim_seed: int | None) -> None:
    """No false negative, nothing older over newer, no refresh lost, visible stays visible, and all comes to rest."""
    seeds = range(part, SCHEDULES, _PARTS) if sim_seed is None else [sim_seed][part:]
    failure = first_failure(seeds)
    assert failure is None, f"\n{failure}"


@pytest.mark.parametrize("name", MUTANTS)
def test_a_router_or_admin_that_breaks_a_law_is_caught(name: str) -> None:
    """And it is the fault that is caught: the same schedule holds every law without it, and shrinks with it."""
    failure = caught(range(_PATIENCE), MUTANTS[name])
    assert failure is not None
    assert len(failure.shortest.steps) <= len(failure.schedule.steps)
    again = violation_of(failure.shortest, MUTANTS[name])
    assert again is not None
    assert again.law == failure.violation.law


@pytest.mark.parametrize("seed", [1, 22, 333])
def test_a_seed_tells_the_same_story_every_time(seed: int) -> None:
    """A failure can be looked at again, to the microsecond."""
    assert story_of(schedule_of(seed)) == story_of(schedule_of(seed))
