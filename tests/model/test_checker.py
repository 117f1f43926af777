"""The checker itself, on toys whose answers are known: a checker that finds nothing proves nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.model.checker import Step, check, replay


class Jugs:
    """Two jugs of 3 and 5 units: to measure 4 takes six pourings."""

    goal = "both can be emptied"

    def initial(self) -> tuple[int, int]:
        """Both are empty."""
        return (0, 0)

    def steps(self, state: tuple[int, int]) -> Iterator[Step[tuple[int, int]]]:
        """Fill, empty, pour over."""
        small, large = state
        yield Step("fill small", (3, large), fair=False)
        yield Step("fill large", (small, 5), fair=False)
        yield Step("empty small", (0, large), fair=True)
        yield Step("empty large", (small, 0), fair=True)
        over = min(small, 5 - large)
        yield Step("pour into large", (small - over, large + over), fair=True)
        over = min(large, 3 - small)
        yield Step("pour into small", (small + over, large - over), fair=True)

    def broken(self, state: tuple[int, int]) -> str:
        """Four must not be measured."""
        return "nobody measures four" if 4 in state else ""

    def settled(self, state: tuple[int, int]) -> bool:
        """Both are empty."""
        return state == (0, 0)

    def canonical(self, state: tuple[int, int]) -> tuple[int, int]:
        """The jugs are not equals."""
        return state


class Harmless(Jugs):
    """Nobody minds four."""

    def broken(self, state: tuple[int, int]) -> str:
        """Nothing is forbidden."""
        return "" if state else "never"


class Leaky(Harmless):
    """The large jug cannot be emptied once it is full."""

    def steps(self, state: tuple[int, int]) -> Iterator[Step[tuple[int, int]]]:
        """Nothing leaves a full large jug."""
        for step in super().steps(state):
            if state[1] < 5 or step.state[1] == 5:
                yield step


class Twins(Harmless):
    """Two counters up to three that nobody can tell apart."""

    def steps(self, state: tuple[int, int]) -> Iterator[Step[tuple[int, int]]]:
        """Either counts on."""
        left, right = state
        if left < 3:
            yield Step("left counts", (left + 1, right), fair=True)
        if right < 3:
            yield Step("right counts", (left, right + 1), fair=True)

    def settled(self, state: tuple[int, int]) -> bool:
        """Both have counted to three."""
        return state == (3, 3)

    def canonical(self, state: tuple[int, int]) -> tuple[int, int]:
        """Which counter is which makes no difference."""
        return (min(state), max(state))


class Uneven(Twins):
    """The counters may not be two apart."""

    def broken(self, state: tuple[int, int]) -> str:
        """Two apart is too far."""
        return "never two apart" if abs(state[0] - state[1]) > 1 else ""


def test_a_broken_law_is_found_with_the_shortest_trace() -> None:
    """Breadth first: the riddle of the jugs takes six pourings, and the trace leads to what it says."""
    result = check(Jugs())
    assert result.finding is not None
    assert (result.finding.law, len(result.finding.trace), result.depth) == ("nobody measures four", 6, 6)
    assert 4 in replay(Jugs(), result.finding.trace)


def test_a_walk_without_a_finding_has_seen_every_state() -> None:
    """Sixteen pairs can be reached with these jugs; the others need a measure that is not there."""
    result = check(Harmless())
    assert (result.states, result.finding) == (16, None)


def test_a_state_that_cannot_come_to_rest_is_found() -> None:
    """Liveness: from a large jug that is full, no fair step leads to where both are empty."""
    result = check(Leaky())
    assert result.finding is not None
    assert (result.finding.law, result.finding.trace) == ("both can be emptied", ("fill large",))


def test_steps_that_are_not_fair_are_not_counted_on() -> None:
    """Only what comes by itself may lead to rest: with nothing fair, nothing does."""

    class Unfair(Harmless):
        def steps(self, state: tuple[int, int]) -> Iterator[Step[tuple[int, int]]]:
            return (step._replace(fair=False) for step in super().steps(state))

    result = check(Unfair())
    assert result.finding is not None
    assert len(result.finding.trace) == 1


def test_states_that_differ_by_names_alone_are_one() -> None:
    """Ten pairs stand for sixteen, and a trace through them keeps each counter's own name."""
    assert check(Twins()).states == 10
    result = check(Uneven())
    assert result.finding is not None
    assert len(set(result.finding.trace)) == 1
    assert Uneven().broken(replay(Uneven(), result.finding.trace)) == result.finding.law


def test_a_walk_past_its_bound_shows_nothing() -> None:
    """Part of the states says nothing of the rest, so it is no result."""
    with pytest.raises(RuntimeError, match="more than 5 states"):
        check(Harmless(), bound=5)


def test_a_trace_that_cannot_be_followed_says_where() -> None:
    """Kept traces outlive changes of the model only as long as they can happen."""
    with pytest.raises(LookupError, match="'right counts' cannot happen here"):
        replay(Twins(), ["right counts"] * 4)
