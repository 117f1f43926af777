"""The routes of the catalog: for a group and a declared model, its channels in tiers, and those that cannot be picked.

The law: immutable; a change of some channels shares all sets of members that they are not in.
"""

from collections.abc import Iterable, Iterator
from operator import is_
from typing import Final, NamedTuple

from router_svc.members import NOBODY, Members


class Placement(NamedTuple):
    """How one channel stands in one route."""

    priority: int
    weight: int
    out_reason: str
    """Why it cannot be picked; empty when it can."""


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

    def like(self, old: "Tier") -> "Tier":
        """Give this tier, with what an older one of the same priority has of it."""
        weighted, weightless = self.weighted.like(old.weighted), self.weightless.like(old.weightless)
        if weighted is old.weighted and weightless is old.weightless:
            return old
        return Tier(self.priority, weighted, weightless)


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

    def like(self, old: "Route") -> "Route":
        """Give this route, with what an older one has of it: the older one itself where they are equal."""
        held = {tier.priority: tier for tier in old.tiers}
        tiers = tuple(tier.like(held[tier.priority]) if tier.priority in held else tier for tier in self.tiers)
        out = self.out.like(old.out)
        if len(tiers) == len(old.tiers) and out is old.out and all(map(is_, tiers, old.tiers)):
            return old
        return Route(tiers, out)


def _set_of(placement: Placement) -> tuple[int | None, bool]:
    if placement.out_reason:
        return None, False
    return placement.priority, placement.weight > 0


NOWHERE: Final = Route((), NOBODY)
