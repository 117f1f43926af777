"""Walks every state that a model can reach, and tells the shortest way to one that breaks a law.

The law: breadth first, so the first state found broken is one of the nearest; every state is looked at once, so a walk that
ends without a finding has shown that there is none within the model's scope. Knows nothing of what it walks: the model says
what may happen, what must never be, which states differ only by names, and where things must be able to come to rest.
"""

from __future__ import annotations

import gc
from array import array
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)


class Step(NamedTuple, Generic[S]):
    """Something that may happen in a state. Names are unique among the steps of a state."""

    name: str
    state: S
    """What there is afterwards."""
    fair: bool
    """Whether it comes sooner or later once no more faults come, and so may be counted on."""


class Model(Protocol[S]):
    """What can be walked."""

    goal: str
    """The law that is broken where fair steps cannot lead to a settled state any more."""

    def initial(self) -> S:
        """Give the state in which everything begins."""
        ...

    def steps(self, state: S) -> Iterable[Step[S]]:
        """Tell all that may happen in a state, always in the same order."""
        ...

    def broken(self, state: S) -> str:
        """Name the law that a state breaks; empty when it breaks none."""
        ...

    def settled(self, state: S) -> bool:
        """Tell whether everything that must be reached in the end has been."""
        ...

    def canonical(self, state: S) -> S:
        """Give the one state that stands for all which differ only by the names of equals."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken law, and the shortest way to break it."""

    law: str
    trace: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What a walk has shown."""

    states: int
    steps: int
    depth: int
    """Steps to the farthest state."""
    finding: Finding | None


def check(model: Model[S], *, bound: int = 10_000_000) -> Result:
    """Walk a model. Raises RuntimeError when it has more states than the bound: part of a walk would show nothing."""
    walk = _Walk(model, bound)
    collecting = gc.isenabled()
    gc.disable()  # states hold no cycles, and looking through millions of them for some takes longer than the walk
    try:
        bad = walk.explore()
    finally:
        if collecting:
            gc.enable()
    law = model.goal if bad is None else model.broken(walk.states[bad])
    if bad is None:
        bad = walk.unsettled()
    finding = None if bad is None else Finding(law, tuple(_named(model, walk.path(bad))))
    return Result(len(walk.states), walk.steps, walk.depth, finding)


class _Walk(Generic[S]):
    """The states found so far, each with where it was first reached from, and all fair steps between them."""

    def __init__(self, model: Model[S], bound: int) -> None:
        start = model.canonical(model.initial())
        self.model, self.bound = model, bound
        self.states = [start]
        self.numbers = {start: 0}
        self.parents = array("l", [-1])
        self.fair_from, self.fair_to = array("l"), array("l")
        self.steps = self.depth = 0

    def explore(self) -> int | None:
        """Walk breadth first; give the number of the first broken state, if any."""
        if self.model.broken(self.states[0]):
            return 0
        at, level_end = 0, 1
        while at < len(self.states):
            if at == level_end:
                self.depth, level_end = self.depth + 1, len(self.states)
            bad = self._look_around(at)
            if bad is not None:
                self.depth += 1
                return bad
            at += 1
            if len(self.states) > self.bound:
                raise RuntimeError(f"more than {self.bound} states: the scope is too large")
        return None

    def _look_around(self, at: int) -> int | None:
        model, states = self.model, self.states
        for step in model.steps(states[at]):
            self.steps += 1
            state = model.canonical(step.state)
            number = self.numbers.setdefault(state, len(states))
            if step.fair:
                self.fair_from.append(at)
                self.fair_to.append(number)
            if number == len(states):
                states.append(state)
                self.parents.append(at)
                if model.broken(state):
                    return number
        return None

    def unsettled(self) -> int | None:
        """Give the first state from which fair steps cannot lead to a settled one, found by going backwards from those."""
        sources: list[list[int]] = [[] for _ in self.states]
        for source, target in zip(self.fair_from, self.fair_to, strict=True):
            sources[target].append(source)
        reaches = bytearray(map(self.model.settled, self.states))
        queue = deque(number for number, settled in enumerate(reaches) if settled)
        while queue:
            for source in sources[queue.popleft()]:
                if not reaches[source]:
                    reaches[source] = 1
                    queue.append(source)
        stuck = reaches.find(0)
        return None if stuck < 0 else stuck

    def path(self, number: int) -> list[S]:
        """Give the states on the way to one."""
        way = []
        while number >= 0:
            way.append(self.states[number])
            number = self.parents[number]
        return way[::-1]


def _named(model: Model[S], path: list[S]) -> Iterator[str]:
    """Name the steps along a path of canonical states, with every equal keeping its own name all the way."""
    state = model.initial()
    for following in path[1:]:
        step = next(step for step in model.steps(state) if model.canonical(step.state) == following)
        state = step.state
        yield step.name


def replay(model: Model[S], trace: Iterable[str]) -> S:
    """Follow a trace from the beginning; give the state in which it ends. Raises LookupError where it cannot go on."""
    state = model.initial()
    for name in trace:
        steps = {step.name: step.state for step in model.steps(state)}
        if name not in steps:
            raise LookupError(f"{name!r} cannot happen here; what can: {sorted(steps)}")
        state = steps[name]
    return state
