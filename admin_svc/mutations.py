"""What each mutating method asks for: a table from a request to its writing, and from what was written to its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any, Final

from admin_svc import records, store_api_keys, store_channels, store_groups, wire
from admin_svc.database import Connection
from trunkline import auth
from trunkline.secret import ApiKeyHasher, Sealer, Secret


@dataclass(frozen=True, slots=True)
class Tools:
    """What sealing and hashing takes."""

    sealer: Sealer
    hasher: ApiKeyHasher
    moves_keys: bool = False
    """Whether the caller may have sealed keys sent elsewhere without giving them anew."""

    def of(self, scopes: AbstractSet[str]) -> Tools:
        """The tools as a caller with these scopes may use them."""
        return replace(self, moves_keys=auth.CREDENTIALS in scopes)

    def request_hash(self, method: str, request: Any) -> bytes:
        """Hash what a request asks for, whatever it waits for; keyed, since it may hold secrets."""
        asked = type(request)()
        asked.CopyFrom(request)
        asked.ClearField("request_id")
        asked.ClearField("wait")
        return self.hasher.hash(f"{method}\n{asked.SerializeToString(deterministic=True).decode('latin-1')}")


@dataclass(frozen=True, slots=True)
class Prepared:
    """One request, ready to be written."""

    write: Callable[[Connection], Awaitable[Any]] = field(repr=False)
    secret: Secret | None = None
    """A secret drawn for this request, shown in its answer and never again."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One mutating method."""

    prepare: Callable[[Any, Tools], Prepared]
    """Reads a request. Raises InvalidFields."""
    answer: Any
    """The type of what is written."""
    show: Callable[[Any, Secret | None, AbstractSet[str]], Mapping[str, Any]]
    """Puts the response's own fields together, from what was written, a secret to show, and the scopes of the caller."""
    guarded: bool = False
    """Whether the mass-change rule is asked. A method that changes one channel cannot break it: its least is six."""


def _create_channel(request: Any, tools: Tools) -> Prepared:
    secrets = [Secret(key) for key in request.keys]
    proxy = Secret(request.channel.proxy_url)
    return Prepared(store_channels.create_channel(wire.channel_draft(request.channel), secrets, proxy, tools.sealer))


def _update_channel(request: Any, tools: Tools) -> Prepared:
    sent = request.channel
    values = wire.channel_values(sent, request.update_mask)
    proxy = values.pop("proxy_url", None)
    keys = [Secret(key) for key in request.replace_keys]
    change = store_channels.ChannelChange(sent.id, sent.etag, values, proxy, keys, tools.moves_keys)
    return Prepared(store_channels.update_channel(change, tools.sealer))


def _delete_channel(request: Any, _tools: Tools) -> Prepared:
    return Prepared(store_channels.delete_channel(request.channel_id, request.etag))


def _add_keys(request: Any, tools: Tools) -> Prepared:
    secrets = [Secret(key) for key in request.keys]
    return Prepared(store_channels.add_keys(request.channel_id, secrets, request.remark, tools.sealer))


def _update_key(request: Any, _tools: Tools) -> Prepared:
    values = wire.channel_key_values(request.key, request.update_mask)
    return Prepared(store_channels.update_key(request.channel_id, request.key.id, values))


def _delete_key(request: Any, _tools: Tools) -> Prepared:
    return Prepared(store_channels.delete_key(request.channel_id, request.key_id))


def _set_override(request: Any, _tools: Tools) -> Prepared:
    return Prepared(store_groups.set_override(wire.override(request)))


def _delete_override(request: Any, _tools: Tools) -> Prepared:
    return Prepared(store_groups.delete_override(request.group, request.model, request.channel_id))


def _create_group(request: Any, _tools: Tools) -> Prepared:
    return Prepared(store_groups.create_group(records.Group(name=request.group.name, remark=request.group.remark)))


def _delete_group(request: Any, _tools: Tools) -> Prepared:
    return Prepared(store_groups.delete_group(request.name))


def _create_api_key(request: Any, tools: Tools) -> Prepared:
    secret = store_api_keys.draw_secret()
    return Prepared(store_api_keys.create_api_key(wire.api_key_draft(request.api_key), secret, tools.hasher), secret)


def _update_api_key(request: Any, _tools: Tools) -> Prepared:
    sent = request.api_key
    values = wire.api_key_values(sent, request.update_mask)
    return Prepared(store_api_keys.update_api_key(sent.id, sent.etag, values))


def _delete_api_key(request: Any, _tools: Tools) -> Prepared:
    return Prepared(store_api_keys.delete_api_key(request.api_key_id, request.etag))


def _channel(answer: records.Channel, _secret: Secret | None, scopes: AbstractSet[str]) -> Mapping[str, Any]:
    return {"channel": wire.show_channel(answer, reveal=auth.ADMIN in scopes)}


def _api_key(answer: records.ApiKey, secret: Secret | None, _scopes: AbstractSet[str]) -> Mapping[str, Any]:
    shown = wire.show_api_key(answer)
    shown.secret = secret.reveal() if secret else ""
    return {"api_key": shown}


MUTATIONS: Final[Mapping[str, Mutation]] = {
    "CreateChannel": Mutation(_create_channel, records.Channel, _channel),
    "UpdateChannel": Mutation(_update_channel, records.Channel, _channel),
    "DeleteChannel": Mutation(_delete_channel, None, lambda *_: {}),
    "AddChannelKeys": Mutation(
        _add_keys,
        tuple[records.ChannelKey, ...],
        lambda keys, *_: {"keys": [wire.show_channel_key(key) for key in keys]},
    ),
    "UpdateChannelKey": Mutation(_update_key, records.ChannelKey, lambda key, *_: {"key": wire.show_channel_key(key)}),
    "DeleteChannelKey": Mutation(_delete_key, None, lambda *_: {}),
    "SetAbilityOverride": Mutation(
        _set_override, records.Ability, lambda ability, *_: {"ability": wire.show_ability(ability)}
    ),
    "DeleteAbilityOverride": Mutation(
        _delete_override, records.Ability, lambda ability, *_: {"ability": wire.show_ability(ability)}
    ),
    "CreateGroup": Mutation(_create_group, records.Group, lambda group, *_: {"group": wire.show_group(group)}),
    "DeleteGroup": Mutation(_delete_group, None, lambda *_: {}, guarded=True),
    "CreateApiKey": Mutation(_create_api_key, records.ApiKey, _api_key),
    "UpdateApiKey": Mutation(_update_api_key, records.ApiKey, _api_key),
    "DeleteApiKey": Mutation(_delete_api_key, None, lambda *_: {}),
}
