"""Who guesses tokens is slowed down; memory and innocence are bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.fuzz import examples
from trunkline.guess_brake import GuessBrake


def test_wrong_tokens_are_answered_as_such_up_to_the_bound() -> None:
    """Then with how long to wait, and after that wait as such again."""
    brake = GuessBrake(most=3, window=60)
    assert [brake.wrong("10.0.0.1", 0.0) for _ in range(5)] == [0.0, 0.0, 0.0, pytest.approx(20), pytest.approx(20)]
    assert brake.wrong("10.0.0.2", 0.0) == 0.0
    assert brake.wrong("10.0.0.1", 19.0) == pytest.approx(1)
    assert brake.wrong("10.0.0.1", 20.001) == 0.0
    assert brake.wrong("10.0.0.1", 20.001) > 19.0


def test_the_addresses_that_one_host_can_choose_are_one() -> None:
    """A /64 of IPv6 is a host's own; IPv4 mapped into IPv6 is the same host."""
    brake = GuessBrake(most=1)
    assert brake.wrong("2001:db8::1", 0.0) == 0.0
    assert brake.wrong("2001:db8::ffff", 0.0) > 0.0
    assert brake.wrong("2001:db8:0:1::1", 0.0) == 0.0
    assert brake.wrong("10.0.0.1", 0.0) == 0.0
    assert brake.wrong("::ffff:10.0.0.1", 0.0) > 0.0
    assert brake.wrong("no address", 0.0) == 0.0


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 100)), max_size=200))
@examples(200)
def test_no_address_is_answered_more_often_than_the_rate(guesses: list[tuple[int, float]]) -> None:
    """Whoever guesses when, within any window at most twice the bound; and memory is bounded."""
    brake = GuessBrake(most=5, window=10, peers=20)
    answered: dict[int, list[float]] = {}
    now = 0.0
    for peer, pause in guesses:
        now += pause / 50
        if brake.wrong(f"10.0.0.{peer % 3}", now) == 0.0:
            answered.setdefault(peer % 3, []).append(now)
        assert len(brake) <= 20
    for times in answered.values():
        assert all(sum(start <= time < start + 10 for time in times) <= 10 for start in times)


def test_whoever_has_been_quiet_longest_is_forgotten() -> None:
    """A flood of addresses takes no memory."""
    brake = GuessBrake(most=1, peers=2)
    brake.wrong("10.0.0.1", 0.0)
    brake.wrong("10.0.0.2", 1.0)
    assert brake.wrong("10.0.0.1", 1.0) > 0.0
    brake.wrong("10.0.0.3", 2.0)
    assert len(brake) == 2
    assert brake.wrong("10.0.0.1", 2.0) > 0.0
