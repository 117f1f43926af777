"""What the catalog says at one revision, and what may be answered by it: a plain second opinion on every pick.

The law: this reads rows as the tables hold them and decides by the rules of the documentation, slowly and without sharing
a line with the router. A `Verdict` is all that may be said at one state to one ask: a reason, or the channels a plan may
name and the order in which it may name them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Row = Mapping[str, Any]
"""A row as `to_jsonb` writes it."""
PLAN = ""
"""The reason of a verdict that is no refusal."""


class Ask(NamedTuple):
    """What a client asks for."""

    model: str
    group: str = ""
    key_hash: str = ""
    """The hash of the caller's API key in hexadecimal; empty for a caller that names its group."""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Ability:
    """How one channel stands at one group and declared model."""

    able: bool
    priority: int
    weight: int
    upstream: str | None


@dataclass(frozen=True, slots=True)
class ChannelTruth:
    """One channel with its children, at one revision."""

    id: int
    status: str
    priority: int
    weight: int
    keys: Mapping[int, str]
    """Status by id."""
    models: Mapping[str, str | None]
    """The upstream's name by the declared one."""
    groups: frozenset[str]
    overrides: Mapping[tuple[str, str], Row]

    @classmethod
    def of(cls, row: Row, children: Mapping[str, Mapping[Any, Row]]) -> ChannelTruth:
        """Put a channel together from its own row and its children's."""
        return cls(
            id=row["id"],
            status=row["status"],
            priority=row["priority"],
            weight=row["weight"],
            keys={key["id"]: key["status"] for key in children.get("channel_keys", {}).values()},
            models={model["model"]: model["upstream_model"] for model in children.get("channel_models", {}).values()},
            groups=frozenset(group["group_name"] for group in children.get("channel_groups", {}).values()),
            overrides={
                (override["group_name"], override["model"]): override
                for override in children.get("ability_overrides", {}).values()
            },
        )

    @property
    def usable_keys(self) -> frozenset[int]:
        """The keys that are enabled."""
        return frozenset(number for number, status in self.keys.items() if status == "ENABLED")

    def ability(self, group: str, declared: str) -> Ability:
        """Tell how the channel stands at a group and a declared model that it has."""
        own: Row = self.overrides.get((group, declared), {})
        priority, weight = own.get("priority"), own.get("weight")
        return Ability(
            able=self.status == "ENABLED"
            and own.get("enabled") is not False
            and (not self.keys or bool(self.usable_keys)),
            priority=self.priority if priority is None else priority,
            weight=self.weight if weight is None else weight,
            upstream=self.models[declared],
        )


class Place(NamedTuple):
    """What a plan may say of one channel."""

    rank: tuple[int, int, int]
    """Sorts candidates: the more specific name first, then the higher tier, then those with a weight."""
    priority: int
    upstream: str
    keys: frozenset[int]


class Verdict(NamedTuple):
    """All that may be said to one ask at one state."""

    reason: str
    group: str = ""
    """The group that serves."""
    places: Mapping[int, Place] = {}
    """What a plan may say, by channel."""
    passing: bool = False
    """Whether an expiry was looked at, so that the same state may say something else at another time."""


@dataclass(frozen=True, slots=True)
class State:
    """The catalog at one revision."""

    channels: Mapping[int, ChannelTruth] = field(default_factory=dict)
    api_keys: Mapping[str, Row] = field(default_factory=dict)
    """By hash."""

    def verdict(self, ask: Ask, now: float) -> Verdict:
        """Tell what may be said to an ask, at `now` seconds since the epoch."""
        groups: tuple[str, ...] = (ask.group,)
        passing = False
        if ask.key_hash:
            key = self.api_keys.get(ask.key_hash)
            if key is None:
                return Verdict("API_KEY_UNKNOWN")
            passing = key["expire_time"] is not None
            reason = _against(key, ask, now)
            if reason:
                return Verdict(reason, passing=passing)
            groups = (key["group_name"], *key["fallback_groups"])
        for group in groups:
            places = self._places(group, ask.model)
            if places:
                return Verdict(PLAN, group, places, passing)
        return Verdict(self._why_not(groups, ask.model), passing=passing)

    def _places(self, group: str, model: str) -> dict[int, Place]:
        found: dict[int, Place] = {}
        for channel in self.channels.values():
            declared = _most_specific(channel, model) if group in channel.groups else None
            if declared is None:
                continue
            ability = channel.ability(group, declared)
            if ability.able:
                rank = (-_specificity(declared), -ability.priority, int(not ability.weight))
                upstream = _upstream(declared, ability.upstream, model)
                found[channel.id] = Place(rank, ability.priority, upstream, channel.usable_keys)
        return found

    def _why_not(self, groups: tuple[str, ...], model: str) -> str:
        served = {group for channel in self._serving(model) for group in channel.groups}
        if served & set(groups):
            return "NO_CHANNEL"
        return "MODEL_NOT_IN_GROUP" if served else "MODEL_UNKNOWN"

    def _serving(self, model: str) -> Iterator[ChannelTruth]:
        return (channel for channel in self.channels.values() if _most_specific(channel, model) is not None)


