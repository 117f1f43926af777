"""Snapshots: a delta makes what a full load makes, whatever happened, and one bad row harms nobody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_svc.draft import STEP, BadRow, Disagreement, Draft, Tombstone, apply_delta, key_of, kind_of
from router_svc.snapshot import Channel, Group, Item, Kind, Snapshot
from tests.unit.router_svc.builders import api_key, channel, head_of, ids_of, key, plan_of, snapshot

Seen = dict[str, Any]


def seen_in(held: Snapshot) -> Seen:
    """Everything a pick can see of a snapshot, in plain values."""
    routes = {
        (group, declared): (
            [(tier.priority, dict(tier.weighted.items()), set(tier.weightless)) for tier in route.tiers],
            set(route.out),
        )
        for group, of_group in held.routes.items()
        for declared, route in of_group.items()
    }
    return {
        "head": held.head,
        "abilities": held.ability_count,
        "routes": routes,
        "channels": {item.id: (item.revision, item.priority) for item in held.channels.values()},
        "api_keys": {item.id: item.hash for item in held.api_keys.values()},
        "hashes": {digest: item.id for digest, item in held.api_keys_by_hash.items()},
        "groups": set(held.groups),
        "quarantine": {name: bad.served_revision for name, bad in held.quarantine.items()},
    }


models = st.lists(st.sampled_from(["a", "b", "c*", "ca*", "*"]), unique=True, max_size=4)
groups = st.lists(st.sampled_from(["g", "h"]), unique=True, max_size=2)
overrides = st.lists(
    st.tuples(
        st.sampled_from(["g", "h"]),
        st.sampled_from(["a", "c*"]),
        st.one_of(st.none(), st.booleans()),
        st.one_of(st.none(), st.integers(0, 2)),
        st.one_of(st.none(), st.integers(0, 2)),
    ),
    max_size=2,
    unique_by=lambda override: override[:2],
)
key_statuses = st.lists(st.sampled_from(["ENABLED", "DISABLED"]), max_size=2)


KINDS: list[Kind] = ["channel", "channel", "channel", "api_key", "group"]


@st.composite
def changes(draw: st.DrawFn) -> Callable[[int], Item | BadRow | Tombstone]:
    """One change, to be made at a revision."""
    number = draw(st.integers(1, 5))
    content_hash = draw(st.integers(-(2**63), 2**63 - 1))
    kind: Kind = draw(st.sampled_from(KINDS))
    what = draw(st.sampled_from(["put", "put", "put", "delete", "bad", "off"]))
    name: int | str = f"group {number}" if kind == "group" else number
    if what == "delete":
        return lambda _: Tombstone(kind, name)
    if what in ("bad", "off") and kind != "group":
        return lambda revision: BadRow(kind, name, revision, content_hash, "unreadable", what == "off")
    if kind == "group":
        return lambda revision: Group(f"group {number}", revision, content_hash)
    if kind == "api_key":
        digest = bytes([draw(st.integers(1, 5))]) * 32
        return lambda revision: api_key(number, revision=revision, content_hash=content_hash, hash=digest)
    columns: dict[str, Any] = {
        "models": draw(models),
        "groups": draw(groups),
        "overrides": draw(overrides),
        "keys": [key(place, status) for place, status in enumerate(draw(key_statuses))],
        "priority": draw(st.integers(0, 2)),
        "weight": draw(st.integers(0, 3)),
        "status": draw(st.sampled_from(["ENABLED", "DISABLED"])),
    }
    return lambda revision: channel(number, revision=revision, content_hash=content_hash, **columns)


@dataclass
class Catalog:
    """A catalog in the simplest way: rows and tombstones by name."""

    rows: dict[tuple[Kind, Any], Item | BadRow] = field(default_factory=dict)
    tombstones: dict[tuple[Kind, Any], int] = field(default_factory=dict)

    def change(self, change: Item | BadRow | Tombstone, revision: int) -> None:
        """Make one change."""
        if isinstance(change, Tombstone):
            if self.rows.pop((change.kind, change.id), None) is not None:
                self.tombstones[change.kind, change.id] = revision
            return
        name = (change.kind, change.id) if isinstance(change, BadRow) else (kind_of(change), key_of(change))
        taken = getattr(change, "hash", None)
        if taken is not None and any(
            getattr(row, "hash", None) == taken and other != name for other, row in self.rows.items()
        ):
            return  # hashes are unique in the database
        self.rows[name] = change

    def since(self, revision: int) -> tuple[list[Item | BadRow], list[Tombstone]]:
        """A delta."""
        rows = [row for row in self.rows.values() if row.revision > revision]
        return rows, [Tombstone(*name) for name, at in self.tombstones.items() if at > revision]


@given(st.lists(st.tuples(st.lists(changes(), min_size=1, max_size=4), st.booleans()), max_size=10))
def test_a_delta_makes_what_a_full_load_makes(history: list[tuple[list[Any], bool]]) -> None:
    """For every history, applied at any of its revisions: the same routes, channels, keys, digest and counts."""
    catalog = Catalog()
    followed = snapshot(revision=0)
    for revision, (made, load) in enumerate(history, 1):
        for change in made:
            catalog.change(change(revision), revision)
        if not load and revision < len(history):
            continue  # the next delta takes this one too
        head = head_of(catalog.rows.values(), revision)
        whole = snapshot(*catalog.rows.values(), revision=revision, last_good=followed)
        followed = apply_delta(followed, head, *catalog.since(followed.token.revision))
        assert seen_in(followed) == seen_in(whole)
        assert followed.head == head


def test_a_snapshot_in_use_does_not_change_under_a_delta() -> None:
    """Structure is shared, never mutated."""
    rows: list[Item | BadRow] = [channel(number, ["a", "b*"], revision=1) for number in range(1, 600)]
    old = snapshot(*rows)
    before = seen_in(old)
    changed: list[Item | BadRow] = [channel(7, ["a"], weight=5, revision=2), *rows[:6], *rows[7:-1]]
    new = apply_delta(old, head_of(changed, 2), changed[:1], [Tombstone("channel", 599)])
    assert seen_in(old) == before
    assert seen_in(new) == seen_in(snapshot(*changed, revision=2))


def test_a_change_that_moves_no_channel_leaves_every_route_alone() -> None:
    """A new upstream key or URL costs no index work at all."""
    old = snapshot(channel(1), channel(2))
    changed = channel(1, base_url="http://127.0.0.1:10", keys=[key(99)], revision=2)
    new = apply_delta(old, head_of([changed, channel(2)], 2), [changed], [])
    assert new.routes["default"] is old.routes["default"]
    assert plan_of(new, excluded=frozenset({2})).candidates[0].channel is changed


def test_only_the_groups_that_changed_are_copied() -> None:
    """A change in one group shares the other groups' routes."""
    old = snapshot(channel(1, groups=["g"]), channel(2, groups=["h"]))
    changed = channel(1, groups=["g"], weight=9, revision=2)
    new = apply_delta(old, head_of([changed, channel(2)], 2), [changed], [])
    assert new.routes["h"] is old.routes["h"]
    assert new.routes["g"] is not old.routes["g"]


