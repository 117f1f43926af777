"""Messages into drafts and masked values.

The law: what proto3 cannot say is settled here, once: an unspecified status on create means ENABLED, an absent weight 1, no
group the default one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf import field_mask_pb2

from admin_svc import records
from admin_svc.wire.words import plain_list, plain_object, seconds_of, status_of
from trunkline.errors import FieldFault, InvalidFields
from trunkline.secret import Secret
from trunkline.v1 import admin_pb2, catalog_pb2, router_pb2

LIMITS: Final = ("connect", "first_byte", "idle", "total")


def channel_draft(sent: catalog_pb2.Channel) -> records.Channel:
    """Read a channel to create."""
    values = {name: read(sent) for name, read in _CHANNEL_FIELDS.items()}
    values["status"] = values["status"] or records.ENABLED
    values["groups"] = values["groups"] or (records.DEFAULT_GROUP,)
    values["timeouts"] = records.Timeouts(**values["timeouts"])
    del values["proxy_url"]  # a secret, which goes its own way
    return records.Channel(**values)


def channel_values(sent: catalog_pb2.Channel, mask: field_mask_pb2.FieldMask) -> dict[str, Any]:
    """Read the fields of a channel that a mask names; `timeouts` holds those limits that it names. Raises InvalidFields."""
    values: dict[str, Any] = {}
    known = (*_CHANNEL_FIELDS, *_SPELLINGS, *(f"timeouts.{limit}" for limit in LIMITS))
    for path in _paths(mask, known, _CHANNEL_FIELDS):
        root, _, limit = _SPELLINGS.get(path, path).partition(".")
        read = _CHANNEL_FIELDS[root](sent)
        if limit:
            values.setdefault(root, {})[f"{limit}_ms"] = read[f"{limit}_ms"]
        else:
            values[root] = read
    return values


def channel_key_values(sent: catalog_pb2.ChannelKey, mask: field_mask_pb2.FieldMask) -> dict[str, Any]:
    """Read the fields of a channel key that a mask names. Raises InvalidFields."""
    return {path: _CHANNEL_KEY_FIELDS[path](sent) for path in _paths(mask, _CHANNEL_KEY_FIELDS, _CHANNEL_KEY_FIELDS)}


def api_key_draft(sent: catalog_pb2.ApiKey) -> records.ApiKey:
    """Read an API key to create. Raises InvalidFields."""
    values = {name: read(sent) for name, read in _API_KEY_FIELDS.items()}
    values["status"] = values["status"] or records.ENABLED
    values["group"] = values["group"] or records.DEFAULT_GROUP
    return records.ApiKey(**values)


def api_key_values(sent: catalog_pb2.ApiKey, mask: field_mask_pb2.FieldMask) -> dict[str, Any]:
    """Read the fields of an API key that a mask names. Raises InvalidFields."""
    return {path: _API_KEY_FIELDS[path](sent) for path in _paths(mask, _API_KEY_FIELDS, _API_KEY_FIELDS)}


def override(request: admin_pb2.SetAbilityOverrideRequest) -> records.Override:
    """Read an override to set."""
    given = {name: getattr(request, name) for name in ("enabled", "priority", "weight") if request.HasField(name)}
    return records.Override(group=request.group, model=request.model, channel_id=request.channel_id, **given)


def _paths(mask: field_mask_pb2.FieldMask, known: Iterable[str], every: Iterable[str]) -> list[str]:
    """Take the paths of a mask; `*` stands for every field."""
    if list(mask.paths) == ["*"]:
        return list(every)
    known = frozenset(known)
    faults = [
        FieldFault("update_mask", f"{path[:64]!r} is not a field that can be changed")
        for path in mask.paths
        if path not in known
    ]
    if not mask.paths:
        faults.append(FieldFault("update_mask", "must name a field to change"))
    if faults:
        raise InvalidFields(faults)
    return list(mask.paths)


def _milliseconds(sent: router_pb2.Timeouts) -> dict[str, int | None]:
    return {
        f"{limit}_ms": round(seconds_of(getattr(sent, limit)) * 1000) if sent.HasField(limit) else None
        for limit in LIMITS
    }


def _parameters(sent: catalog_pb2.Channel) -> dict[str, Any] | tuple[Any, ...]:
    """Read what changes the request body, in whichever of its two spellings it was given. Raises InvalidFields."""
    members, operations = plain_object(sent.parameter_overrides), plain_list(sent.parameter_operations)
    if members and operations:
        fault = FieldFault("channel.parameter_operations", "cannot be given together with `parameter_overrides`")
        raise InvalidFields([fault])
    return tuple(operations) or members


def _expiry(sent: catalog_pb2.ApiKey) -> datetime | None:
    if not sent.HasField("expire_time"):
        return None
    try:
        return sent.expire_time.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidFields([FieldFault("api_key.expire_time", "is not a time from year 1 to 9999")]) from None


def _field(name: str, into: Callable[[Any], Any] = lambda value: value) -> Callable[[Any], Any]:
    return lambda sent: into(getattr(sent, name))


_Fields = Mapping[str, Callable[[Any], Any]]
_CHANNEL_FIELDS: Final[_Fields] = {
    **{name: _field(name) for name in ("name", "provider", "base_url", "status_reason", "priority", "remark")},
    **{name: _field(name) for name in ("system_prompt", "strict", "repeat_after_timeout")},
    **{name: _field(name, tuple) for name in ("models", "groups", "tags", "removed_headers")},
    **{
        name: _field(name, dict) for name in ("model_mapping", "header_overrides", "provider_options", "status_mapping")
    },
    "status": lambda sent: status_of(catalog_pb2.ChannelStatus, sent.status),
    "weight": lambda sent: sent.weight if sent.HasField("weight") else records.DEFAULT_WEIGHT,
    "parameter_overrides": _parameters,
    "system_prompt_mode": lambda sent: (
        status_of(router_pb2.SystemPromptMode, sent.system_prompt_mode) or records.PROMPT_DEFAULT
    ),
    "proxy_url": _field("proxy_url", Secret),
    "timeouts": _field("timeouts", _milliseconds),
}
_SPELLINGS: Final = {"parameter_operations": "parameter_overrides"}
"""Fields that are another spelling of one."""
_CHANNEL_KEY_FIELDS: Final[_Fields] = {
    **{name: _field(name) for name in ("status_reason", "remark")},
    "status": lambda sent: status_of(catalog_pb2.ChannelStatus, sent.status),
}
_API_KEY_FIELDS: Final[_Fields] = {
    **{name: _field(name) for name in ("name", "group", "remark")},
    **{name: _field(name, tuple) for name in ("fallback_groups", "model_allow_list", "address_allow_list")},
    "status": lambda sent: status_of(catalog_pb2.ApiKeyStatus, sent.status),
    "expire_time": _expiry,
}
