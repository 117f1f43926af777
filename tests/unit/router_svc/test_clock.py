"""The database's time, told by a monotonic clock."""

from __future__ import annotations

import random

import pytest

from router_svc.clock import DatabaseClock


def clock() -> DatabaseClock:
    """A clock on a machine that believes it is the year 1970."""
    return DatabaseClock(lambda: 7.0)


def test_the_machines_clock_is_asked_only_until_the_database_has_told_its_time() -> None:
    """From then on it may say what it likes."""
    made = clock()
    assert made.time(100.0) == 7.0
    made.learn(5_000.0, 100.0, 100.0)
    assert made.time(101.0) == pytest.approx(5_001.0)


def test_the_quickest_answer_counts() -> None:
    """A slow one may have been on its way for as long as it took, which says nothing new."""
    made = clock()
    made.learn(5_000.0, 100.0, 100.001)
    made.learn(5_001.0, 101.0, 103.0)
    assert made.time(104.0) == pytest.approx(5_003.999, abs=0.001)


@pytest.mark.parametrize("jump", [-3_600.0, -2.0, 2.0, 3_600.0])
def test_where_the_databases_clock_is_set_ours_is_set_too(jump: float) -> None:
    """It is the one that counts."""
    made = clock()
    made.learn(5_000.0, 100.0, 100.001)
    made.learn(5_001.0 + jump, 101.0, 101.001)
    assert made.time(101.001) == pytest.approx(5_001.0 + jump)


def test_it_is_never_ahead_of_the_database_and_hardly_behind() -> None:
    """Whatever the answers take on their ways."""
    rng = random.Random(1)
    made, now, offset = clock(), 100.0, 4_900.0
    for _ in range(1_000):
        there, back = rng.expovariate(1_000.0), rng.expovariate(1_000.0)
        made.learn(now + there + offset, now, now + there + back)
        now += there + back + 1.0
        assert made.time(now) <= now + offset + 1e-9
    assert made.time(now) > now + offset - 0.002
