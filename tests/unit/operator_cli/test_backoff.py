"""When a child that died is started again."""

from __future__ import annotations

from operator_cli.backoff import FIRST, LONGEST, STABLE, Backoff


def test_each_death_in_a_row_waits_twice_as_long_up_to_a_bound() -> None:
    """A child that keeps dying is tried ever more patiently, and never given up."""
    backoff = Backoff()
    waits = [backoff.after(uptime=0.0) for _ in range(2000)]
    assert waits[:4] == [FIRST, FIRST * 2, FIRST * 4, FIRST * 8]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST


def test_a_child_that_stayed_up_has_a_clean_record() -> None:
    """A death after a long life counts as the first."""
    backoff = Backoff()
    for _ in range(10):
        backoff.after(uptime=0.0)
    assert backoff.after(uptime=STABLE) == FIRST
    assert backoff.after(uptime=STABLE - 1) == FIRST * 2
