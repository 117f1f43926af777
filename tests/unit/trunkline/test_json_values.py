"""Values of JSON columns: what can be carried passes, and of the rest all that can be is kept."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.json_values import DEEPEST, fault_of, pruned


def nested(levels: int, core: object = 1) -> Any:
    """A value below so many levels of lists and objects by turns."""
    value = core
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def test_the_deepest_value_passes_and_one_more_level_does_not() -> None:
    """The schema draws the same line."""
    assert fault_of(nested(DEEPEST)) == ""
    assert "nested" in fault_of(nested(DEEPEST + 1))
    assert "nested" in fault_of(nested(900))


@pytest.mark.parametrize("value", [10**400, float("inf"), float("nan"), "\ud800", {"\ud800": 1}, [[10**400]]])
def test_what_nobody_can_carry_is_at_fault_and_pruned(value: object) -> None:
    """Numbers past a double, and halves of surrogate pairs in names and texts."""
    assert fault_of(value)
    assert fault_of(pruned(value)) == ""


def test_pruning_keeps_all_that_can_be_carried() -> None:
    """Null stands only where the fault is."""
    assert pruned({"a": 10**400, "b": [1, True, None, "x"]}) == {"a": None, "b": [1, True, None, "x"]}


@given(st.recursive(st.one_of(st.none(), st.integers(), st.floats(), st.text()), st.lists, max_leaves=9))
def test_what_was_pruned_is_never_at_fault(value: object) -> None:
    """Whatever it was, however deep."""
    assert fault_of(pruned(nested(40, value))) == ""
    if not fault_of(value):
        assert pruned(value) == value
