"""Decides which channels may serve one request: API key, groups, model names, eligible channels, tiers, weights.

The law: a pick reads one snapshot and nothing else; clock, seed and the opening of channel keys come in as arguments, so the
same inputs give the same plan. A refusal is a value here: whether it may be said depends on a proof that others bring.

A plan stays within one group, the first of the caller's that can serve. Inside it the declared names are walked from the
exact one to the shortest wildcard, and a channel counts by its most specific name only: one whose exact ability is switched
off is not let in again through its wildcard. Positive picks are the hot path of the whole service, hence the flat code.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import Struct

from router_svc.members import Members, Route
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

_SEEDS: Final = (1 << 64) - 1
# Knuth's MMIX generator: one multiplication a draw. Its high bits, which a weighted choice uses, are good; `random.Random`
# would cost more to seed than the whole pick.
_FACTOR: Final = 6364136223846793005
_TERM: Final = 1442695040888963407
_MISSES: Final = 6  # draws of somebody already taken, before the rest is listed and drawn from exactly
_FEW: Final = 16  # members that are sooner listed than drawn again

OpenKey = Callable[[Channel, ChannelKey], bool]
"""Opens a sealed key if it was not tried yet; tells whether it can be used."""


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


class Candidate(NamedTuple):
    """One channel of a plan."""

    channel: Channel
    key: ChannelKey | None
    """The key chosen; None for an upstream that needs none."""
    upstream_model: str
    priority: int


class Plan(NamedTuple):
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
    groups: tuple[str, ...]
    api_key_id = 0
    if ask.key_hash is None:
        groups = (ask.group,)
    else:
        api_key = snapshot.api_keys_by_hash.get(ask.key_hash)
        if api_key is None:
            return ApiKeyUnknown(revision=snapshot.token.revision)
        if not api_key.plain and (refusal := refused_by(snapshot, api_key, ask.model, ask.address, now)) is not None:
            return refusal
        groups, api_key_id = api_key.groups, api_key.id
    for group in groups:
        routes = snapshot.routes.get(group)
        if routes is not None:
            candidates, matched = _candidates(snapshot, routes, ask, open_key)
            if candidates:
                return Plan(
                    snapshot.token, group, matched, api_key_id, candidates, ask.seed, ask.decision_id
                )  # fmt: skip
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


def _candidates(snapshot: Snapshot, routes: GroupRoutes, ask: Ask, open_key: OpenKey) -> tuple[list[Candidate], str]:
    """Fill a plan from the routes that a model matches, the most specific name first."""
    found: list[Candidate] = []
    draw = _Draw(snapshot, ask, open_key, found)
    route = routes.exact.get(ask.model)
    if route is not None:
        draw.from_route(ask.model, route)
        if len(found) == ask.wanted or not routes.lengths:
            return found, ask.model
    matched = ask.model
    shadowing: list[Route] = []
    for declared, named in routes.of(ask.model):
        if named is not route:  # by identity: a client may ask for a name that looks like a wildcard
            draw.barred = _Barred(ask.excluded, shadowing)
            before = len(found)
            draw.from_route(declared, named)
            matched = declared if not before and found else matched
            if len(found) == ask.wanted:
                break
        shadowing = [*shadowing, named]
    return found, matched


class _Barred:
    """The channels that may not be drawn: excluded by the caller, or counted by a more specific name."""

    __slots__ = ("_excluded", "_shadowing")

    def __init__(self, excluded: frozenset[int], shadowing: list[Route]) -> None:
        self._excluded = excluded
        self._shadowing = shadowing

    def __contains__(self, channel_id: int) -> bool:
        return channel_id in self._excluded or any(channel_id in route for route in self._shadowing)

    def __bool__(self) -> bool:
        return bool(self._excluded or self._shadowing)


class _Draw:
    """The draws of one pick: a generator's state, and the plan that it fills."""

    __slots__ = ("_ask", "_found", "_open_key", "_snapshot", "_state", "barred")

    def __init__(self, snapshot: Snapshot, ask: Ask, open_key: OpenKey, found: list[Candidate]) -> None:
        self._snapshot = snapshot
        self._ask = ask
        self._open_key = open_key
        self._found = found
        self._state = ask.seed
        self.barred: frozenset[int] | _Barred = ask.excluded

    def from_route(self, declared: str, route: Route) -> None:
        """Draw from the tiers, highest first, until the plan is full."""
        for tier in route.tiers:
            for members in (tier.weighted, tier.weightless):
                if members.count:
                    self._from_members(declared, tier.priority, members)
                    if len(self._found) == self._ask.wanted:
                        return

    def _from_members(self, declared: str, priority: int, members: Members) -> None:
        """Draw by weight without replacement: draw again when somebody taken comes up, and list the rest if it goes on."""
        barred, wanted = self.barred, self._ask.wanted
        drawn: set[int] = set()
        misses = 0
        while len(drawn) < members.count:
            self._state = state = (self._state * _FACTOR + _TERM) & _SEEDS
            channel_id = members.at(state * members.total >> 64)
            if channel_id in drawn:
                misses += 1
                if misses < _MISSES and members.count > _FEW:
                    continue
                self._from_the_rest(declared, priority, members, drawn)
                return
            drawn.add(channel_id)
            if barred and channel_id in barred:
                continue
            self._add(channel_id, declared, priority)
            if len(self._found) == wanted:
                return

    def _from_the_rest(self, declared: str, priority: int, members: Members, drawn: set[int]) -> None:
        rest = [(channel_id, weight) for channel_id, weight in members.items() if channel_id not in drawn]
        rest = [entry for entry in rest if entry[0] not in self.barred]
        total = sum(weight for _, weight in rest)
        while rest and len(self._found) < self._ask.wanted:
            self._state = state = (self._state * _FACTOR + _TERM) & _SEEDS
            point = state * total >> 64
            for place, (channel_id, weight) in enumerate(rest):  # noqa: B007 - the place is used after the loop
                point -= weight
                if point < 0:
                    break
            del rest[place]
            total -= weight
            self._add(channel_id, declared, priority)

    def _add(self, channel_id: int, declared: str, priority: int) -> None:
        """Put a channel in the plan, unless none of its keys can be opened."""
        channel = self._snapshot.channels.get(channel_id)
        if channel is None:
            return
        key = None
        if channel.usable:
            key = self._key_of(channel)
            if key is None:
                return
        model = self._ask.model
        upstream = channel.upstream_model(declared, model) if channel.upstreams else model
        self._found.append(Candidate(channel, key, upstream, priority))

    def _key_of(self, channel: Channel) -> ChannelKey | None:
        """Choose a key, all alike; one that cannot be opened is put aside for good and another chosen."""
        keys = channel.usable
        while True:
            if len(keys) == 1:
                key = keys[0]
            else:
                self._state = state = (self._state * _FACTOR + _TERM) & _SEEDS
                key = keys[state * len(keys) >> 64]
            if key.opened is not Seal.BROKEN and (key.opened is not Seal.UNTRIED or self._open_key(channel, key)):
                return key
            keys = tuple(key for key in keys if key.opened is not Seal.BROKEN)
            if not keys:
                return None
