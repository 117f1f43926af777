"""A machine is called busy when next to no processor time is left over, and by nothing else."""

from __future__ import annotations

import pytest

from prove.idle import Ticks, parse, read, was_busy


def test_the_kernels_counters_are_read_without_counting_guests_twice() -> None:
    """Guests' time is in user time already; waiting for a disk leaves a processor idle."""
    assert parse("cpu  10 1 5 70 4 0 1 9 3 2\ncpu0 1 1 1 1\n") == Ticks(74, 100)


@pytest.mark.parametrize(("idle", "busy"), [(0, True), (9, True), (10, False), (100, False)])
def test_busy_is_less_than_a_tenth_to_spare(idle: int, *, busy: bool) -> None:
    """Between two looks."""
    assert was_busy(Ticks(50, 1000), Ticks(50 + idle, 1100)) == busy


def test_without_counters_no_machine_is_busy() -> None:
    """Nor between two looks at the same moment."""
    assert not was_busy(Ticks(0, 0), Ticks(0, 0))
    assert not was_busy(read(), Ticks(0, 0))
