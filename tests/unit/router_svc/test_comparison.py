"""Comparing a snapshot with its own rows: nothing lost or altered in memory goes unnoticed."""

from __future__ import annotations

from dataclasses import replace

from router_svc.comparison import Comparison
from router_svc.draft import BadRow
from router_svc.snapshot import Group, GroupRoutes, Item, Snapshot
from tests.unit.router_svc.builders import api_key, channel, snapshot

ROWS: list[Item | BadRow] = [
    channel(1, ("m", "gpt-*"), overrides=[("default", "m", False, None, None)]),
    channel(2, ("m",), weight=0, priority=3),
    channel(3, ("n",), status="DISABLED"),
    api_key(models=("m",)),
    Group("default", 1, 9),
    BadRow("channel", 4, 1, 5, "a fault", off=False),
]


def differences(held: Snapshot, rows: list[Item | BadRow]) -> list[str]:
    """What a comparison with these rows finds."""
    comparison = Comparison(held)
    for row in rows:
        comparison.look(row)
    return comparison.end()


def test_a_snapshot_is_the_same_as_its_own_rows() -> None:
    """No false alarm: abilities that are off, wildcards, weightless channels and quarantined rows included."""
    assert differences(snapshot(*ROWS), ROWS) == []


def test_a_row_with_another_content_is_a_difference_though_its_hash_says_otherwise() -> None:
    """Content is compared, not what was said of it."""
    held = snapshot(*ROWS)
    for altered, named in (
        (channel(2, ("m",), weight=0, priority=3, base_url="http://other"), "channel 2"),
        (api_key(models=("m", "n")), "api_key 1"),
        (Group("default", 1, 10), "group default"),
        (channel(4, ("m",)), "channel 4"),
        (BadRow("channel", 1, 1, 5, "a fault", off=False), "channel 1"),
        (BadRow("channel", 4, 1, 6, "a fault", off=False), "channel 4"),
        (BadRow("channel", 4, 2, 5, "a fault", off=False), "channel 4"),
    ):
        of_kind, key = named.split()
        rows = [row for row in ROWS if f"{_kind(row)} {_key(row)}" != f"{of_kind} {key}"]
        assert differences(held, [*rows, altered]) == [named]


def test_missing_and_surplus_rows_are_differences() -> None:
    """What is held and not there, and what is there and not held."""
    held = snapshot(*ROWS)
    assert differences(held, ROWS[1:]) == ["the number of channel rows"]
    assert differences(held, [*ROWS, channel(9)]) == ["channel 9", "the number of channel rows"]


def test_a_route_that_lost_a_channel_and_a_lost_look_up_are_differences() -> None:
    """What was derived from rows is held against them too."""
    held = snapshot(*ROWS)
    routes = held.routes["default"]
    without_wildcards = replace(held, routes={"default": GroupRoutes(routes.exact, {})})
    assert differences(without_wildcards, ROWS) == ["channel 1"]
    assert differences(replace(held, routes={}), ROWS) == ["channel 1", "channel 2", "channel 3"]
    assert differences(replace(held, api_keys_by_hash=type(held.api_keys_by_hash).empty()), ROWS) == ["api_key 1"]
    heavy = channel(1, ("m", "gpt-*"), overrides=[("default", "m", False, None, None)], weight=7)
    assert differences(replace(held, routes=snapshot(heavy, *ROWS[1:]).routes), ROWS) == ["channel 1"]
    twin = snapshot(*ROWS[:3], api_key(models=("m",)), *ROWS[4:])
    assert differences(replace(held, api_keys_by_hash=twin.api_keys_by_hash), ROWS) == ["api_key 1"]


def _kind(row: Item | BadRow) -> str:
    return (
        row.kind
        if isinstance(row, BadRow)
        else {"Channel": "channel", "ApiKey": "api_key"}.get(type(row).__name__, "group")
    )


def _key(row: Item | BadRow) -> int | str:
    return row.name if isinstance(row, Group) else row.id