@pytest.mark.parametrize("wrong", ["digest", "channel_count", "api_key_count", "group_count"])
def test_rows_that_do_not_add_up_to_their_head_are_refused(wrong: str) -> None:
    """A torn read is never installed."""
    rows: list[Item | BadRow] = [channel(1), api_key(), Group("default", 1, 5)]
    head = head_of(rows)
    with pytest.raises(Disagreement):
        apply_delta(snapshot(revision=0), head._replace(**{wrong: getattr(head, wrong) + 1}), rows, [])


def test_a_row_that_cannot_be_read_leaves_its_last_good_version_and_everybody_else() -> None:
    """One bad row is one bad row."""
    old = snapshot(channel(1), channel(2))
    bad = BadRow("channel", 1, 2, 77, "headers: not an object", off=False)
    new = apply_delta(old, head_of([bad, channel(2)], 2), [bad], [])
    assert sorted(ids_of(plan_of(new))) == [1, 2]
    assert new.quarantine["channel", "1"].served_revision == 1
    assert new.head == head_of([bad, channel(2)], 2)


def test_a_bad_row_that_says_it_is_off_takes_the_last_good_version_with_it() -> None:
    """Quarantine never keeps alive what an operator has switched off."""
    old = snapshot(channel(1), channel(2))
    bad = BadRow("channel", 1, 2, 77, "headers: not an object", off=True)
    new = apply_delta(old, head_of([bad, channel(2)], 2), [bad], [])
    assert ids_of(plan_of(new)) == [2]
    assert new.quarantine["channel", "1"].served_revision == 0


