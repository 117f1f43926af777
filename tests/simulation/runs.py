"""Runs many schedules, and makes the shortest story of one that breaks a law.

The law: a seed gives the same story every time, on every machine. A failure is shrunk by leaving steps out for as long as the
same law is still broken, and is told with the command that tells it again.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from tests.simulation.laws import Violation
from tests.simulation.nodes import Parts, virtual_modules
from tests.simulation.plans import Schedule, schedule_of
from tests.simulation.world import World

REAL = Parts()


@dataclass(frozen=True)
class Failure:
    """A schedule that breaks a law, as drawn and as short as it could be made."""

    schedule: Schedule
    shortest: Schedule
    violation: Violation

    def __str__(self) -> str:
        steps = f"{len(self.schedule.steps)} steps, {len(self.shortest.steps)} of them needed"
        return "\n".join(
            [
                f"{self.violation.law}: {self.violation.told}",
                f"seed {self.schedule.seed} ({steps}); tell it again: python -m tests.simulation {self.schedule.seed}",
                str(self.shortest),
            ]
        )


def violation_of(schedule: Schedule, parts: Parts = REAL) -> Violation | None:
    """Run one schedule; give the first law it breaks."""
    with virtual_modules():
        return World(schedule, parts).run()


def story_of(schedule: Schedule, parts: Parts = REAL) -> list[str]:
    """Run one schedule and tell what happened."""
    with virtual_modules():
        world = World(schedule, parts, traced=True)
        violation = world.run()
    return [*world.story.lines, f"{violation.law}: {violation.told}" if violation else "all laws held"]


def first_failure(seeds: Iterable[int], parts: Parts = REAL) -> Failure | None:
    """Run schedules until one breaks a law; give it shrunk."""
    with virtual_modules(), _rare_collections():
        for seed in seeds:
            schedule = schedule_of(seed)
            violation = World(schedule, parts).run()
            if violation is not None:
                return shrunk(schedule, parts, violation)
    return None


def caught(seeds: Iterable[int], mutant: Parts) -> Failure | None:
    """Run schedules until one breaks a law with a mutant and none without it; give it shrunk."""
    for seed in seeds:
        failure = first_failure([seed], mutant)
        if failure is not None and violation_of(failure.schedule) is None:
            return failure
    return None


def shrunk(schedule: Schedule, parts: Parts, violation: Violation) -> Failure:
    """Leave out all steps, and routers and admins, that the violation does not need."""
    shortest = schedule
    found = True
    while found:
        found = False
        for shorter in _shorter(shortest):
            other = World(shorter, parts).run()
            if other is not None and other.law == violation.law:
                shortest, violation, found = shorter, other, True
                break
    return Failure(schedule, shortest, violation)


def _shorter(schedule: Schedule) -> Iterator[Schedule]:
    """Give simpler schedules, those first that leave out most."""
    count = len(schedule.steps)
    size = count
    while size:
        for start in range(0, count, size):
            yield schedule.without(start, size)
        size //= 2
    if schedule.admins:
        yield replace(schedule, admins=schedule.admins - 1)
    if schedule.routers > 1:
        yield replace(schedule, routers=schedule.routers - 1)
    if schedule.slowness:
        yield replace(schedule, slowness=0.0)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Collect garbage rarely: a schedule makes much, and drops it all at its end."""
    before = gc.get_threshold()
    gc.set_threshold(20_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)
