"""Tells of a pick which channels were considered, what chance each had, and why the others were out.

The law: it reads the same snapshot by the same rules as `picker`, and is the slow, plain telling of them; tests hold the two
together. It lists every group of the caller up to the one that served.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from router_svc.plan import Ask, Decision, Plan, caller_of
from router_svc.routes import Placement, Route
from router_svc.snapshot import Channel, Seal, Snapshot

EXCLUDED = "excluded"
NOT_REQUIRED = "not_the_required_channel"
SHADOWED = "counts_by_more_specific_name"
NO_USABLE_KEY = "no_usable_key"


class Considered(NamedTuple):
    """A channel considered in a pick."""

    channel: Channel
    group: str
    matched_model: str
    priority: int
    weight: int
    share: float
    """The chance, 0 to 1, of being the first candidate."""
    out_reason: str
    rank: int
    """Its place in the plan from 1; 0 when it is not in it."""


def explain(snapshot: Snapshot, ask: Ask, decision: Decision) -> list[Considered]:
    """List the channels considered for a decision that this snapshot made."""
    if isinstance(decision, Plan):
        named = dict.fromkeys(candidate.channel.id for candidate in decision.candidates)  # other keys come after all
        ranks = {channel_id: rank for rank, channel_id in enumerate(named, 1)}
        groups = groups_of(snapshot, ask)
        groups = groups[: groups.index(decision.group) + 1]
    else:
        ranks, groups = {}, groups_of(snapshot, ask)
    considered: list[Considered] = []
    for group in groups:
        told = list(_of_group(snapshot, group, ask))
        shares = _shares(told)
        serving = isinstance(decision, Plan) and group == decision.group
        considered += [
            entry._replace(
                share=shares.get(place, 0.0),
                rank=0 if entry.out_reason or not serving else ranks.get(entry.channel.id, 0),
            )
            for place, entry in enumerate(told)
        ]
    return considered


def groups_of(snapshot: Snapshot, ask: Ask) -> tuple[str, ...]:
    """Name the caller's groups, in order."""
    if ask.key_hash is None:
        return (ask.group,)
    api_key = caller_of(snapshot, ask)
    return api_key.groups if api_key is not None else ()


def _of_group(snapshot: Snapshot, group: str, ask: Ask) -> Iterator[Considered]:
    routes = snapshot.routes.get(group)
    shadowing: list[Route] = []
    for declared, route in routes.of(ask.model) if routes is not None else ():
        for channel_id in route:
            channel = snapshot.channels.get(channel_id)
            if channel is None:
                continue
            placement = channel.placements()[group, declared]
            shadowed = any(channel_id in other for other in shadowing)
            reason = SHADOWED if shadowed else _out_reason(channel, placement, ask)
            yield Considered(channel, group, declared, placement.priority, placement.weight, 0.0, reason, 0)
        shadowing.append(route)


def _out_reason(channel: Channel, placement: Placement, ask: Ask) -> str:
    if placement.out_reason:
        return placement.out_reason
    if channel.id in ask.excluded:
        return EXCLUDED
    if ask.required not in (0, channel.id):
        return NOT_REQUIRED
    if channel.usable and all(key.opened is Seal.BROKEN for key in channel.usable):
        return NO_USABLE_KEY
    proxy = channel.shaping.proxy
    if proxy is not None and proxy.opened is Seal.BROKEN:
        return NO_USABLE_KEY
    return ""


def _shares(told: list[Considered]) -> Mapping[int, float]:
    """Give the chance of being first by place: only the first tier that has anybody matters."""
    able = [(place, entry) for place, entry in enumerate(told) if not entry.out_reason]
    if not able:
        return {}
    first = max(
        (entry for _, entry in able if entry.matched_model == able[0][1].matched_model), key=lambda e: e.priority
    )
    tier = [
        (place, entry.weight)
        for place, entry in able
        if entry.matched_model == first.matched_model and entry.priority == first.priority
    ]
    total = sum(weight for _, weight in tier)
    return {place: weight / total if total else 1 / len(tier) for place, weight in tier}
