"""What there is to change and to ask for: groups, models, API keys, and how the next change is drawn.

The law: everything comes from the randomness and the view given, so that a seed draws the same changes from the same catalog.
Few groups, models and channels are enough, and better: each change then decides whether some pair has a channel at all.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import field_mask_pb2

from prove.cluster import PEPPER
from prove.picks import pick_of
from prove.truth import Ask
from prove.view import ChannelView, KeyView, Step, View, Ways
from trunkline.secret import ApiKeyHasher
from trunkline.v1 import admin_pb2, catalog_pb2, router_pb2

GROUPS: Final = ("g0", "g1", "g2", "g3")
PASSING_GROUP: Final = "gx"
"""A group that is created and deleted again and again."""
FRESH_GROUP: Final = "fresh"
"""The group of channels by which recovery is measured; nobody else changes those."""
MODELS: Final = tuple(f"m{number}" for number in range(9))
WILDCARDS: Final = ("w-*", "w-a*")
SAMPLES: Final = ("w-abc", "w-xyz")
"""Names that only wildcards match."""
UNKNOWN: Final = ("nobody-serves-this", "nor-this")
SECRETS: Final = tuple(f"sk-proof-{number:02d}-{'x' * 24}" for number in range(16))
_ADDRESSES: Final = ("10.1.2.3", "192.0.2.7")
_MOST_CHANNELS: Final = 22
_FEWEST_CHANNELS: Final = 12
_KEY_MODELS: Final = 4  # models that each API key is asked for
_HASHER: Final = ApiKeyHasher(PEPPER)


@dataclass(slots=True)
class World:
    """Everything that may be asked for."""

    rng: random.Random
    by_pair: dict[tuple[str, str], tuple[Ask, router_pb2.Pick]] = field(default_factory=dict)
    by_key: dict[str, list[tuple[Ask, router_pb2.Pick]]] = field(default_factory=dict)
    _names: int = 0

    def __post_init__(self) -> None:
        """Name every pair, and every API key with a few models."""
        for group in (*GROUPS, PASSING_GROUP):
            for model in (*MODELS, *SAMPLES, *UNKNOWN):
                ask = Ask(model, group)
                self.by_pair[group, model] = (ask, pick_of(ask))
        for secret in SECRETS:
            self.know(secret)

    def know(self, secret: str) -> str:
        """Take an API key to ask with; gives its hash."""
        hashed = _HASHER.hash(secret).hex()
        models = self.rng.sample((*MODELS, *SAMPLES), _KEY_MODELS)
        asks = [Ask(model, key_hash=hashed, address=self.rng.choice(_ADDRESSES)) for model in models]
        self.by_key[hashed] = [(ask, pick_of(ask, secret)) for ask in asks]
        return hashed

    def everything(self) -> list[tuple[Ask, router_pb2.Pick]]:
        """List all that may be asked for."""
        return [*self.by_pair.values(), *(way for ways in self.by_key.values() for way in ways)]

    def asks_about(self, step: Step) -> Ways:
        """List the asks that a step may change the answer to."""
        ways = [self.by_pair[pair] for pair in self._named(step.pairs) if pair in self.by_pair]
        for hashed in step.key_hashes:
            ways += self.by_key.get(hashed, ())
        return ways

    def step(self, view: View) -> Step:
        """Draw the next change."""
        rng = self.rng
        if len(view.channels) < _FEWEST_CHANNELS:
            return self._create_channel(view)
        if PASSING_GROUP not in view.groups and rng.random() < 0.05:
            return Step("CreateGroup", admin_pb2.CreateGroupRequest(group=catalog_pb2.Group(name=PASSING_GROUP)))
        draw: Callable[[View], Step] = getattr(self, rng.choices(list(_DRAWS), list(_DRAWS.values()))[0])
        return draw(view)

    # ------------------------------------------------------------------ channels

    def _create_channel(self, view: View) -> Step:
        if len(view.channels) >= _MOST_CHANNELS:
            return self._delete_channel(view)
        rng = self.rng
        self._names += 1
        models, groups = self._some_models(), self._some_groups(view)
        channel = catalog_pb2.Channel(
            name=f"channel-{self._names}-{rng.getrandbits(32):08x}",
            provider="openai-compatible",
            base_url="http://127.0.0.1:9/v1",
            models=models,
            groups=groups,
            priority=rng.randrange(3),
            weight=rng.randrange(4),
        )
        keys = [f"sk-upstream-{rng.getrandbits(64):016x}" for _ in range(rng.randrange(3))]
        request = admin_pb2.CreateChannelRequest(channel=channel, keys=keys)
        return Step("CreateChannel", request, pairs=_pairs(groups, models))

    def _delete_channel(self, view: View) -> Step:
        if len(view.channels) <= _FEWEST_CHANNELS:
            return self._create_channel(view)
        channel = self.rng.choice(view.channels)
        return Step("DeleteChannel", admin_pb2.DeleteChannelRequest(channel_id=channel.id), pairs=_of(channel))

    def _switch_channel(self, view: View) -> Step:
        channel = self.rng.choice(view.channels)
        on = channel.status != "ENABLED"
        status = catalog_pb2.CHANNEL_STATUS_ENABLED if on else catalog_pb2.CHANNEL_STATUS_DISABLED
        return Step("UpdateChannel", _update(channel, "status", status=status), pairs=_of(channel))

    def _switch_by_hand(self, view: View) -> Step:
        channel = self.rng.choice(view.channels)
        status = "ENABLED" if channel.status != "ENABLED" else "AUTO_DISABLED"
        sql = "UPDATE channels SET status = %s WHERE id = %s"
        return Step("", sql=sql, values=(status, channel.id), pairs=_of(channel))

    def _change_models(self, view: View) -> Step:
        channel = self.rng.choice(view.channels)
        models = self._some_models()
        pairs = _pairs(channel.groups, {*models} ^ {*channel.models})
        return Step("UpdateChannel", _update(channel, "models", models=models), pairs=pairs)

    def _add_or_drop_model_by_hand(self, view: View) -> Step:
        channel, model = self.rng.choice(view.channels), self.rng.choice(MODELS)
        sql = "INSERT INTO channel_models (channel_id, model) VALUES (%s, %s)"
        if model in channel.models:
            sql = "DELETE FROM channel_models WHERE channel_id = %s AND model = %s"
        return Step("", sql=sql, values=(channel.id, model), pairs=_pairs(channel.groups, [model]))

    def _change_groups(self, view: View) -> Step:
        channel = self.rng.choice(view.channels)
        groups = self._some_groups(view)
        pairs = _pairs({*groups} ^ {*channel.groups}, channel.models)
        return Step("UpdateChannel", _update(channel, "groups", groups=groups), pairs=pairs)

    def _change_tier(self, view: View) -> Step:
        channel = self.rng.choice(view.channels)
        return Step("UpdateChannel", _update(channel, "priority", priority=self.rng.randrange(3)), pairs=_of(channel))

    # ------------------------------------------------------------------ channel keys

    def _switch_channel_key(self, view: View) -> Step:
        channel = self.rng.choice(view.channels)
        if not channel.keys:
            return self._add_channel_key(view)
        key_id = self.rng.choice(list(channel.keys))
        if len(channel.keys) > 2:
            request: Any = admin_pb2.DeleteChannelKeyRequest(channel_id=channel.id, key_id=key_id)
            return Step("DeleteChannelKey", request, pairs=_of(channel))
        on = channel.keys[key_id] != "ENABLED"
        status = catalog_pb2.CHANNEL_STATUS_ENABLED if on else catalog_pb2.CHANNEL_STATUS_DISABLED
        request = admin_pb2.UpdateChannelKeyRequest(
            channel_id=channel.id,
            key=catalog_pb2.ChannelKey(id=key_id, status=status),
            update_mask=field_mask_pb2.FieldMask(paths=["status"]),
        )
        return Step("UpdateChannelKey", request, pairs=_of(channel))

    def _add_channel_key(self, view: View) -> Step:
        channel = self.rng.choice(view.channels)
        request = admin_pb2.AddChannelKeysRequest(
            channel_id=channel.id, keys=[f"sk-upstream-{self.rng.getrandbits(64):016x}"]
        )
        return Step("AddChannelKeys", request, pairs=_of(channel))

    # ------------------------------------------------------------------ abilities

    def _override(self, view: View) -> Step:
        channel = self.rng.choice(view.channels)
        if not channel.models or not channel.groups:
            return self._change_models(view)
        group, model = self.rng.choice(channel.groups), self.rng.choice(channel.models)
        if self.rng.random() < 0.4:
            request: Any = admin_pb2.DeleteAbilityOverrideRequest(group=group, model=model, channel_id=channel.id)
            return Step("DeleteAbilityOverride", request, pairs=[(group, model)])
        request = admin_pb2.SetAbilityOverrideRequest(
            group=group,
            model=model,
            channel_id=channel.id,
            enabled=self.rng.random() < 0.4,
            priority=self.rng.choice((None, 1, 5)),
        )
        return Step("SetAbilityOverride", request, pairs=[(group, model)])

    def _switch_abilities_by_hand(self, _view: View) -> Step:
        group, model, on = self.rng.choice(GROUPS), self.rng.choice(MODELS), self.rng.random() < 0.6
        sql = 'UPDATE abilities SET enabled = %s WHERE "group" = %s AND model = %s'
        return Step("", sql=sql, values=(on, group, model), pairs=[(group, model)])

    # ------------------------------------------------------------------ API keys

    def _create_api_key_by_hand(self, view: View) -> Step:
        rng = self.rng
        hashed = rng.choice(list(self.by_key))
        existing = next((key for key in view.api_keys if key.hash == hashed), None)
        if existing is not None:
            return self._change_api_key_by_hand(existing)
        sql = (
            "INSERT INTO api_keys"
            " (name, hash, group_name, fallback_groups, model_allow_list, address_allow_list, expire_time)"
            " VALUES (%s, %s, %s, %s, %s, %s::cidr[], now() + %s * interval '1 second')"
        )
        allowed = [*rng.sample(MODELS, 5), "w-*"] if rng.random() < 0.3 else []
        networks = ["10.0.0.0/8"] if rng.random() < 0.2 else []
        group, *others = rng.sample(GROUPS, rng.randrange(1, 3))
        left = rng.choice((None, 600.0))
        values = (f"key-{hashed[:12]}", bytes.fromhex(hashed), group, others, allowed, networks, left)
        return Step("", sql=sql, values=values, key_hashes=[hashed])

    def _change_api_key_by_hand(self, key: KeyView) -> Step:
        rng = self.rng
        draw = rng.random()
        if draw < 0.3:
            return Step("", sql="DELETE FROM api_keys WHERE id = %s", values=(key.id,), key_hashes=[key.hash])
        if draw < 0.5:
            sql = "UPDATE api_keys SET expire_time = now() + %s * interval '1 second' WHERE id = %s"
            return Step("", sql=sql, values=(rng.choice((-5.0, 0.3, 600.0)), key.id), key_hashes=[key.hash])
        sql = "UPDATE api_keys SET group_name = %s, expire_time = now() + %s * interval '1 second' WHERE id = %s"
        values = (rng.choice(GROUPS), rng.choice((None, 600.0)), key.id)
        return Step("", sql=sql, values=values, key_hashes=[key.hash])

    def _switch_api_key(self, view: View) -> Step:
        if not view.api_keys:
            return self._create_api_key_by_hand(view)
        key = self.rng.choice(view.api_keys)
        if self.rng.random() < 0.15:
            return Step("DeleteApiKey", admin_pb2.DeleteApiKeyRequest(api_key_id=key.id), key_hashes=[key.hash])
        on = key.status != "ENABLED"
        status = catalog_pb2.API_KEY_STATUS_ENABLED if on else catalog_pb2.API_KEY_STATUS_DISABLED
        request = admin_pb2.UpdateApiKeyRequest(
            api_key=catalog_pb2.ApiKey(id=key.id, status=status),
            update_mask=field_mask_pb2.FieldMask(paths=["status"]),
        )
        return Step("UpdateApiKey", request, key_hashes=[key.hash])

    def _create_api_key(self, view: View) -> Step:
        if len(view.api_keys) > 2 * len(SECRETS):
            return self._switch_api_key(view)
        name = f"key-{uuid.UUID(int=self.rng.getrandbits(128)).hex[:12]}"
        api_key = catalog_pb2.ApiKey(name=name, group=self.rng.choice(GROUPS))
        return Step("CreateApiKey", admin_pb2.CreateApiKeyRequest(api_key=api_key))

    def _delete_group(self, view: View) -> Step:
        if PASSING_GROUP not in view.groups:
            return self._switch_channel(view)
        request = admin_pb2.DeleteGroupRequest(name=PASSING_GROUP, allow_mass_change=True)
        return Step("DeleteGroup", request, pairs=_pairs([PASSING_GROUP], (*MODELS, *SAMPLES)))

    # ------------------------------------------------------------------ inside

    def _some_models(self) -> list[str]:
        models = self.rng.sample(MODELS, self.rng.randrange(1, 3))
        return [*models, self.rng.choice(WILDCARDS)] if self.rng.random() < 0.15 else models

    def _some_groups(self, view: View) -> list[str]:
        groups = [*GROUPS, PASSING_GROUP] if PASSING_GROUP in view.groups else [*GROUPS]
        return self.rng.sample(groups, self.rng.randrange(1, 3))

    def _named(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Put names that clients ask for in the place of wildcards."""
        named = []
        for group, model in pairs:
            matched = [sample for sample in SAMPLES if model.endswith("*") and sample.startswith(model[:-1])]
            named += [(group, sample) for sample in matched] or [(group, model)]
        return named


def _pairs(groups: Any, models: Any) -> list[tuple[str, str]]:
    return [(group, model) for group in groups for model in models]


def _of(channel: ChannelView) -> list[tuple[str, str]]:
    return _pairs(channel.groups, channel.models)


def _update(channel: ChannelView, path: str, **fields: Any) -> admin_pb2.UpdateChannelRequest:
    return admin_pb2.UpdateChannelRequest(
        channel=catalog_pb2.Channel(id=channel.id, **fields),
        update_mask=field_mask_pb2.FieldMask(paths=[path]),
        allow_mass_change=True,
    )


_DRAWS: Final[Mapping[str, int]] = {
    "_switch_channel": 24,
    "_switch_by_hand": 8,
    "_change_models": 12,
    "_add_or_drop_model_by_hand": 8,
    "_change_groups": 5,
    "_change_tier": 3,
    "_create_channel": 7,
    "_delete_channel": 7,
    "_switch_channel_key": 8,
    "_add_channel_key": 3,
    "_override": 14,
    "_switch_abilities_by_hand": 8,
    "_create_api_key_by_hand": 9,
    "_switch_api_key": 8,
    "_create_api_key": 2,
    "_delete_group": 2,
}
"""How often each change is drawn, relative to the others."""
