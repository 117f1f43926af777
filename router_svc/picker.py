"""Decides which channels may serve one request: API key, groups, model names, eligible channels, tiers, weights.

The law: a pick reads one snapshot and nothing else; clock, seed and the opening of channel keys come in as arguments, so the
same inputs give the same plan. A refusal is a value here: whether it may be said depends on a proof that others bring.

A plan stays within one group, the first of the caller's that can serve. Inside it the declared names are walked from the
exact one to the shortest wildcard, and a channel counts by its most specific name only: one whose exact ability is switched
off is not let in again through its wildcard. Positive picks are the hot path of the whole service, hence the flat code.
"""

from bisect import bisect_right, insort
from collections.abc import Callable, Iterable
from math import log
from typing import Final

from msgspec import Struct

from router_svc.members import Members
from router_svc.routes import Route, Tier
from router_svc.shards import Shards
from router_svc.snapshot import ApiKey, Channel, ChannelKey, GroupRoutes, Seal, Snapshot, Token
from trunkline.errors import (
    AddressNotAllowed,
    ApiKeyDisabled,
    ApiKeyExpired,
    ApiKeyUnknown,
    ModelNotAllowed,
    ModelNotInGroup,
    ModelUnknown,
    NoChannel,
    Refused,
)

DEFAULT_CANDIDATES: Final = 3
MAX_CANDIDATES: Final = 16

# A multiplicative generator: one multiplication a draw, of numbers that Python holds in two digits. Its high bits, which a
# weighted choice uses, are good; `random.Random` would cost more to seed than the whole pick. A seed is moved by `_OFFSET`,
# since zero, which many would begin with, stays zero; the one seed that becomes it is drawn for by `_from_what_is_left`.
_BITS: Final = 60
_STATES: Final = (1 << _BITS) - 1
_FACTOR: Final = 6364136223846793005 & _STATES  # Knuth's, from MMIX; by the spectral test as good here
_OFFSET: Final = 1442695040888963407
_MISSES: Final = 8  # draws in vain, before what was drawn is left out instead of drawn again
_PATIENCE: Final = 32  # channels drawn in vain, before all that are left are put in order at once
# Bound once: looking up an enum's member costs as much as a draw.
_UNTRIED: Final = Seal.UNTRIED
_BROKEN: Final = Seal.BROKEN

OpenKey = Callable[[Channel, ChannelKey | None], bool]
"""Opens a sealed key if it was not tried yet, None for a channel that needs none; tells whether it can be used."""


class Ask(Struct, gc=False):
    """One request for channels."""

    model: str
    key_hash: bytes | None = None
    """The hash of the caller's API key; None for a caller that names its group."""
    group: str = ""
    address: str = ""
    excluded: frozenset[int] = frozenset()
    wanted: int = DEFAULT_CANDIDATES
    seed: int = 0
    decision_id: str = ""
    required: int = 0
    """The one channel that may be named; 0 for any."""


class Candidate(Struct, gc=False):
    """One channel of a plan."""

    channel: Channel
    key: ChannelKey | None
    """The key chosen; None for an upstream that needs none."""
    upstream_model: str
    priority: int


class Plan(Struct, gc=False):
    """Candidates, best first; at least one."""

    token: Token
    group: str
    matched_model: str
    """The declared name that matched, of the first candidate."""
    api_key_id: int
    candidates: list[Candidate]
    seed: int
    decision_id: str


Decision = Plan | Refused


def decide(snapshot: Snapshot, ask: Ask, now: float, open_key: OpenKey) -> Decision:
    """Pick channels, or tell why there is none; `now` is in seconds since the epoch."""
    return find(snapshot, ask, now, open_key) or refusal(snapshot, ask, now)


def find(snapshot: Snapshot, ask: Ask, now: float, open_key: OpenKey) -> Plan | None:
    """Pick channels; None when there is no plan. To tell why costs more than a plan, so it is done by itself."""
    groups: tuple[str, ...]
    api_key_id, model, key_hash = 0, ask.model, ask.key_hash
    if key_hash is None:
        groups = (ask.group,)
    else:
        api_keys = snapshot.api_keys_by_hash  # looked up as `Shards.get` does, which costs a call
        api_key = api_keys.parts[hash(key_hash) & api_keys.mask].get(key_hash)
        if api_key is None or not (api_key.plain or refused_by(snapshot, api_key, model, ask.address, now) is None):
            return None
        groups, api_key_id = api_key.groups, api_key.id
    for group in groups:
        routes = snapshot.routes.get(group)
        if routes is None:
            continue
        exact = routes.exact
        route = exact.parts[hash(model) & exact.mask].get(model)
        if route is None and not routes.lengths:
            continue
        if route is not None and route.tiers and not (ask.required or ask.excluded):
            # Nearly every pick ends here. One that does not is begun anew by `_Draw`, whose first steps are the same.
            tier = route.tiers[0]
            if tier.weighted.count > ask.wanted:
                plain = _of_many(snapshot.channels, ask, tier)
            else:  # a wildcard may lead to more
                plain = None if routes.lengths else _of_few(snapshot.channels, ask, route)
            if plain is not None:
                return Plan(snapshot.token, group, model, api_key_id, plain, ask.seed, ask.decision_id)
        found, matched = _Draw.begun(snapshot.channels, ask, open_key).from_routes(routes)
        if found:
            return Plan(snapshot.token, group, matched, api_key_id, found, ask.seed, ask.decision_id)
    return None


