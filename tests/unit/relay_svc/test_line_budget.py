"""Requests that anybody can send fill no log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay_svc.line_budget import LineBudget
from tests.harness.fuzz import examples


@given(st.lists(st.floats(0, 3), max_size=300))
@examples(200)
def test_lines_are_bounded_by_the_rate_and_each_untold_one_is_counted_once(pauses: list[float]) -> None:
    """However the requests come; a line says how many before it were not told."""
    budget = LineBudget(rate=2, burst=5)
    now = told = counted = untold = 0.0
    for pause in pauses:
        now += pause
        before = budget.take(now)
        if before is None:
            untold += 1
        else:
            told, counted, untold = told + 1, counted + before, untold - before
    assert untold >= 0
    assert told <= 5 + 2 * now + 1
    assert told + counted + untold == len(pauses)


def test_a_quiet_relay_tells_every_line() -> None:
    """The budget is for floods."""
    budget = LineBudget(rate=2, burst=5)
    assert [budget.take(float(second)) for second in range(100)] == [0] * 100
    assert [budget.take(100.0) for _ in range(7)] == [0] * 5 + [None] * 2
    assert budget.take(101.0) == 2
