"""Metrics that are noted now and settled later."""

from __future__ import annotations

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from relay_svc.tally import Counter, Gauge, Histogram, settle

BUCKETS = (0.1, 1, 10)


@given(st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.2, 1.0, 5.0, 10.0, 11.0, 1e9])))
def test_a_histogram_reads_as_the_librarys_own(amounts: list[float]) -> None:
    """Bound by bound, edges included."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    noted = Histogram("h", "h.", buckets=BUCKETS, registry=ours)
    plain = prometheus_client.Histogram("h", "h.", buckets=BUCKETS, registry=theirs)
    for amount in amounts:
        noted.observe(amount)
        plain.observe(amount)
    for sample in ("h_count", "h_sum", *(f"h_bucket:{bound}" for bound in ("0.1", "1.0", "10.0", "+Inf"))):
        name, _, bound = sample.partition(":")
        labels = {"le": bound} if bound else {}
        assert ours.get_sample_value(name, labels) == pytest.approx(theirs.get_sample_value(name, labels))


def test_what_was_noted_shows_once_however_often_it_is_settled() -> None:
    """Children too, each by itself."""
    registry = CollectorRegistry()
    counter = Counter("c", "c.", ["kind"], registry=registry)
    gauge = Gauge("g", "g.", registry=registry)
    counter.labels("a").inc()
    counter.labels("a").inc(2)
    gauge.inc()
    gauge.inc()
    gauge.dec()
    settle()
    settle()
    assert registry.get_sample_value("c_total", {"kind": "a"}) == 3
    assert registry.get_sample_value("g") == 1
    assert b'c_total{kind="a"} 3.0' in generate_latest(registry)