def refusal(snapshot: Snapshot, ask: Ask, now: float) -> Refused:
    """Tell why there is no plan for what `find` found none."""
    groups: tuple[str, ...] = (ask.group,)
    if ask.key_hash is not None:
        api_key = snapshot.api_keys_by_hash.get(ask.key_hash)
        if api_key is None:
            return ApiKeyUnknown(revision=snapshot.token.revision)
        if (refused := refused_by(snapshot, api_key, ask.model, ask.address, now)) is not None:
            return refused
        groups = api_key.groups
    return no_plan(snapshot, groups, ask.model)


def refused_by(snapshot: Snapshot, api_key: ApiKey, model: str | None, address: str, now: float) -> Refused | None:
    """Tell what the API key itself has against a request; None when nothing. Without a model its list is not asked."""
    revision = snapshot.token.revision
    if api_key.status != "ENABLED":
        return ApiKeyDisabled(api_key_id=api_key.id, revision=revision)
    if api_key.expire_time is not None and now >= api_key.expire_time:
        return ApiKeyExpired(api_key_id=api_key.id, expire_time=api_key.expire_time, revision=revision)
    if not api_key.allows_address(address):
        return AddressNotAllowed(api_key_id=api_key.id, address=address, revision=revision)
    if model is not None and not api_key.allows_model(model):
        return ModelNotAllowed(api_key_id=api_key.id, model=model, revision=revision)
    return None


def no_plan(snapshot: Snapshot, groups: tuple[str, ...], model: str) -> Refused:
    """Tell why none of these groups can serve a model."""
    revision = snapshot.token.revision
    considered = 0
    for group in groups:
        routes = snapshot.routes.get(group)
        considered += sum(route.count for _, route in routes.of(model)) if routes is not None else 0
    if considered:
        return NoChannel(group=",".join(groups), model=model, revision=revision, considered=considered)
    if any(next(routes.of(model), None) is not None for routes in snapshot.routes.values()):
        return ModelNotInGroup(group=",".join(groups), model=model, revision=revision)
    return ModelUnknown(model=model, revision=revision)


def _of_many(channels: Shards[int, Channel], ask: Ask, tier: Tier) -> list[Candidate] | None:
    """Draw by weight from a tier of more channels than wanted; what was drawn before is drawn again.

    The draw from a tier of one node and the look-up of a channel are written out, since calls are what a pick consists of.
    """
    model, wanted, members, priority = ask.model, ask.wanted, tier.weighted, tier.priority
    found: list[Candidate] = []
    past: list[int] = []
    state, misses = ask.seed + _OFFSET, _MISSES
    ids, cumulative, children, total = members.ids, members.cumulative, members.children, members.total
    shards, mask = channels.parts, channels.mask
    while misses:
        state = state * _FACTOR & _STATES
        point = state * total >> _BITS
        channel_id = members.drawn(point) if children else ids[bisect_right(cumulative, point)]
        if channel_id in past:
            misses -= 1
            continue
        channel = shards[channel_id & mask].get(channel_id)
        if channel is None:
            return None
        if (key := channel.sole) is None:
            if not (usable := channel.usable):
                return None
            state = state * _FACTOR & _STATES
            key = usable[state * len(usable) >> _BITS]
        if not key.ready:
            return None
        upstream = channel.upstream_model(model, model) if channel.upstreams else model
        found.append(Candidate(channel, key, upstream, priority))
        if len(found) == wanted:
            return found
        past.append(channel_id)
    return None


def _of_few(channels: Shards[int, Channel], ask: Ask, route: Route) -> list[Candidate] | None:
    """Put in order, tier by tier and by weight, what a route has, where no tier has more than wanted and each has one key."""
    model, wanted, state = ask.model, ask.wanted, ask.seed + _OFFSET
    found: list[Candidate] = []
    for tier in route.tiers:
        members = tier.weighted
        if tier.weightless.count or members.children or members.count > wanted:
            return None
        rest, left = list(members.ids), members.total
        weights = list(members.weights()) if len(rest) > 1 else [left]
        while rest and len(found) < wanted:
            state = state * _FACTOR & _STATES
            point, place = state * left >> _BITS, 0
            while point >= weights[place]:
                point -= weights[place]
                place += 1
            left -= weights.pop(place)
            channel = channels.get(rest.pop(place))
            if channel is None or (key := channel.sole) is None or not key.ready:
                return None
            upstream = channel.upstream_model(model, model) if channel.upstreams else model
            found.append(Candidate(channel, key, upstream, tier.priority))
    return found


class _Draw(Struct, gc=False):
    """The draws of one pick: a generator's state, and the plan that it fills."""

    channels: Shards[int, Channel]
    ask: Ask
    open_key: OpenKey
    state: int
    found: list[Candidate]
    shadowing: list[Route]
    """Routes of more specific names: their channels have had their turn."""

    @classmethod
    def begun(cls, channels: Shards[int, Channel], ask: Ask, open_key: OpenKey) -> "_Draw":
        """Begin with an empty plan."""
        return cls(channels, ask, open_key, ask.seed + _OFFSET, [], [])

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
        misses = _MISSES if members.count > ask.wanted and not self.shadowing else 0
        while misses:
            self.state = state = self.state * _FACTOR & _STATES
            channel_id = members.drawn(state * members.total >> _BITS)
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
        while left:
            self.state = state = self.state * _FACTOR & _STATES
            point = state * left >> _BITS
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
                self.state = state = self.state * _FACTOR & _STATES
                order.append((log((state + 1) / (_STATES + 1)) / weight, channel_id))
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
                self.state = state = self.state * _FACTOR & _STATES
                key = keys[state * len(keys) >> _BITS]
            if self._opens(channel, key):
                return key
            keys = tuple(key for key in keys if key.opened is not _BROKEN)
        return None
