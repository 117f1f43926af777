"""Reading what load generators and the kernel say."""

from __future__ import annotations

import math

from bench.load import quantile, read_log
from bench.machine import Reading, disturbance


def test_requests_missing_from_the_log_have_failed() -> None:
    """h2load writes no line for a request that never ended, and a status for one refused."""
    run = read_log("1\t200\t1000\n2\t200\t3000\n3\t503\t100\n", requests=4, seconds=2.0)
    assert (run.requests, run.failed, run.p50, run.p99, run.rate) == (4, 2, 1.0, 3.0, 2.0)


def test_a_quantile_is_one_of_the_values() -> None:
    """Nothing is made up between two of them."""
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.0
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.99) == 4.0
    assert math.isnan(quantile([], 0.5))


def test_time_that_nobody_of_ours_used_was_used_by_others() -> None:
    """Of 20 s on two cores, 12 were busy and 8 ours: a fifth of the machine went to others, a tenth was stolen."""
    before = Reading.parse("cpu 0 0 0 0 0 0 0 0 0 0", ticks=1)
    after = Reading.parse("cpu 10 0 2 6 0 0 0 2 0 0", ticks=1)
    meanwhile = disturbance(before, after, ours=8.0)
    assert (meanwhile.stolen, meanwhile.by_others) == (0.1, 0.2)
    assert meanwhile.noisy