def _against(key: Row, ask: Ask, now: float) -> str:
    """Tell what an API key has against an ask; empty when nothing."""
    if key["status"] != "ENABLED":
        return "API_KEY_DISABLED"
    if key["expire_time"] is not None and now >= key["expire_time"]:
        return "API_KEY_EXPIRED"
    networks = key["address_allow_list"]
    if networks and not any(_within(ask.address, network) for network in networks):
        return "ADDRESS_NOT_ALLOWED"
    allowed = key["model_allow_list"]
    if allowed and not any(_matches(name, ask.model) for name in allowed):
        return "MODEL_NOT_ALLOWED"
    return ""


def _within(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network)
    except ValueError:
        return False


def _matches(declared: str, model: str) -> bool:
    return declared == model or (declared.endswith("*") and model.startswith(declared[:-1]))


def _specificity(declared: str) -> int:
    """An exact name is more specific than any wildcard, a longer wildcard more than a shorter."""
    return len(declared) - 1 if declared.endswith("*") else 1 << 20


def _most_specific(channel: ChannelTruth, model: str) -> str | None:
    matching = [declared for declared in channel.models if _matches(declared, model)]
    return max(matching, key=_specificity) if matching else None


def _upstream(declared: str, upstream: str | None, model: str) -> str:
    if upstream is None:
        return model
    if declared.endswith("*") and upstream.endswith("*"):
        return upstream[:-1] + model[len(declared) - 1 :]
    return upstream


def plan_fault(  # noqa: PLR0911 - one for each thing that can be wrong
    verdict: Verdict, group: str, candidates: tuple[tuple[int, int, int, str], ...], wanted: int
) -> str:
    """Tell what is wrong with a plan of (channel, key, priority, upstream model); empty when nothing is."""
    if verdict.reason != PLAN:
        return f"there is nothing to plan: {verdict.reason}"
    if group != verdict.group:
        return f"group {group!r} serves before {verdict.group!r}"
    ranks: dict[int, Any] = {}
    for channel_id, key_id, priority, upstream in candidates:
        place = verdict.places.get(channel_id)
        if place is None:
            return f"channel {channel_id} is not eligible"
        if (key_id not in place.keys) if place.keys else key_id:
            return f"key {key_id} of channel {channel_id} is not usable"
        if (priority, upstream) != (place.priority, place.upstream):
            return f"channel {channel_id} is at {place.priority}, {place.upstream!r}; not at {priority}, {upstream!r}"
        ranks.setdefault(channel_id, place.rank)
    if list(ranks.values()) != sorted(place.rank for place in verdict.places.values())[:wanted]:
        return "candidates are too few, or out of the order of tiers"
    return _keys_fault(verdict, [(channel_id, key_id) for channel_id, key_id, *_ in candidates], list(ranks), wanted)


def _keys_fault(verdict: Verdict, pairs: list[tuple[int, int]], channels: list[int], wanted: int) -> str:
    """Tell what is wrong with a plan's keys: other keys fill what its channels leave of it, behind them all."""
    if len(set(pairs)) < len(pairs):
        return "a channel is named twice with one key"
    if [channel_id for channel_id, _ in pairs[: len(channels)]] != channels:
        return "another key of a channel stands before another channel"
    if len(pairs) != min(wanted, sum(max(1, len(verdict.places[channel_id].keys)) for channel_id in channels)):
        return "other keys are too few"
    return ""
