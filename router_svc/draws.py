"""Draws channels by weight without replacement, whatever a route holds, and the generator that draws.

The law: the same seed draws the same. The picker takes a shorter way wherever nothing of this can matter; what it draws there
is drawn here too. Inside a group the declared names are walked from the exact one to the shortest wildcard, and a channel
counts by its most specific name only.
"""

from bisect import insort
from collections.abc import Iterable
from math import log
from typing import Final

from msgspec import Struct

from router_svc.members import Members
from router_svc.plan import Ask, Candidate, OpenKey
from router_svc.routes import Route
from router_svc.shards import Shards
from router_svc.snapshot import Channel, ChannelKey, GroupRoutes, Seal

# A multiplicative generator: one multiplication a draw, of numbers that Python holds in two digits. Its high bits, which a
# weighted choice uses, are good; `random.Random` would cost more to seed than the whole pick. A seed is moved by `OFFSET`,
# since zero, which many would begin with, stays zero; the one seed that becomes it is drawn for by `_from_what_is_left`.
BITS: Final = 60
STATES: Final = (1 << BITS) - 1
FACTOR: Final = 6364136223846793005 & STATES  # Knuth's, from MMIX; by the spectral test as good here
OFFSET: Final = 1442695040888963407
MISSES: Final = 8  # draws in vain, before what was drawn is left out instead of drawn again
_PATIENCE: Final = 32  # channels drawn in vain, before all that are left are put in order at once
# Bound once: looking up an enum's member costs as much as a draw.
_UNTRIED: Final = Seal.UNTRIED
_BROKEN: Final = Seal.BROKEN