def test_a_bad_row_that_is_deleted_takes_the_last_good_version_with_it() -> None:
    """Quarantine never keeps alive what is gone."""
    bad = BadRow("channel", 1, 2, 77, "headers: not an object", off=False)
    quarantined = apply_delta(snapshot(channel(1), channel(2)), head_of([bad, channel(2)], 2), [bad], [])
    new = apply_delta(quarantined, head_of([channel(2)], 3), [], [Tombstone("channel", 1)])
    assert ids_of(plan_of(new)) == [2]
    assert not new.quarantine


def test_a_bad_row_without_a_good_version_is_left_out_until_it_can_be_read() -> None:
    """A new channel with a fault in it appears once it is repaired."""
    bad = BadRow("channel", 1, 1, 77, "weight: not within 0 and 1000000", off=False)
    held = snapshot(bad, channel(2))
    assert ids_of(plan_of(held)) == [2]
    repaired = channel(1, revision=2)
    new = apply_delta(held, head_of([repaired, channel(2)], 2), [repaired], [])
    assert sorted(ids_of(plan_of(new))) == [1, 2]
    assert not new.quarantine


def test_a_full_load_keeps_last_good_versions_of_the_same_history_only() -> None:
    """After a reload a bad row is still served by what was good; with another database's history it is not."""
    bad = BadRow("channel", 1, 2, 77, "headers: not an object", off=False)
    assert ids_of(plan_of(snapshot(bad, channel(2), revision=2, last_good=snapshot(channel(1)))))
    held = snapshot(bad, channel(2), revision=2, last_good=snapshot(channel(1)))
    assert sorted(ids_of(plan_of(held))) == [1, 2]
    assert ids_of(plan_of(snapshot(bad, channel(2), revision=2))) == [2]


def test_a_row_that_lives_beats_a_tombstone_of_its_id() -> None:
    """A channel deleted and put back under its id within one delta is there."""
    old = snapshot(channel(1))
    back = channel(1, weight=3, revision=3)
    new = apply_delta(old, head_of([back], 3), [back], [Tombstone("channel", 1)])
    assert ids_of(plan_of(new)) == [1]


def test_two_api_keys_may_trade_their_hashes() -> None:
    """Each hash finds its new owner, in whatever order the rows come."""
    one, two = b"1" * 32, b"2" * 32
    old = snapshot(api_key(1, hash=one), api_key(2, hash=two))
    traded = [api_key(1, hash=two, revision=2), api_key(2, hash=one, revision=2)]
    for rows in (traded, traded[::-1]):
        new = apply_delta(old, head_of(rows, 2), rows, [])
        assert {digest: item.id for digest, item in new.api_keys_by_hash.items()} == {one: 2, two: 1}


def test_folding_a_large_load_lets_others_run_in_between() -> None:
    """A full load never holds the loop for longer than a step."""
    rows: list[Channel] = [channel(number, [f"m{number % 50}"]) for number in range(1, 3 * STEP)]
    draft = Draft.from_nothing(head_of(rows))
    for row in rows:
        draft.put(row)
    assert sum(1 for _ in draft.fold()) >= 2
    assert draft.done(head_of(rows)).ability_count == len(rows)


def test_a_route_of_many_channels_is_folded_in_steps_too() -> None:
    """One model that every channel serves is no reason to hold the loop; the route is what it would be at once."""
    rows = [channel(number, weight=number % 7 + 1) for number in range(4 * STEP, 0, -1)]
    draft = Draft.from_nothing(head_of(rows))
    for row in rows:
        draft.put(row)
    assert sum(1 for _ in draft.fold()) >= 4
    [tier] = draft.done(head_of(rows)).routes["default"].named("m").tiers
    assert dict(tier.weighted.items()) == {row.id: row.weight for row in rows}


def test_a_draft_that_is_given_up_gives_all_that_it_made_and_nothing_of_its_base() -> None:
    """So it can be let go piece by piece, while the base is served on."""
    old = snapshot(*[channel(number) for number in range(1, 100)])
    draft = Draft(old)
    draft.put(channel(1, ["new"], revision=2))
    pieces = draft.pieces()
    assert pieces
    assert not any(piece is part for piece in pieces for part in old.channels.parts)
    assert ids_of(plan_of(old, wanted=16))
