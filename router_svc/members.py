"""The channels of one route, drawn by weight: sorted ids in chunks, with cumulative weights beside them.

The law: immutable, and a change of one channel costs its chunk and one entry a chunk, so a tier of a hundred thousand
channels changes about as fast as one of ten. Weights here are above zero; `Tier` keeps the weightless apart, since they are
drawn only when no other is left.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

CHUNK = 64
"""Members of one chunk at most."""
_CRUMBLED = 16  # chunks this many times roomier than their members are packed anew


class Placement(NamedTuple):
    """How one channel stands in one route."""

    priority: int
    weight: int
    out_reason: str
    """Why it cannot be picked; empty when it can."""


class Chunk(NamedTuple):
    """Some members of a set, next to each other by id."""

    ids: "array[int]"
    cumulative: "array[int]"
    """At each id, the sum of its weight and of those before it in this chunk."""

    def weights(self) -> Iterator[int]:
        """Walk the weights."""
        before = 0
        for weight in self.cumulative:
            yield weight - before
            before = weight


class Members:
    """An immutable set of channel ids, each with a weight above zero."""

    __slots__ = ("_chunks", "_cumulative", "_firsts", "count", "total")

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        """Take non-empty chunks in order of ids."""
        self._chunks = tuple(chunks)
        self._firsts = array("q", [chunk.ids[0] for chunk in self._chunks])
        self._cumulative = array("q", accumulate(chunk.cumulative[-1] for chunk in self._chunks))
        self.count = sum(len(chunk.ids) for chunk in self._chunks)
        self.total = self._cumulative[-1] if self._chunks else 0

    @classmethod
    def of(cls, weights: Mapping[int, int]) -> "Members":
        """Build a set from weights by id."""
        return cls(_chunks_of(weights)) if weights else NOBODY

    def at(self, point: int) -> tuple[int, int, int]:
        """Give the member whose share of 0 … total-1 holds the point: its id, where its share begins, its weight."""
        number = base = 0
        if len(self._chunks) > 1:
            number = bisect_right(self._cumulative, point)
            base = self._cumulative[number - 1] if number else 0
        ids, cumulative = self._chunks[number]
        place = bisect_right(cumulative, point - base)
        begin = cumulative[place - 1] if place else 0
        return ids[place], base + begin, cumulative[place] - begin

    def drawn(self, point: int) -> int:
        """Give just the id of the member whose share of 0 … total-1 holds the point."""
        number = 0
        if len(self._chunks) > 1:
            number = bisect_right(self._cumulative, point)
            if number:
                point -= self._cumulative[number - 1]
        ids, cumulative = self._chunks[number]
        return ids[bisect_right(cumulative, point)]

    def share_of(self, channel_id: int) -> tuple[int, int] | None:
        """Give where a member's share begins and its weight; None when it is no member."""
        if not self._chunks:
            return None
        number = self._home_of(channel_id)
        ids, cumulative = self._chunks[number]
        place = bisect_left(ids, channel_id)
        if place == len(ids) or ids[place] != channel_id:
            return None
        begin = cumulative[place - 1] if place else 0
        return (self._cumulative[number - 1] if number else 0) + begin, cumulative[place] - begin

    def __contains__(self, channel_id: int) -> bool:
        return self.share_of(channel_id) is not None

    def __iter__(self) -> Iterator[int]:
        for chunk in self._chunks:
            yield from chunk.ids

    def __len__(self) -> int:
        return self.count

    def items(self) -> Iterator[tuple[int, int]]:
        """Walk ids with their weights."""
        for chunk in self._chunks:
            yield from zip(chunk.ids, chunk.weights(), strict=True)

    def changed(self, gone: Iterable[int], put: Mapping[int, int]) -> "Members":
        """Give the set without some ids and with others set, sharing the chunks in between."""
        if self.count + len(put) <= CHUNK or len(put) >= self.count:
            weights = dict(self.items())
            for channel_id in gone:
                weights.pop(channel_id, None)
            weights.update(put)
            return Members.of(weights)
        changed = Members(self._changed_chunks(gone, put))
        crumbled = len(changed._chunks) * CHUNK > _CRUMBLED * changed.count
        return Members.of(dict(changed.items())) if crumbled else changed

    def _changed_chunks(self, gone: Iterable[int], put: Mapping[int, int]) -> list[Chunk]:
        touched: dict[int, tuple[list[int], dict[int, int]]] = {}
        for channel_id in gone:
            touched.setdefault(self._home_of(channel_id), ([], {}))[0].append(channel_id)
        for channel_id, weight in put.items():
            touched.setdefault(self._home_of(channel_id), ([], {}))[1][channel_id] = weight
        chunks = list(self._chunks)
        for number in sorted(touched, reverse=True):
            leaving, coming = touched[number]
            weights = dict(zip(chunks[number].ids, chunks[number].weights(), strict=True))
            for channel_id in leaving:
                weights.pop(channel_id, None)
            weights.update(coming)
            chunks[number : number + 1] = _chunks_of(weights)
        return chunks

    def _home_of(self, channel_id: int) -> int:
        return max(bisect_right(self._firsts, channel_id) - 1, 0)


