"""A full load keeps what it finds again, and nothing that differs by anything."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_svc.draft import Draft
from router_svc.routes import NOWHERE, Placement, Route
from router_svc.sameness import same
from router_svc.snapshot import Channel, ChannelKey, Item, Proxy, Shaping, Snapshot, Timeouts
from tests.unit.router_svc.builders import api_key, channel, head_of, key
from trunkline.secret import Secret


def full(number: int = 1) -> Channel:
    """A channel that has something in every field."""
    return channel(
        number,
        {"a": "upstream-a", "b": None},
        ("default", "vip"),
        keys=[key(number * 10), key(number * 10 + 1, "DISABLED")],
        overrides=[("default", "a", True, 3, 4)],
        header_overrides={"x": "y"},
        parameter_overrides='{"top_p":1}',
        timeouts=Timeouts(connect=5),
        shaping=Shaping(system_prompt="be kind", proxy=Proxy(b"proxy")),
    )


_OTHERWISE: dict[str, Any] = {
    "id": 9, "revision": 9, "content_hash": 9, "name": "other", "provider": "other", "base_url": "http://other",
    "status": "DISABLED", "priority": 9, "weight": 9, "header_overrides": {"x": "z"}, "parameter_overrides": "",
    "timeouts": Timeouts(connect=6), "keys": (key(10),), "usable": (), "sole": None, "models": ("b", "a"), "upstreams": {},
    "groups": ("default",), "overrides": (), "shaping": Shaping(system_prompt="be kind", proxy=Proxy(b"another")),
}  # fmt: skip


def test_a_channel_read_again_is_the_same() -> None:
    """What was remembered of its sealed things, once they were opened, is no content."""
    held = full()
    held.keys[0].opened = Secret("plain")
    held.keys[0].written = {}
    assert same(held, full())
    assert same(channel(1), channel(1))
    assert not same(channel(1), api_key(1))


@pytest.mark.parametrize("field", Channel.__struct_fields__)
def test_a_channel_that_differs_in_any_field_is_another(field: str) -> None:
    """Nothing is believed for its revision or hash: each field counts."""
    assert not same(full(), msgspec.structs.replace(full(), **{field: _OTHERWISE[field]}))


@pytest.mark.parametrize("other", [ChannelKey(10, b"x", "last", "ENABLED"), ChannelKey(10, b"sealed", "x", "ENABLED")])
def test_a_channel_key_that_was_sealed_anew_makes_another_channel(other: ChannelKey) -> None:
    """A key that was replaced must not stay in use because its id did not change."""
    assert not same(channel(1), channel(1, keys=[other]))


def test_a_usable_key_that_is_none_of_the_channels_own_is_noticed() -> None:
    """What is derived is held against what it is derived from, since a full load heals whatever was altered."""
    altered = msgspec.structs.replace(full(), usable=(key(10),))
    assert not same(altered, full())


def loaded(rows: list[Item], twin: Snapshot | None) -> Snapshot:
    """A full load of these rows."""
    head = head_of(rows)
    draft = Draft.from_nothing(head, None, twin)
    for row in rows:
        draft.put(row)
    return draft.done(head)


def test_a_full_load_that_finds_nothing_new_keeps_what_is_held() -> None:
    """Its peak is then little above what is held: channels, API keys and routes are the very same objects."""
    rows = [[channel(n, ("a", "b", "c*"), priority=n % 2, weight=n % 3) for n in range(1, 400)] for _ in range(2)]
    first = loaded([*rows[0], api_key()], None)
    again = loaded([*rows[1], api_key()], first)
    assert all(again.channels.get(n) is first.channels.get(n) for n in range(1, 400))
    assert again.api_keys.get(1) is first.api_keys.get(1) is again.api_keys_by_hash.get(b"h" * 32)
    for declared, route in first.routes["default"].items():
        assert again.routes["default"].named(declared) is route


def test_a_full_load_takes_what_changed_and_shares_the_rest() -> None:
    """One channel has another weight and one is gone: they are new, and so is only what they are in."""
    first = loaded([channel(n, ("a", "b") if n < 200 else ("b",)) for n in range(1, 400)], None)
    changed = channel(300, ("b",), weight=5)
    again = loaded([*(channel(n, ("a", "b") if n < 200 else ("b",)) for n in range(1, 300)), changed], first)
    assert again.channels.get(300) is changed
    assert again.channels.get(301) is None
    assert again.channels.get(5) is first.channels.get(5)
    assert again.routes["default"].named("a") is first.routes["default"].named("a")
    members = again.routes["default"].named("b").tiers[0].weighted
    assert dict(members.items()) == dict.fromkeys(range(1, 300), 1) | {300: 5}


placements = st.builds(Placement, st.integers(0, 1), st.integers(0, 3), st.sampled_from(["", "", "channel_disabled"]))
stands = st.dictionaries(st.integers(1, 300), placements, max_size=200)


@given(stands, stands)
def test_a_route_like_another_is_still_itself(before: dict[int, Placement], after: dict[int, Placement]) -> None:
    """Sharing never changes what a route holds, and an equal one is the older one itself."""
    old, new, twin = map(_route, (before, after, before))
    shared = new.like(old)
    assert [(tier.priority, dict(tier.weighted.items()), dict(tier.weightless.items())) for tier in shared.tiers] == [
        (tier.priority, dict(tier.weighted.items()), dict(tier.weightless.items())) for tier in new.tiers
    ]
    assert list(shared.out) == list(new.out)
    assert shared.count == new.count
    assert twin.like(old) is old


def _route(stands: dict[int, Placement]) -> Route:
    return NOWHERE.changed([(channel_id, None, place) for channel_id, place in stands.items()])
