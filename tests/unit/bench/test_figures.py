"""What the figures are made of, and when a run is not to be trusted."""

from __future__ import annotations

import dataclasses
from typing import Any

from bench.figures import Figure, bars, capacity, doubts
from bench.measure import Sample

QUIET = Sample(
    requests=1000,
    failed=0,
    rate=1000.0,
    p50=1.0,
    p99=2.0,
    cpu={},
    rss={},
    upstream_share=0.3,
    stolen=0.0,
    by_others=0.0,
)


def sample(cpu: dict[str, float], **changed: Any) -> Sample:
    """A run on a quiet machine, but for what is changed."""
    return dataclasses.replace(QUIET, cpu=cpu, **changed)


def test_a_figure_is_a_median_and_the_range_that_it_comes_from() -> None:
    """One round that the machine spoilt moves the range, not the median."""
    assert Figure.of([3.0, 100.0, 1.0]) == Figure(3.0, 1.0, 100.0)


def test_all_parts_of_trunkline_count_so_that_work_cannot_hide_by_moving() -> None:
    """The bar for the sum looks at every process, the other at the relay alone."""
    json = {"nginx": [sample({"nginx": 20.0})], "Trunkline": [sample({"relay": 120.0, "router": 60.0})]}
    found = {bar.what: bar for bar in bars({"json-32": json})}
    whole = next(bar for what, bar in found.items() if what.startswith("all of Trunkline ≤ 8"))
    alone = next(bar for what, bar in found.items() if what.startswith("its relay alone"))
    assert (whole.found, whole.held) == (9.0, False)
    assert (alone.found, alone.held) == (6.0, True)


def test_a_peer_that_could_not_be_measured_neither_passes_nor_fails() -> None:
    """A bar without its peer says so."""
    json = {"nginx": [sample({"nginx": 20.0})], "Trunkline": [sample({"relay": 120.0})]}
    found = [bar.held for bar in bars({"json-32": json}) if "LiteLLM" in bar.what]
    assert found == [None]


def test_requests_a_cpu_second_are_compared_the_right_way_round() -> None:
    """A peer that costs forty times as much holds the bar of thirty."""
    json = {"Trunkline": [sample({"relay": 100.0})], "LiteLLM": [sample({"litellm": 4000.0})]}
    found = [(bar.found, bar.held) for bar in bars({"json-32": json}) if "LiteLLM" in bar.what]
    assert found == [(40.0, True)]


def test_a_run_on_a_busy_machine_is_doubted() -> None:
    """Time stolen by the host marks samples, and many such samples the run."""
    assert doubts({"json-32": {"nginx": [sample({"nginx": 20.0})]}}) == []
    stolen = {"json-32": {"nginx": [sample({"nginx": 20.0}, stolen=0.2)]}}
    assert doubts(stolen) == ["100% of the samples met a busy machine"]


def test_a_reference_that_changes_by_the_round_is_doubted() -> None:
    """It does the same work each time; when its cost changes, the machine did."""
    spread = {"json-32": {"nginx": [sample({"nginx": 20.0}), sample({"nginx": 30.0})]}}
    assert doubts(spread) == ["json-32: nginx's own cost spread by 40%"]


def test_an_upstream_that_fills_its_core_is_doubted() -> None:
    """Then it is the upstream that was measured."""
    full = {"json-32": {"Portkey": [sample({"portkey": 900.0}, upstream_share=0.95)]}}
    assert doubts(full) == ["json-32: the upstream used 95% of a core under Portkey"]


def test_capacity_is_that_of_the_upstream_alone_over_the_fastest_gateway() -> None:
    """The reference is no gateway."""
    samples = {
        "upstream": [sample({"upstream": 15.0}, rate=60_000)],
        "nginx": [sample({"nginx": 20.0}, rate=30_000)],
        "Portkey": [sample({"portkey": 900.0}, rate=1_000)],
    }
    assert capacity(samples) == 60.0
