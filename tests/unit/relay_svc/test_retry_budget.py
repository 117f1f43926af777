"""The budgets of wasted retries, under a clock of their own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.retry_budget import Cut, RetryBudget, RetryBudgets


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


DEAD, FLAKY = (1, "dead"), (1, "flaky")


def fail(budgets: RetryBudgets, now: float, pair: tuple[int, str] | None, caller: int, retries: int = 2) -> int:
    """One request that nobody serves; answers how many retries it made."""
    budgets.request(now)
    retried: list[tuple[int, str] | None] = []
    while len(retried) < retries and budgets.cut(now, pair, caller) is Cut.NOBODYS:
        retried.append(pair)
    budgets.waste(now, retried, caller)
    return len(retried)


def test_a_dead_model_is_cut_to_its_share_and_takes_nothing_from_its_channels_other_models() -> None:
    """Nor from another channel that has the model, nor from its callers."""
    budgets = RetryBudgets()
    wasted = sum(fail(budgets, number / 1000, DEAD, 7) for number in range(9_000))
    assert 0.2 * 9_000 <= wasted <= 0.2 * 2 * 9_000 + 20 + 2
    assert budgets.cut(9.0, DEAD, 7) is Cut.MODEL
    assert budgets.cut(9.0, FLAKY, 7) is budgets.cut(9.0, (2, "dead"), 7) is Cut.NOBODYS


def test_who_asks_for_ever_new_models_spends_a_budget_of_its_own_in_bounded_memory() -> None:
    """A million names that no channel knows: other callers' retries go on, and so do those of the relay."""
    budgets = RetryBudgets()
    for number in range(1_000_000):
        fail(budgets, number / 100_000, (1, f"made-up-{number}"), 666, 1)
    assert budgets.cut(9.99, (1, "yet-another"), 666) is Cut.CALLER
    assert budgets.cut(9.99, FLAKY, 7) is Cut.NOBODYS
    assert len(budgets) <= 4096 + 2


def test_above_all_budgets_is_one_of_the_relay() -> None:
    """When a great many callers fail with a great many models, retries would only add to it."""
    budgets = RetryBudgets()
    for number in range(60_000):
        fail(budgets, 1.0, (number, "m"), number)
    assert budgets.cut(1.0, FLAKY, 7) is Cut.RELAY
    assert budgets.cut(12.0, FLAKY, 7) is Cut.NOBODYS


def test_what_the_caller_is_to_blame_for_is_charged_to_the_caller() -> None:
    """A request too large for every upstream says nothing of any of them."""
    budgets = RetryBudgets()
    for _ in range(2_000):
        fail(budgets, 1.0, None, 7)
    assert budgets.cut(1.0, None, 7) is budgets.cut(1.0, FLAKY, 7) is Cut.CALLER
    assert budgets.cut(1.0, FLAKY, 8) is Cut.NOBODYS


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5), st.integers(0, 5), st.integers(0, 3)), max_size=200),
    st.integers(1, 4),
)
def test_nobodys_failure_is_anothers(history: list[tuple[float, int, int, int]], most: int) -> None:
    """Whatever failed, a channel and model that did not may be retried, and no more budgets are kept than allowed."""
    budgets, now = RetryBudgets(most), 0.0
    for step, channel, model, retries in history:
        now += step
        fail(budgets, now, (channel, f"m{model}"), 7, retries)
        assert len(budgets) <= 2 * most
    assert budgets.cut(now, (1, "healthy"), 7) is Cut.NOBODYS
