"""Decides which channels may serve one request: API key, groups, model names, eligible channels, tiers, weights.

The law: a pick reads one snapshot and nothing else; clock, seed and the opening of channel keys come in as arguments, so the
same inputs give the same plan. A refusal is a value here: whether it may be said depends on a proof that others bring.

A plan stays within one group, the first of the caller's that can serve. Inside it the declared names are walked from the
exact one to the shortest wildcard, and a channel counts by its most specific name only: one whose exact ability is switched
off is not let in again through its wildcard. Positive picks are the hot path of the whole service, hence the flat code here;
`draws` draws from all other routes, and `refusing` tells why there is no plan.
"""

from bisect import bisect_right

from router_svc.draws import BITS, FACTOR, MISSES, OFFSET, STATES, Draw
from router_svc.plan import Ask, Candidate, Decision, OpenKey, Plan, caller_of
from router_svc.refusing import refusal, refused_by
from router_svc.routes import Route, Tier
from router_svc.shards import Shards
from router_svc.snapshot import Channel, Snapshot


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
        api_key = api_keys.parts[hash(key_hash) & api_keys.mask].get(key_hash) or caller_of(snapshot, ask)
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
            # Nearly every pick ends here. One that does not is begun anew by `Draw`, whose first steps are the same.
            tier = route.tiers[0]
            if tier.weighted.count > ask.wanted:
                plain = _of_many(snapshot.channels, ask, tier)
            else:  # a wildcard may lead to more
                plain = None if routes.lengths else _of_few(snapshot.channels, ask, route)
            if plain is not None:
                return Plan(snapshot.token, group, model, api_key_id, plain, ask.seed, ask.decision_id)
        found, matched = Draw.begun(snapshot.channels, ask, open_key).from_routes(routes)
        if found:
            return Plan(snapshot.token, group, matched, api_key_id, found, ask.seed, ask.decision_id)
    return None


def _of_many(channels: Shards[int, Channel], ask: Ask, tier: Tier) -> list[Candidate] | None:
    """Draw by weight from a tier of more channels than wanted; what was drawn before is drawn again.

    The draw from a tier of one node and the look-up of a channel are written out, since calls are what a pick consists of.
    """
    model, wanted, members, priority = ask.model, ask.wanted, tier.weighted, tier.priority
    found: list[Candidate] = []
    past: list[int] = []
    state, misses = ask.seed + OFFSET, MISSES
    ids, cumulative, children, total = members.ids, members.cumulative, members.children, members.total
    shards, mask = channels.parts, channels.mask
    while misses:
        state = state * FACTOR & STATES
        point = state * total >> BITS
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
            state = state * FACTOR & STATES
            key = usable[state * len(usable) >> BITS]
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
    model, wanted, state = ask.model, ask.wanted, ask.seed + OFFSET
    found: list[Candidate] = []
    for tier in route.tiers:
        members = tier.weighted
        if tier.weightless.count or members.children or members.count > wanted:
            return None
        rest, left = list(members.ids), members.total
        weights = list(members.weights()) if len(rest) > 1 else [left]
        while rest and len(found) < wanted:
            state = state * FACTOR & STATES
            point, place = state * left >> BITS, 0
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
