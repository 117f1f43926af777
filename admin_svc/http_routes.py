"""The HTTP face as a table: which path and verb is which method, and where its parts go in the request message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One verb of one path."""

    verb: str
    path: str
    method: str
    """The method of AdminService."""
    resource: str = ""
    """The field of the request that the body describes; its fields stand in the body itself, beside the request's own."""
    parts: tuple[tuple[str, str], ...] = ()
    """Parts of the path, and the request's field (or the resource's, after a dot) that each is."""
    masked: bool = False
    """Whether the keys present in the body are the update mask."""
    given: frozenset[str] = frozenset()
    """Fields of the resource that only the server gives: passed over in a body, so that what was read can be sent back."""
    queried: tuple[str, ...] = ()
    """Fields of the request that may stand in the query."""


_CHANNEL_GIVEN: Final = frozenset({"id", "etag", "revision", "create_time", "update_time"})
_KEY_GIVEN: Final = frozenset({"id", "last_four", "create_time"})
_API_KEY_GIVEN: Final = frozenset({"id", "etag", "last_four", "revision", "create_time", "update_time"})
_PAGE: Final = ("page_size", "page_token")

_CHANNELS: Final = "/api/v1/channels"
_CHANNEL: Final = "/api/v1/channels/{channel_id}"
_KEYS: Final = "/api/v1/channels/{channel_id}/keys"
_KEY: Final = "/api/v1/channels/{channel_id}/keys/{key_id}"
_ABILITY: Final = "/api/v1/abilities/{group}/{model:path}/{channel_id}"
_GROUPS: Final = "/api/v1/groups"
_API_KEYS: Final = "/api/v1/api-keys"
_API_KEY: Final = "/api/v1/api-keys/{api_key_id}"

_OF_CHANNEL: Final = (("channel_id", "channel_id"),)
_OF_KEY: Final = (*_OF_CHANNEL, ("key_id", "key_id"))
_OF_ABILITY: Final = (("group", "group"), ("model", "model"), ("channel_id", "channel_id"))
_OF_API_KEY: Final = (("api_key_id", "api_key_id"),)

ROUTES: Final = (
    Route(verb="GET", path=_CHANNELS, method="ListChannels", queried=(*_PAGE, "group", "model", "tag", "status")),
    Route(verb="POST", path=_CHANNELS, method="CreateChannel", resource="channel"),
    Route(verb="GET", path=_CHANNEL, method="GetChannel", parts=_OF_CHANNEL),
    Route(
        verb="PATCH",
        path=_CHANNEL,
        method="UpdateChannel",
        resource="channel",
        parts=(("channel_id", "channel.id"),),
        masked=True,
        given=_CHANNEL_GIVEN | {"keys"},
    ),
    Route(verb="DELETE", path=_CHANNEL, method="DeleteChannel", parts=_OF_CHANNEL),
    Route(verb="GET", path=_KEYS, method="ListChannelKeys", parts=_OF_CHANNEL),
    Route(verb="POST", path=_KEYS, method="AddChannelKeys", parts=_OF_CHANNEL),
    Route(
        verb="PATCH",
        path=_KEY,
        method="UpdateChannelKey",
        resource="key",
        parts=(*_OF_CHANNEL, ("key_id", "key.id")),
        masked=True,
        given=_KEY_GIVEN,
    ),
    Route(verb="DELETE", path=_KEY, method="DeleteChannelKey", parts=_OF_KEY),
    Route(
        verb="GET", path="/api/v1/abilities", method="ListAbilities", queried=(*_PAGE, "group", "model", "channel_id")
    ),
    Route(verb="PUT", path=_ABILITY, method="SetAbilityOverride", parts=_OF_ABILITY),
    Route(verb="DELETE", path=_ABILITY, method="DeleteAbilityOverride", parts=_OF_ABILITY),
    Route(verb="GET", path=_GROUPS, method="ListGroups", queried=_PAGE),
    Route(verb="POST", path=_GROUPS, method="CreateGroup", resource="group"),
    Route(verb="DELETE", path=f"{_GROUPS}/{{name}}", method="DeleteGroup", parts=(("name", "name"),)),
    Route(verb="GET", path=_API_KEYS, method="ListApiKeys", queried=(*_PAGE, "group")),
    Route(verb="POST", path=_API_KEYS, method="CreateApiKey", resource="api_key"),
    Route(verb="GET", path=_API_KEY, method="GetApiKey", parts=_OF_API_KEY),
    Route(
        verb="PATCH",
        path=_API_KEY,
        method="UpdateApiKey",
        resource="api_key",
        parts=(("api_key_id", "api_key.id"),),
        masked=True,
        given=_API_KEY_GIVEN,
    ),
    Route(verb="DELETE", path=_API_KEY, method="DeleteApiKey", parts=_OF_API_KEY),
    Route(verb="GET", path="/api/v1/routers", method="ListRouters", queried=_PAGE),
    Route(verb="GET", path="/api/v1/revisions", method="ListRevisions", queried=(*_PAGE, "channel_id")),
    Route(verb="POST", path="/api/sync/channels", method="SyncChannels", queried=("timeout",)),
)