def _chunks_of(weights: Mapping[int, int]) -> list[Chunk]:
    """Cut weights into chunks; full ones are halved, so that the next id finds room."""
    ids = sorted(weights)
    size = CHUNK if len(ids) <= CHUNK else CHUNK // 2
    return [
        Chunk(array("q", part), array("q", accumulate(weights[channel_id] for channel_id in part)))
        for part in (ids[start : start + size] for start in range(0, len(ids), size))
    ]


NOBODY = Members(())


class Tier:
    """The channels of one route that share a priority and can be picked."""

    __slots__ = ("priority", "weighted", "weightless")

    def __init__(self, priority: int, weighted: Members, weightless: Members) -> None:
        """Take the members; each weightless one counts 1 among its kind, so that they share equally."""
        self.priority = priority
        self.weighted = weighted
        self.weightless = weightless

    def __iter__(self) -> Iterator[int]:
        yield from self.weighted
        yield from self.weightless

    def __contains__(self, channel_id: int) -> bool:
        return channel_id in self.weighted or channel_id in self.weightless


Change = tuple[int, Placement | None, Placement | None]
"""A channel id, how it stood in a route, and how it stands now."""


class Route:
    """All channels with an ability for one group and one declared model."""

    __slots__ = ("count", "out", "tiers")

    def __init__(self, tiers: tuple[Tier, ...], out: Members) -> None:
        """Take tiers, highest priority first, and those that cannot be picked."""
        self.tiers = tiers
        self.out = out
        self.count = len(out) + sum(len(tier.weighted) + len(tier.weightless) for tier in tiers)

    def __contains__(self, channel_id: int) -> bool:
        return channel_id in self.out or any(channel_id in tier for tier in self.tiers)

    def __iter__(self) -> Iterator[int]:
        for tier in self.tiers:
            yield from tier
        yield from self.out

    def changed(self, changes: Iterable[Change]) -> "Route":
        """Give the route after some channels came, went or moved."""
        sets: dict[tuple[int | None, bool], tuple[list[int], dict[int, int]]] = {}
        for channel_id, before, after in changes:
            if before is not None:
                sets.setdefault(_set_of(before), ([], {}))[0].append(channel_id)
            if after is not None:
                sets.setdefault(_set_of(after), ([], {}))[1][channel_id] = after.weight or 1
        tiers = {tier.priority: tier for tier in self.tiers}
        out = self.out
        for (priority, weighted), (gone, put) in sets.items():
            if priority is None:
                out = out.changed(gone, put)
                continue
            tier = tiers.get(priority) or Tier(priority, NOBODY, NOBODY)
            members = (tier.weighted if weighted else tier.weightless).changed(gone, put)
            pair = (members, tier.weightless) if weighted else (tier.weighted, members)
            tiers[priority] = Tier(priority, *pair)
        living = (tier for tier in tiers.values() if tier.weighted.count or tier.weightless.count)
        return Route(tuple(sorted(living, key=lambda tier: -tier.priority)), out)


def _set_of(placement: Placement) -> tuple[int | None, bool]:
    if placement.out_reason:
        return None, False
    return placement.priority, placement.weight > 0


NOWHERE = Route((), NOBODY)
