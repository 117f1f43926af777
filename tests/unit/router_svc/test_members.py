"""Sets of channels drawn by weight, and the routes made of them."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from router_svc.members import FANOUT, NOBODY, Members
from router_svc.routes import NOWHERE, Change, Placement, Route

ids = st.integers(1, 2000)
weights = st.dictionaries(ids, st.integers(1, 1_000_000), max_size=1200)


@given(weights, st.lists(st.tuples(st.sets(ids, max_size=40), st.dictionaries(ids, st.integers(1, 9), max_size=40))))
def test_a_changed_set_is_the_set_built_whole(
    start: dict[int, int], rounds: list[tuple[set[int], dict[int, int]]]
) -> None:
    """Whatever comes and goes, in chunks or whole, the members, weights and total are those of a dict."""
    members, model = Members.of(start), dict(start)
    for gone, put in rounds:
        members = members.changed(gone, put)
        model = {channel_id: weight for channel_id, weight in model.items() if channel_id not in gone} | put
        assert dict(members.items()) == model
        assert list(members) == sorted(model)
        assert members.total == sum(model.values())
        assert members.count == len(members) == len(model)


@given(weights)
def test_every_point_belongs_to_the_member_whose_share_holds_it(start: dict[int, int]) -> None:
    """The first and the last point of each share draw its member, so shares are exactly the weights."""
    members = Members.of(start)
    begin = 0
    for channel_id in sorted(start):
        end = begin + start[channel_id]
        assert members.at(begin) == members.at(end - 1) == (channel_id, begin, start[channel_id])
        assert members.drawn(begin) == members.drawn(end - 1) == channel_id
        assert members.share_of(channel_id) == (begin, start[channel_id])
        begin = end
    assert begin == members.total
    assert all(channel_id in members for channel_id in start)
    assert not any(channel_id in members for channel_id in range(2001, 2010))


def test_a_change_makes_one_node_a_level_anew() -> None:
    """A tier of a hundred thousand changes at the cost of a few small nodes, and all others are shared."""
    old = Members.of(dict.fromkeys(range(1, 100_001), 1))
    for new in (old.changed([5], {}), old.changed([5], {5: 9}), old.changed([], {100_001: 1})):
        fresh = _nodes(new) - _nodes(old)
        assert len(fresh) <= 3
        assert max(map(_entries, new.leaves())) <= FANOUT


def test_no_node_outgrows_its_bound_however_the_set_came_to_be() -> None:
    """Members that come one by one, at one end or in the midst, leave nodes of a bounded size and a tree of few levels."""
    for ids in (range(1, 20_001), range(20_000, 0, -1), [n * 7919 % 20_011 for n in range(1, 20_001)]):
        members = NOBODY
        for channel_id in ids:
            members = members.changed([], {channel_id: 1})
        assert max(map(_entries, _all_nodes(members))) <= FANOUT
        assert members.count == 20_000
        assert len(_nodes(members)) <= 20_000 / 16


def test_a_set_that_has_crumbled_leaves_no_husks() -> None:
    """Removing nearly everybody does not leave a long list of nearly empty nodes, and the last one leaves nothing."""
    members = Members.of(dict.fromkeys(range(1, 100 * FANOUT), 1))
    leaving = [channel_id for channel_id in range(1, 100 * FANOUT) if channel_id % 100]
    for channel_id in leaving:
        members = members.changed([channel_id], {})
    assert members.count == (100 * FANOUT - 1) // 100
    assert len(_nodes(members)) <= members.count / 4
    assert not members.changed(list(members), {}).count


def _entries(node: Members) -> int:
    return len(node.ids)


def _all_nodes(members: Members) -> list[Members]:
    return [members, *(node for child in members.children for node in _all_nodes(child))]


def _nodes(members: Members) -> set[int]:
    return set(map(id, _all_nodes(members)))


def test_nobody_is_nowhere() -> None:
    """The empty set and the empty route have no members."""
    assert 1 not in NOBODY
    assert 1 not in NOWHERE
    assert (NOBODY.count, NOWHERE.count, list(NOWHERE)) == (0, 0, [])


placements = st.builds(Placement, st.integers(-2, 2), st.integers(0, 3), st.sampled_from(["", "", "channel_disabled"]))


@given(st.lists(st.dictionaries(st.integers(1, 40), st.one_of(st.none(), placements), max_size=30), max_size=6))
def test_a_route_holds_each_channel_where_it_stands(rounds: list[dict[int, Placement | None]]) -> None:
    """After any changes the tiers are those of the placements, highest first, and those that are out are apart."""
    route: Route = NOWHERE
    model: dict[int, Placement] = {}
    for after in rounds:
        changes: list[Change] = [(channel_id, model.get(channel_id), place) for channel_id, place in after.items()]
        route = route.changed(changes)
        model = {channel_id: place for channel_id, place in (model | after).items() if place is not None}
        assert [tier.priority for tier in route.tiers] == sorted(
            {place.priority for place in model.values() if not place.out_reason}, reverse=True
        )
        assert set(route.out) == {channel_id for channel_id, place in model.items() if place.out_reason}
        for tier in route.tiers:
            standing = {
                channel_id: place.weight
                for channel_id, place in model.items()
                if place.priority == tier.priority and not place.out_reason
            }
            assert dict(tier.weighted.items()) == {i: weight for i, weight in standing.items() if weight}
            assert set(tier.weightless) == {i for i, weight in standing.items() if not weight}
        assert Counter(route) == Counter(list(model))
        assert route.count == len(model)
