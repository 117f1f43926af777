"""The budget of wasted retries, under a clock of its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.retry_budget import RetryBudget


def test_retries_that_led_to_an_answer_cost_nothing() -> None:
    """With a dead first channel every request goes on to the second, and rightly."""
    budget = RetryBudget(floor=0)
    for second in range(100):
        budget.request(second)
        assert budget.allows(second)


def test_retries_that_mend_nothing_are_cut_to_a_share_of_the_requests() -> None:
    """A retry storm ends at the share and the floor, not at requests times candidates."""
    budget = RetryBudget(share=0.2, window=10, floor=5)
    wasted = 0
    for number in range(1000):
        now = number / 100
        budget.request(now)
        if budget.allows(now):
            budget.failed(now, 2)
            wasted += 2
    assert 0.2 * 1000 <= wasted <= 0.2 * 1000 + 5 + 2


def test_waste_is_forgotten_once_it_is_older_than_the_window() -> None:
    """Upstreams recover, and the clock may stand still meanwhile."""
    budget = RetryBudget(share=0, window=10, floor=1)
    budget.failed(0, 5)
    assert not budget.allows(0)
    assert not budget.allows(8.9)
    assert budget.allows(10)
    budget.failed(1e9, 5)
    assert not budget.allows(1e9)
    assert budget.allows(1e9 + 11)


def test_the_floor_lets_a_quiet_relay_retry() -> None:
    """A share of nothing is nothing."""
    budget = RetryBudget(floor=2)
    budget.request(0)
    budget.failed(0, 2)
    assert budget.allows(0)
    budget.failed(0, 1)
    assert not budget.allows(0)


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans(), st.integers(0, 3)), max_size=80))
def test_never_is_more_wasted_in_a_window_than_share_and_floor_allow(history: list[tuple[float, bool, int]]) -> None:
    """Counted anew over every window that could be."""
    budget, now = RetryBudget(share=0.5, window=10, floor=3), 0.0
    wasted: list[tuple[float, int]] = []
    requests: list[float] = []
    for step, is_request, retries in history:
        now += step
        if is_request:
            budget.request(now)
            requests.append(now)
        elif budget.allows(now):
            # What is allowed may overshoot by the one request that is under way.
            recent = sum(count for when, count in wasted if when > now - 9)
            assert recent <= 0.5 * len([when for when in requests if when > now - 10]) + 3
            budget.failed(now, retries)
            wasted.append((now, retries))


@pytest.mark.parametrize("bad", [{"share": -1}, {"share": 2}, {"window": 0}, {"floor": -1}])
def test_a_budget_that_makes_no_sense_is_refused(bad: dict[str, int]) -> None:
    """At the start, not in a storm."""
    with pytest.raises(ValueError, match="needed"):
        RetryBudget(**bad)
