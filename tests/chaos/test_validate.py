"""The validator tells what logs and database prove, contradict, or leave open."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from prove.validate import Deployment, Line, Revision, Serving, judge

ON_SINCE_3 = {("g", "m"): [Serving(7, 3, able=True)]}


def revision(number: int, touched: int = 0, **more: Any) -> Revision:
    """A revision made at second `number` times ten."""
    return Revision(number, 10.0 * number, more.get("request_id"), frozenset(), touched)


def deployment(newest: int = 6, **more: Any) -> Deployment:
    """Revisions 1 to `newest`; nothing serves anything unless said."""
    revisions = {number: revision(number, int(number < 4)) for number in range(1, newest + 1)}
    return Deployment(revisions, more.get("serving", {}), more.get("deleted", {}), more.get("unsound", ()))


def line(event: str, second: float, **fields: Any) -> Line:
    """A log line."""
    return {"event": event, "time": datetime.fromtimestamp(second, UTC).isoformat(), **fields}


def no(second: float, number: int, **fields: Any) -> Line:
    """A router's no, asked for a tenth of a second before."""
    return line(
        "[Distributor] no available channel",
        second,
        group="g",
        model="m",
        revision=number,
        **{"waited_ms": 100, **fields},
    )


def test_a_no_that_nothing_has_changed_since_is_proven() -> None:
    """Revisions 4 to 6 touched no channel."""
    verdicts = judge([no(45.0, 4)], deployment())
    assert verdicts.faults == []
    assert verdicts.counts["negatives proven true at their revision"] == 1


def test_a_no_to_a_pair_that_a_channel_unchanged_since_serves_is_false() -> None:
    """Unless the pick itself had put that channel out."""
    serving = deployment(serving=ON_SINCE_3)
    assert len(judge([no(45.0, 4)], serving).faults) == 1
    assert judge([no(45.0, 4, out={"7": "excluded"})], serving).faults == []


def test_a_no_from_before_the_last_change_of_its_channels_is_open() -> None:
    """The catalog keeps what is, not what was."""
    verdicts = judge([no(25.0, 2)], deployment(serving=ON_SINCE_3))
    assert verdicts.faults == []
    assert verdicts.counts["negatives open: what they were about has changed since"] == 1


def test_a_no_by_a_revision_that_was_over_before_it_was_asked_for_is_stale() -> None:
    """Revision 2 was over when 4 began, at 40."""
    assert judge([no(41.0, 2)], deployment()).faults == []
    assert len(judge([no(45.0, 2)], deployment()).faults) == 1


def test_a_no_whose_line_does_not_say_how_long_it_waited_gets_the_benefit_of_the_doubt() -> None:
    """For as long as any pick may wait."""
    silent = {key: value for key, value in no(99.0, 2).items() if key != "waited_ms"}
    assert judge([silent], deployment()).faults == []
    assert len(judge([{**silent, **line("x", 102.0), "event": silent["event"]}], deployment()).faults) == 1


@pytest.mark.parametrize("event", ["[Distributor] served", "[Distributor] upstream_error"])
def test_a_plan_names_a_revision_that_exists_and_channels_that_do(event: str) -> None:
    """Not one of the future, and none that was deleted before."""
    plan = {"decision_id": "d", "channel_ids": [7], "duration_ms": 500.0}
    assert judge([line(event, 45.0, revision=4, **plan)], deployment(deleted={7: 5})).faults == []
    assert len(judge([line(event, 45.0, revision=4, **plan)], deployment(deleted={7: 4})).faults) == 1
    assert len(judge([line(event, 45.0, revision=5, **plan)], deployment()).faults) == 1
    assert len(judge([line(event, 45.0, revision=9, **plan)], deployment()).faults) == 1
    assert judge([line(event, 45.5, revision=2, **plan)], deployment()).oldest_plan == pytest.approx(5.0)


def test_a_change_acknowledged_is_in_the_history_under_its_request_id() -> None:
    """What is older than the history kept is not asked for."""
    known = Deployment({3: revision(3, request_id="a"), 4: revision(4)}, {}, {})
    told = [line("mutation committed", 31.0, revision=number, request_id=name) for number, name in ((3, "a"), (2, "z"))]
    assert judge(told, known).faults == []
    assert len(judge([line("mutation committed", 31.0, revision=3, request_id="b")], known).faults) == 1
    assert len(judge([line("mutation committed", 31.0, revision=5, request_id="c")], known).faults) == 1


def test_a_history_with_a_gap_and_a_catalog_with_false_stamps_are_found() -> None:
    """Before any line is read."""
    assert len(judge([], Deployment({1: revision(1), 3: revision(3)}, {}, {}, ["digest"])).faults) == 2
