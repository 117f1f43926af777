"""Outcomes that relays report."""

from __future__ import annotations

from prometheus_client import REGISTRY

from router_svc.metrics import BulkCounter, BulkHistogram
from router_svc.outcomes import KEPT, NAMED, Outcomes
from router_svc.wire import outcomes_of, result_name
from trunkline.v1 import router_pb2


def test_the_latest_of_each_channel_is_kept() -> None:
    """Successes and failures are told apart."""
    outcomes = Outcomes()
    outcomes.take(1, "SUCCESS", 200)
    outcomes.take(1, "UPSTREAM_ERROR", 500)
    record = outcomes.of(1)
    assert record is not None
    assert (record.successes, record.failures, record.last_result, record.last_http_status) == (
        1, 1, "UPSTREAM_ERROR", 500,
    )  # fmt: skip
    assert outcomes.of(2) is None


def test_equal_outcomes_of_a_message_count_each_and_the_last_one_stays() -> None:
    """As if they were taken one by one, in whatever order they came."""
    told = [(1, 1, 200), (2, 5, 500), (1, 5, 429), (1, 1, 200), (2, 5, 500), (1, 5, 429), (1, 1, 200), (3, 99, 0)]
    message = router_pb2.ReportOutcomesRequest(
        outcomes=[
            router_pb2.Outcome(channel_id=channel_id, result=result, http_status=status)  # type: ignore[arg-type]  # 99
            for channel_id, result, status in told
        ]
    )
    one_by_one, together = Outcomes(), Outcomes()
    for channel_id, result, status in told:
        one_by_one.take(channel_id, result_name(result), status)
    labels = {"channel": "1", "result": "SUCCESS"}
    before = REGISTRY.get_sample_value("trunkline_router_outcomes_total", labels) or 0.0
    for (channel_id, result, status), times in outcomes_of(message).items():
        together.take(channel_id, result_name(result), status, times)
    for channel_id in (1, 2, 3):
        assert together.of(channel_id) == one_by_one.of(channel_id)
    assert [*together._records] == [*one_by_one._records]
    assert REGISTRY.get_sample_value("trunkline_router_outcomes_total", labels) == before + 3


def test_whatever_is_reported_memory_stays_bounded() -> None:
    """The channels heard of longest ago are forgotten, and metrics name only so many."""
    outcomes = Outcomes()
    for channel_id in range(1, KEPT + 100):
        outcomes.take(channel_id, "BROKEN_ANSWER", 0)
    assert outcomes.of(1) is None
    assert outcomes.of(KEPT + 99) is not None
    assert len(outcomes._named) == NAMED
    assert REGISTRY.get_sample_value("trunkline_router_outcomes_total", {"channel": "other", "result": "BROKEN_ANSWER"})


def test_a_bulk_histogram_counts_as_the_librarys_would() -> None:
    """Buckets are cumulative, and equal observations count each."""
    histogram = BulkHistogram("trunkline_test_bulk_seconds", "For this test.", (0.1, 1.0))
    histogram.observe(0.05, 3)
    histogram.observe(0.1)
    histogram.observe(5.0, 2)
    REGISTRY.unregister(histogram)
    [family] = histogram.collect()
    values = {(sample.name, sample.labels.get("le")): sample.value for sample in family.samples}
    assert values["trunkline_test_bulk_seconds_bucket", "0.1"] == 4
    assert values["trunkline_test_bulk_seconds_bucket", "1.0"] == 4
    assert values["trunkline_test_bulk_seconds_bucket", "+Inf"] == 6
    assert values["trunkline_test_bulk_seconds_count", None] == 6


def test_a_bulk_counter_counts_as_the_librarys_would() -> None:
    """By labels, which are text when read."""
    counter = BulkCounter("trunkline_test_bulk", "For this test.", ["channel", "result"])
    counter.count(7, "SUCCESS")
    counter.count(7, "SUCCESS")
    counter.count("other", "SUCCESS")
    assert REGISTRY.get_sample_value("trunkline_test_bulk_total", {"channel": "7", "result": "SUCCESS"}) == 2
    assert REGISTRY.get_sample_value("trunkline_test_bulk_total", {"channel": "other", "result": "SUCCESS"}) == 1
    REGISTRY.unregister(counter)
