"""Sets of channels, drawn by weight: a tree of sorted ids, with cumulative weights beside them.

The law: immutable, and a change of one channel makes one node a level anew, each of at most `FANOUT` entries, so a tier of a
hundred thousand channels changes about as fast as one of ten. Weights here are above zero; a `Tier` keeps the weightless
apart, since they are drawn only when no other is left.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from operator import is_, sub
from typing import Final

from msgspec import Struct, structs

FANOUT: Final = 256
"""Entries of one node at most."""
_ROOMY: Final = 64  # entries of the nodes that a full one is cut into, so that the next ones find room
_CRUMB: Final = 8  # entries, up to which a node that changed is joined to its neighbour


class Members(Struct, frozen=True, gc=False, eq=False):
    """An immutable set of channel ids, each with a weight above zero: a leaf, or a branch of smaller sets in order of ids."""

    ids: "array[int]"
    """Of a branch, the first id of each child."""
    cumulative: "array[int]"
    """At each entry, the sum of its weight and of those before it in this node."""
    children: "tuple[Members, ...]"
    """Empty for a leaf."""
    first: int
    """The lowest id; 0 when there is none."""
    total: int
    """The sum of all weights."""
    count: int

    @classmethod
    def of(cls, weights: Mapping[int, int]) -> "Members":
        """Build a set from weights by id."""
        ids = sorted(weights)
        return _rooted(_leaves(ids, [weights[channel_id] for channel_id in ids]))

    def at(self, point: int) -> tuple[int, int, int]:
        """Give the member whose share of 0 … total-1 holds the point: its id, where its share begins, its weight."""
        node, base = self, 0
        while True:
            cumulative = node.cumulative
            place = bisect_right(cumulative, point - base)
            begin = cumulative[place - 1] if place else 0
            if not node.children:
                return node.ids[place], base + begin, cumulative[place] - begin
            node, base = node.children[place], base + begin

    def drawn(self, point: int) -> int:
        """Give just the id of the member whose share of 0 … total-1 holds the point."""
        node = self
        while node.children:
            place = bisect_right(node.cumulative, point)
            if place:
                point -= node.cumulative[place - 1]
            node = node.children[place]
        return node.ids[bisect_right(node.cumulative, point)]

    def share_of(self, channel_id: int) -> tuple[int, int] | None:
        """Give where a member's share begins and its weight; None when it is no member."""
        node, base = self, 0
        while node.children:
            place = node.home_of(channel_id)
            base += node.cumulative[place - 1] if place else 0
            node = node.children[place]
        place = bisect_left(node.ids, channel_id)
        if place == len(node.ids) or node.ids[place] != channel_id:
            return None
        begin = node.cumulative[place - 1] if place else 0
        return base + begin, node.cumulative[place] - begin

    def __contains__(self, channel_id: int) -> bool:
        return self.share_of(channel_id) is not None

    def __iter__(self) -> Iterator[int]:
        for leaf in self.leaves():
            yield from leaf.ids

    def __len__(self) -> int:
        return self.count

    def items(self) -> Iterator[tuple[int, int]]:
        """Walk ids with their weights."""
        for leaf in self.leaves():
            yield from zip(leaf.ids, leaf.weights(), strict=True)

    def leaves(self) -> "Iterator[Members]":
        """Walk the leaves."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()

    def weights(self) -> Iterator[int]:
        """Walk the weights of the entries."""
        return map(sub, self.cumulative, (0, *self.cumulative[:-1]))

    def home_of(self, channel_id: int) -> int:
        """Give the number of the child that an id belongs to."""
        return max(bisect_right(self.ids, channel_id) - 1, 0)

    def changed(self, gone: Collection[int], put: Mapping[int, int]) -> "Members":
        """Give the set without some ids and with others set, sharing the nodes in between."""
        if len(touched := put.keys() | gone) == 1:
            (channel_id,) = touched
            changed = _with_one(self, channel_id, put.get(channel_id, 0))
            if changed is not None:
                return changed
        return _rooted(_changed(self, gone, put))

    def like(self, old: "Members") -> "Members":
        """Give this set, with the nodes of an older one where they are equal, so that no twins of them are kept."""
        if self is old or len(self.children) != len(old.children):
            return self
        children = tuple(new.like(held) for new, held in zip(self.children, old.children, strict=True))
        if self.ids == old.ids and self.cumulative == old.cumulative and all(map(is_, children, old.children)):
            return old
        return structs.replace(self, children=children) if children else self


def _with_one(node: Members, channel_id: int, weight: int) -> Members | None:
    """Set one member, or take it out (no weight), copying no more than that takes; None where nodes must be cut or joined."""
    if not node.children:
        return _leaf_with_one(node, channel_id, weight)
    place = node.home_of(channel_id)
    old = node.children[place]
    new = _with_one(old, channel_id, weight)
    if new is None or new is old:
        return new and node
    ids, shift = node.ids, new.total - old.total
    if new.first != old.first:
        ids = ids[:]
        ids[place] = new.first
    cumulative = node.cumulative[:place] + array("q", [end + shift for end in node.cumulative[place:]])
    children = (*node.children[:place], new, *node.children[place + 1 :])
    return Members(ids, cumulative, children, ids[0], node.total + shift, node.count + new.count - old.count)


def _leaf_with_one(leaf: Members, channel_id: int, weight: int) -> Members | None:
    ids, cumulative = leaf.ids, leaf.cumulative
    place, count = bisect_left(ids, channel_id), len(ids)
    begin = cumulative[place - 1] if place else 0
    held = place < count and ids[place] == channel_id
    if not held and not weight:
        return leaf
    if not held:
        if count == FANOUT:
            return None
        ids = ids[:]
        ids.insert(place, channel_id)
    elif not weight:
        if count <= _CRUMB + 1:
            return None
        ids = ids[:]
        del ids[place]
    shift = weight - (cumulative[place] - begin if held else 0)
    ends = [end + shift for end in cumulative[place + held :]]
    cumulative = cumulative[:place] + array("q", [begin + weight, *ends] if weight else ends)
    return Members(ids, cumulative, (), ids[0], leaf.total + shift, len(ids))


def _changed(node: Members, gone: Iterable[int], put: Mapping[int, int]) -> list[Members]:
    """Give the nodes of the same level that come of a node: none, one, or several when it has outgrown itself."""
    if not node.children:
        return _changed_leaf(node, gone, put)
    touched: dict[int, tuple[list[int], dict[int, int]]] = {}
    for channel_id in gone:
        touched.setdefault(node.home_of(channel_id), ([], {}))[0].append(channel_id)
    for channel_id, weight in put.items():
        touched.setdefault(node.home_of(channel_id), ([], {}))[1][channel_id] = weight
    children = list(node.children)
    for place in sorted(touched, reverse=True):
        children[place : place + 1] = _changed(children[place], *touched[place])
        _join_crumb(children, place)
    return _branches(children)


def _changed_leaf(leaf: Members, gone: Iterable[int], put: Mapping[int, int]) -> list[Members]:
    ids, weights = list(leaf.ids), list(leaf.weights())
    for channel_id in gone:
        place = bisect_left(ids, channel_id)
        if channel_id not in put and place < len(ids) and ids[place] == channel_id:
            del ids[place], weights[place]
    for channel_id, weight in put.items():
        place = bisect_left(ids, channel_id)
        if place < len(ids) and ids[place] == channel_id:
            weights[place] = weight
        else:
            ids.insert(place, channel_id)
            weights.insert(place, weight)
    return _leaves(ids, weights)


def _join_crumb(siblings: list[Members], place: int) -> None:
    """Join what little is left of a node to the one before it, or after it: members that left must not leave husks."""
    if place < len(siblings) and len(siblings) > 1 and len(siblings[place].ids) <= _CRUMB:
        start = max(place - 1, 0)
        one, other = siblings[start : start + 2]
        if one.children:
            siblings[start : start + 2] = _branches([*one.children, *other.children])
        else:
            siblings[start : start + 2] = _leaves([*one.ids, *other.ids], [*one.weights(), *other.weights()])


def _leaves(ids: list[int], weights: list[int]) -> list[Members]:
    """Make leaves of sorted ids."""
    return [_leaf(ids[part], weights[part]) for part in _cuts(len(ids))]


def _leaf(ids: list[int], weights: list[int]) -> Members:
    cumulative = array("q", accumulate(weights))
    return Members(array("q", ids), cumulative, (), ids[0], cumulative[-1], len(ids))


def _branches(children: list[Members]) -> list[Members]:
    """Make branches of nodes of one level."""
    return [_branch(tuple(children[part])) for part in _cuts(len(children))]


def _branch(children: tuple[Members, ...]) -> Members:
    cumulative = array("q", accumulate([child.total for child in children]))
    ids = array("q", [child.first for child in children])
    return Members(ids, cumulative, children, ids[0], cumulative[-1], sum([child.count for child in children]))


def _rooted(nodes: list[Members]) -> Members:
    """Give the one set that nodes of one level are."""
    while len(nodes) > 1:
        nodes = _branches(nodes)
    root = nodes[0] if nodes else NOBODY
    while len(root.children) == 1:
        root = root.children[0]
    return root


def _cuts(count: int) -> Sequence[slice]:
    """Cut so many entries into nodes: one while they fit, roomy ones of about one size beyond."""
    if count <= FANOUT:
        return (slice(0, count),) if count else ()
    parts = -(-count // _ROOMY)
    bounds = [count * number // parts for number in range(parts + 1)]
    return [slice(*pair) for pair in pairwise(bounds)]


NOBODY: Final = Members(array("q"), array("q"), (), 0, 0, 0)