class Draw(Struct, gc=False):
    """The draws of one pick: a generator's state, and the plan that it fills."""

    channels: Shards[int, Channel]
    ask: Ask
    open_key: OpenKey
    state: int
    found: list[Candidate]
    shadowing: list[Route]
    """Routes of more specific names: their channels have had their turn."""

    @classmethod
    def begun(cls, channels: Shards[int, Channel], ask: Ask, open_key: OpenKey) -> "Draw":
        """Begin with an empty plan."""
        return cls(channels, ask, open_key, ask.seed + OFFSET, [], [])

    def required(self, routes: GroupRoutes) -> str:
        """Take the one channel that is wanted, by the most specific name that leads to it; give that name."""
        wanted, model = self.ask.required, self.ask.model
        for declared, route in routes.of(model):
            if wanted in route and wanted not in self.ask.excluded:
                for tier in route.tiers:
                    if wanted in tier:
                        self._add(wanted, declared, tier.priority)
                return declared
        return model

    def from_routes(self, routes: GroupRoutes) -> tuple[list[Candidate], str]:
        """Draw from all routes that the model matches; give the plan, and the name that its first candidate matched."""
        ask, found = self.ask, self.found
        if ask.required:
            return found, self.required(routes)
        matched = ask.model
        for declared, route in routes.of(ask.model):
            before = len(found)
            self.from_route(declared, route)
            matched = declared if not before and found else matched
            if len(found) == ask.wanted:
                break
            self.shadowing.append(route)
        if len(found) < ask.wanted:
            self._with_other_keys()
        return found, matched

    def _with_other_keys(self) -> None:
        """Fill the plan's rest with other keys of its channels: one may be spent, or refused, where another is not."""
        found, wanted = self.found, self.ask.wanted
        for first in tuple(found):
            for key in first.channel.usable:
                if len(found) == wanted:
                    return
                if key is not first.key and self._opens(first.channel, key):
                    found.append(Candidate(first.channel, key, first.upstream_model, first.priority))

    def _opens(self, channel: Channel, key: ChannelKey) -> bool:
        if not key.ready:
            opened = key.opened
            key.ready = opened is not _BROKEN and (opened is not _UNTRIED or self.open_key(channel, key))
        return key.ready

    def from_route(self, declared: str, route: Route) -> None:
        """Draw from the tiers, highest first, until the plan is full."""
        wanted = self.ask.wanted
        for tier in route.tiers:
            if tier.weighted.count:
                self._from_members(declared, tier.priority, tier.weighted)
                if len(self.found) == wanted:
                    return
            if tier.weightless.count:
                self._from_members(declared, tier.priority, tier.weightless)
                if len(self.found) == wanted:
                    return

    def _from_members(self, declared: str, priority: int, members: Members) -> None:
        """Draw by weight without replacement: first by drawing again what was drawn before, then from what is left."""
        ask, found, past = self.ask, self.found, dict.fromkeys(self.ask.excluded)
        misses = MISSES if members.count > ask.wanted and not self.shadowing else 0
        while misses:
            self.state = state = self.state * FACTOR & STATES
            channel_id = members.drawn(state * members.total >> BITS)
            if channel_id in past:
                misses -= 1
                continue
            past[channel_id] = None
            if not self._add(channel_id, declared, priority):
                misses -= 1
            elif len(found) == ask.wanted:
                return
        self._from_what_is_left(declared, priority, members, past)

    def _from_what_is_left(self, declared: str, priority: int, members: Members, past: Iterable[int]) -> None:
        """Draw by weight without replacement: a share that was taken is left out of the next draw."""
        found, wanted, left = self.found, self.ask.wanted, members.total
        taken: list[tuple[int, int]] = []
        for channel_id in past:
            share = members.share_of(channel_id)
            if share is not None:
                insort(taken, share)
                left -= share[1]
        turned_away = 0
        if len(taken) * wanted > members.count and len(taken) > _PATIENCE:
            # Each draw would walk past all of them: to put what is left in order costs less.
            self._from_the_rest(declared, priority, members, taken)
            return
        while left:
            self.state = state = self.state * FACTOR & STATES
            point = state * left >> BITS
            for begin, weight in taken:
                if point < begin:
                    break
                point += weight
            channel_id, begin, weight = members.at(point)
            left -= weight
            if self._add(channel_id, declared, priority):
                if len(found) == wanted:
                    return
            else:
                turned_away += 1
                if turned_away > _PATIENCE:
                    self._from_the_rest(declared, priority, members, taken)
                    return
            insort(taken, (begin, weight))

    def _from_the_rest(self, declared: str, priority: int, members: Members, taken: list[tuple[int, int]]) -> None:
        """Put all that are left in one random order by weight: sorted by u ** (1 / weight), highest first."""
        begins = {begin for begin, _ in taken}
        order = []
        begin = 0
        for channel_id, weight in members.items():
            if begin not in begins:
                self.state = state = self.state * FACTOR & STATES
                order.append((log((state + 1) / (STATES + 1)) / weight, channel_id))
            begin += weight
        order.sort(reverse=True)
        for _, channel_id in order:
            if self._add(channel_id, declared, priority) and len(self.found) == self.ask.wanted:
                return

    def _add(self, channel_id: int, declared: str, priority: int) -> bool:
        """Put a channel in the plan, unless a more specific name spoke for it or none of its keys can be opened."""
        channel = self.channels.get(channel_id)
        if channel is None or (self.shadowing and any(channel_id in route for route in self.shadowing)):
            return False
        usable = channel.usable
        key = None
        if usable:
            key = usable[0]
            if len(usable) > 1 or not key.ready:
                key = self._key_of(channel)
                if key is None:
                    return False
        elif channel.shaping.proxy is not None and not self.open_key(channel, None):
            return False
        model = self.ask.model
        upstream = channel.upstream_model(declared, model) if channel.upstreams else model
        self.found.append(Candidate(channel, key, upstream, priority))
        return True

    def _key_of(self, channel: Channel) -> ChannelKey | None:
        """Choose a key, all alike; one that cannot be opened is put aside for good and another chosen."""
        keys = channel.usable
        while keys:
            key = keys[0]
            if len(keys) > 1:
                self.state = state = self.state * FACTOR & STATES
                key = keys[state * len(keys) >> BITS]
            if self._opens(channel, key):
                return key
            keys = tuple(key for key in keys if key.opened is not _BROKEN)
        return None
